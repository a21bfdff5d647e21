import { hex } from '../bytes/index.ts';
import { requesterId, showBdf } from '../spec/pci.ts';
import type { Endpoint, Model, Viommu } from '../topology/index.ts';

/** Segment and requester ID of `0000:00:03.0`; undefined for anything else. */
export function parsePciName(name: string): { segment: number; rid: number } | undefined {
  const match = /^([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$/u.exec(name);
  if (match === null) return undefined;
  const [, segment = '', bus = '', device = '', fn = ''] = match;
  const slot = Number.parseInt(device, 16);
  if (slot > 31) return undefined;
  const rid = requesterId(Number.parseInt(bus, 16), slot, Number.parseInt(fn, 16));
  return { segment: Number.parseInt(segment, 16), rid };
}

/** Base address of a platform device's Linux name (`a003c00.virtio_mmio`); undefined if none. */
export function parsePlatformName(name: string): bigint | undefined {
  const match = /^([0-9a-f]{1,16})\.[^/]+$/u.exec(name);
  return match?.[1] === undefined ? undefined : BigInt(`0x${match[1]}`);
}

/** Whether the guest's device `name` is the one at that place. */
export function isAt(name: string, location: Endpoint['location'] | Viommu['transport']): boolean {
  switch (location.kind) {
    case 'pci': {
      const found = parsePciName(name);
      const rid = 'rid' in location ? location.rid : location.rids.start;
      return found?.segment === location.segment && found.rid === rid;
    }
    case 'platform':
    case 'mmio':
      return parsePlatformName(name) === location.base;
    default:
      return location satisfies never;
  }
}

/** Where an endpoint or vIOMMU is, as a topology would write it. */
export function placeName(location: Endpoint['location'] | Viommu['transport']): string {
  if (location.kind !== 'pci') return hex(location.base);
  if ('rid' in location) return showBdf(location.rid, location.segment);
  const { start, end } = location.rids;
  const first = showBdf(start, location.segment);
  return start === end ? first : `${first}-${showBdf(end, location.segment)}`;
}

/** `viommu0 (00:01.0)`. */
export function viommuLabel(model: Model, id: string): string {
  const viommu = model.viommus.find((candidate) => candidate.id === id);
  return viommu === undefined ? id : `${id} (${placeName(viommu.transport)})`;
}
