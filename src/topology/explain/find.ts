import { contains, hex } from '../../bytes/index.ts';
import { linuxPciName, requesterId, RID_MAX } from '../../spec/pci.ts';
import type { Facts } from '../facts.ts';
import type { Endpoint, Model } from '../model.ts';
import type { Asker } from './types.ts';

/** Requesters that one endpoint ID is given to; a broken table gives one to thousands. */
const ASKERS_MAX = 8;

/**
 * Whom a user means by a word: a topology id, `0000:00:02.0` or `00:02.0`, an endpoint ID (`0x10`,
 * `16`), a node path, or the base address of a platform device as Linux names it (`a003c00.virtio_mmio`).
 * An endpoint ID may be that of several requesters. Empty: nobody.
 */
export function findAskers(facts: Facts, word: string): readonly Asker[] {
  const byId = facts.model?.endpoints.find(({ id }) => id === word);
  if (byId !== undefined) return [askerOf(byId)];
  const viommu = facts.model?.viommus.find(({ id }) => id === word);
  if (viommu !== undefined) {
    const { transport, id } = viommu;
    return transport.kind === 'pci'
      ? [{ ...pciAsker(facts, transport.segment, transport.rid), id }]
      : [{ label: `${id} (${hex(transport.base)})`, id, location: platform(transport.base) }];
  }
  const pci = parseFunction(word);
  if (pci !== undefined) return [pciAsker(facts, pci.segment, pci.rid)];
  if (word.startsWith('/')) return byPath(facts, word);
  const linux = /^([0-9a-f]{1,16})\.[a-z_]\w*$/iu.exec(word)?.[1];
  if (linux !== undefined) return [platformAsker(facts, BigInt(`0x${linux}`))];
  if (/^(?:0x[0-9a-f]{1,8}|\d{1,10})$/iu.test(word)) {
    const id = Number(word);
    return id <= 0xffff_ffff ? byEndpointId(facts, id) : [];
  }
  return [];
}

/** The ids that could have been meant, for the message about a word that names nobody. */
export function askerNames(facts: Facts): string[] {
  const ids = facts.model?.endpoints.map(({ id }) => id) ?? [];
  const devices = facts.tree?.devices.flatMap(({ path, iommus }) =>
    iommus.length > 0 ? [path] : [],
  );
  return [...ids, ...(devices ?? [])];
}

function parseFunction(word: string): { segment: number; rid: number } | undefined {
  const match = /^(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-7])$/iu.exec(word);
  if (match === null) return undefined;
  const [, segment = '0', bus = '', device = '', fn = ''] = match;
  const slot = Number.parseInt(device, 16);
  if (slot > 31) return undefined;
  const rid = requesterId(Number.parseInt(bus, 16), slot, Number(fn));
  return { segment: Number.parseInt(segment, 16), rid };
}

function askerOf(endpoint: Endpoint): Asker {
  const { id, location } = endpoint;
  if (location.kind === 'platform') {
    const { base } = location;
    return { label: `${id} (${hex(base)})`, id, location: { kind: 'platform', base } };
  }
  const { segment, rids } = location;
  const rid = rids.start;
  const first = location.form === 'function' ? '' : ', the first of its range';
  const label = `${id} (${linuxPciName(rid, segment)}${first})`;
  return { label, id, location: { kind: 'pci', segment, rid } };
}

function pciAsker({ model }: Facts, segment: number, rid: number): Asker {
  const name = linuxPciName(rid, segment);
  const here = model && endpointAt(model, segment, rid);
  const location = { kind: 'pci', segment, rid } as const;
  if (here === undefined) return { label: name, location };
  return { label: `${here.id} (${name})`, id: here.id, location };
}

/** The endpoint of a topology at a requester ID: a function before a range that has it, too. */
function endpointAt(model: Model, segment: number, rid: number): Endpoint | undefined {
  const hits = model.endpoints.filter(
    ({ location }) =>
      location.kind === 'pci' && location.segment === segment && contains(location.rids, rid),
  );
  return (
    hits.find(({ location }) => location.kind === 'pci' && location.form === 'function') ?? hits[0]
  );
}

function platform(base: bigint): Asker['location'] {
  return { kind: 'platform', base };
}

function platformAsker({ model, tree }: Facts, base: bigint): Asker {
  const own = model?.endpoints.find(
    ({ location }) => location.kind === 'platform' && location.base === base,
  );
  if (own !== undefined) return askerOf(own);
  const path = tree?.devices.find((device) => device.base === base)?.path;
  return { label: `${path ?? 'device'} (${hex(base)})`, location: platform(base) };
}

/** A node of the tree: a platform device, a PCI function's node, or an IOMMU. */
function byPath(facts: Facts, path: string): readonly Asker[] {
  const { tree } = facts;
  const device = tree?.devices.find((it) => it.path === path);
  const iommu = tree?.iommus.find((it) => it.path === path);
  const pci = device?.pci ?? (iommu?.location.kind === 'pci' ? iommu.location : undefined);
  if (pci !== undefined) {
    const host = tree?.hosts.find(({ key }) => key === pci.host);
    return [pciAsker(facts, host?.segment ?? 0, pci.rid & RID_MAX)];
  }
  const base = device?.base ?? (iommu?.location.kind === 'mmio' ? iommu.location.base : undefined);
  if (base !== undefined) {
    return [{ ...platformAsker(facts, base), location: { kind: 'platform', base, path } }];
  }
  return device === undefined ? [] : [{ label: path, location: { kind: 'platform', path } }];
}

/** Everybody whom the topology, the tree or the VIOT gives that endpoint ID. */
function byEndpointId(facts: Facts, id: number): readonly Asker[] {
  const found = new Map<string, Asker>();
  const add = (asker: Asker): void => {
    if (found.size < ASKERS_MAX) found.set(asker.label, asker);
  };
  for (const { segment, rids, endpointId } of facts.model?.coverage ?? []) {
    const rid = rids.start + (id - endpointId);
    if (id >= endpointId && rid <= rids.end) add(pciAsker(facts, segment, rid));
  }
  for (const endpoint of facts.model?.endpoints ?? []) {
    if (endpoint.location.kind === 'platform' && endpoint.endpointId === id) add(askerOf(endpoint));
  }
  for (const host of facts.tree?.hosts ?? []) {
    for (const row of host.iommuMap?.rows ?? []) {
      if (found.size >= ASKERS_MAX) break;
      const offset = (id - row.outputBase) >>> 0;
      const rid = row.ridBase + offset;
      if (offset < row.length && rid <= RID_MAX) add(pciAsker(facts, host.segment ?? 0, rid));
    }
  }
  for (const device of facts.tree?.devices ?? []) {
    if (device.iommus.some(({ ids }) => ids[0] === id))
      for (const it of byPath(facts, device.path)) add(it);
  }
  for (const node of facts.viot?.nodes ?? []) {
    if (node.type === 'mmio-endpoint' && node.endpoint === id) add(platformAsker(facts, node.base));
    if (node.type !== 'pci-range') continue;
    const offset = (id - node.endpointStart) >>> 0;
    const segment = node.segments.start + Math.floor(offset / 0x1_0000);
    const rid = node.rids.start + (offset % 0x1_0000);
    if (contains(node.segments, segment) && contains(node.rids, rid))
      add(pciAsker(facts, segment, rid));
  }
  return [...found.values()];
}
