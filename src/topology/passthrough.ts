import { overlaps, type Range } from '../bytes/index.ts';
import type { Endpoint, Model, Passthrough } from './model.ts';

const LAST_ADDRESS = 0xffff_ffff_ffff_ffffn;

/** What no MAP for a passed-through device can use: around the aperture, and what the host keeps. */
function unusable({ aperture, reserved }: Passthrough): Range[] {
  const { start, end } = aperture;
  return [
    ...reserved,
    ...(start > 0n ? [{ start: 0n, end: start - 1n }] : []),
    ...(end < LAST_ADDRESS ? [{ start: end + 1n, end: LAST_ADDRESS }] : []),
  ];
}

/** What PROBE says of an endpoint whoever its host is: the doorbell and the topology's own regions. */
function ownRegions(model: Model, endpoint: Endpoint): Range[] {
  const { location, viommu, id } = endpoint;
  const host =
    location.kind === 'pci' ? model.hosts.find((it) => it.id === location.host) : undefined;
  const doorbell = model.doorbells.find((it) => it.id === host?.doorbell);
  const listed = model.reserved.filter(
    (region) =>
      region.via.includes('probe') &&
      region.type !== 'direct' &&
      (region.endpoints.includes(id) || (region.viommu !== undefined && region.viommu === viommu)),
  );
  return [
    ...(doorbell?.delivery === 'reserved' ? [doorbell.window] : []),
    ...listed.map(({ range }) => range),
  ];
}

/**
 * The RESERVED regions that the host of a passed-through endpoint adds to PROBE, beside the
 * endpoint's own ones, which win where they meet; none for any other endpoint.
 */
export function hostRegions(model: Model, endpoint: Endpoint): Range[] {
  const { passthrough } = endpoint;
  if (passthrough === undefined || endpoint.viommu === undefined) return [];
  const taken = ownRegions(model, endpoint);
  return unusable(passthrough).flatMap((range) => {
    const rest = without(range, taken);
    // Reserved ranges beyond the aperture are said once.
    taken.push(range);
    return rest;
  });
}

function without(range: Range, taken: readonly Range[]): Range[] {
  let parts: Range[] = [range];
  for (const cut of taken) {
    parts = parts.flatMap((part) => {
      if (!overlaps(part, cut)) return [part];
      return [
        ...(part.start < cut.start ? [{ start: part.start, end: cut.start - 1n }] : []),
        ...(part.end > cut.end ? [{ start: cut.end + 1n, end: part.end }] : []),
      ];
    });
  }
  return parts;
}
