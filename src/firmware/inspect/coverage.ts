import type { Range } from '../../bytes/index.ts';
import type { TreeHost, ViotDescription } from '../../topology/index.ts';

/** Requester IDs of one segment that go to one IOMMU, with consecutive endpoint IDs. */
export interface Covered {
  readonly rids: Range<number>;
  /** Key of the IOMMU in a tree, offset of its node in a VIOT. */
  readonly iommu: string | number;
  /** Endpoint ID of `rids.start`. */
  readonly endpointId: number;
}

const RIDS = 0x1_0000;
const IDS = 2 ** 32;

/** A claim to requester IDs; a later one gets only what earlier ones left. */
interface Claim {
  readonly start: number;
  readonly length: number;
  readonly iommu: string | number | undefined;
  readonly base: number;
}

/**
 * What the kernel makes of claims that may overlap, be empty or leave 16 bits: disjoint runs in
 * ascending order, neighbours joined. Time goes with the claims, not with what they claim: a
 * damaged table names thousands of segments.
 */
function settle(
  claims: Iterable<Claim>,
  within: Range<number>,
  own: ReadonlyMap<number, number> = new Map(),
): Covered[] {
  const cut: { readonly claim: Claim; readonly start: number; readonly limit: number }[] = [];
  for (const claim of claims) {
    const limit = Math.min(claim.start + claim.length, within.end + 1, RIDS);
    const start = Math.max(claim.start, within.start);
    // Firmware may claim from 0xffffffff on; what is beyond 16 bits is no requester ID.
    if (start < limit) cut.push({ claim, start, limit });
  }
  // Between two edges all requester IDs have the same claims; those of `own` stand alone.
  const edges = Uint32Array.from(
    new Set([
      ...cut.flatMap(({ start, limit }) => [start, limit]),
      ...[...own.keys()].flatMap((rid) => [rid, rid + 1]),
    ]),
  ).toSorted();
  const indexOf = new Map(Array.from(edges, (edge, index) => [edge, index]));
  const owner: (Claim | undefined)[] = Array.from({ length: edges.length });
  // next[i]: the first free stretch at or after i, with paths shortened as they are walked.
  const next = Uint32Array.from({ length: edges.length + 1 }, (_, index) => index);
  const free = (from: number): number => {
    let at = from;
    while (next[at] !== at) {
      next[at] = next[next[at] ?? at] ?? at;
      at = next[at] ?? at;
    }
    return at;
  };
  for (const { claim, start, limit } of cut) {
    const stop = indexOf.get(limit) ?? 0;
    for (let at = free(indexOf.get(start) ?? 0); at < stop; at = free(at)) {
      owner[at] = claim;
      next[at] = at + 1;
    }
  }
  return runs(edges, owner, own);
}

function runs(
  edges: Uint32Array,
  owner: readonly (Claim | undefined)[],
  own: ReadonlyMap<number, number>,
): Covered[] {
  const out: {
    rids: { start: number; end: number };
    iommu: string | number;
    endpointId: number;
  }[] = [];
  const put = (start: number, end: number, iommu: string | number, endpointId: number): void => {
    const last = out.at(-1);
    const follows = last?.rids.end === start - 1 && last.iommu === iommu;
    if (follows && last.endpointId + (start - last.rids.start) === endpointId) last.rids.end = end;
    else out.push({ rids: { start, end }, iommu, endpointId });
  };
  for (const [index, claim] of owner.entries()) {
    const start = edges[index] ?? 0;
    const limit = edges[index + 1] ?? start;
    if (claim?.iommu === undefined || own.get(start) === claim.iommu) continue;
    const endpointId = (claim.base + (start - claim.start)) % IDS;
    // Endpoint IDs have 32 bits; where they begin again, so does the run.
    const first = Math.min(limit, start + (IDS - endpointId));
    put(start, first - 1, claim.iommu, endpointId);
    if (first < limit) put(first, limit - 1, claim.iommu, 0);
  }
  return out;
}

/** All requester IDs of a bus range, cut to those that exist. */
function ridsOf(buses: Range<number>): Range<number> {
  return { start: Math.min(buses.start, 0x100) << 8, end: (Math.min(buses.end, 0xff) << 8) | 0xff };
}

/**
 * What `iommu-map` gives the functions of a host, as Linux' of_map_id looks it up: the first
 * matching row, after `iommu-map-mask`. A length that is no multiple of 16 bytes, or a row whose
 * base has bits that the mask takes away, makes Linux refuse the map: then nothing is covered.
 */
export function coveredByHost(host: TreeHost): Covered[] {
  const { iommuMap } = host;
  if (iommuMap === undefined || iommuMap.leftover > 0 || iommuMap.bytes % 16 !== 0) return [];
  const mask = host.iommuMapMask?.value ?? 0xffff_ffff;
  const rows = iommuMap.rows.map(({ ridBase, target, outputBase, length }): Claim => {
    const iommu = 'key' in target ? target.key : undefined;
    return { start: ridBase, length, iommu, base: outputBase };
  });
  if ((mask & 0xffff) === 0xffff) return settle(rows, ridsOf(host.buses));
  if (rows.some(({ start }) => (start & ~mask) !== 0)) return [];
  const masked = settle(rows, { start: 0, end: RIDS - 1 });
  return settle(unmask(masked, mask & 0xffff), ridsOf(host.buses));
}

/** Each requester ID takes the row of what the mask leaves of it. */
function* unmask(masked: readonly Covered[], mask: number): Generator<Claim, void, undefined> {
  const byRid = new Map<number, Claim>();
  for (const { rids, iommu, endpointId } of masked) {
    for (let rid = rids.start; rid <= rids.end; rid++) {
      byRid.set(rid, { start: rid, length: 1, iommu, base: endpointId + (rid - rids.start) });
    }
  }
  for (let rid = 0; rid < RIDS; rid++) {
    const claim = byRid.get(rid & mask);
    if (claim !== undefined) yield { ...claim, start: rid };
  }
}

/** What a VIOT gives the functions of a segment: Linux takes the last node that matches. */
export function coveredByViot(viot: ViotDescription, segment: number): Covered[] {
  const claims: Claim[] = [];
  const iommus = new Set<number>();
  const own = new Map<number, number>();
  for (const node of viot.nodes) {
    if (node.type === 'pci-iommu' || node.type === 'mmio-iommu') iommus.add(node.offset);
    if (node.type === 'pci-iommu' && node.segment === segment) {
      own.set(node.rid, node.offset);
    }
  }
  for (const node of viot.nodes.toReversed()) {
    if (node.type !== 'pci-range') continue;
    const { segments, rids } = node;
    if (segment < segments.start || segments.end < segment || rids.end < rids.start) continue;
    claims.push({
      start: rids.start,
      length: rids.end - rids.start + 1,
      iommu: iommus.has(node.output) ? node.output : undefined,
      base: (node.endpointStart + (segment - segments.start) * RIDS) % 2 ** 32,
    });
  }
  // Linux never puts an IOMMU behind itself, but it does put one behind another.
  return settle(claims, { start: 0, end: RIDS - 1 }, own);
}
