import { hex, type Range } from '../../bytes/index.ts';
import type { Place } from '../diagnostic.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { clip, iommuRuns, keyOf, ridsOf, type Run } from './support/rid-map.ts';
import { overlappingPairs } from './support/overlap.ts';
import { showRids } from './support/text.ts';
import { viotKey, viotOutput, viotRuns, viotSegments } from './support/viot-runs.ts';

/** Requesters that an IOMMU is told to know by consecutive endpoint IDs. */
interface Claim {
  readonly range: Range<number>;
  /** Segment and first requester ID, or a platform device. */
  readonly who: { readonly segment: number; readonly rid: number } | { readonly device: string };
  readonly place: Place;
}

type Claims = Map<string, Claim[]>;

function add(claims: Claims, iommu: string, claim: Claim): void {
  const list = claims.get(iommu);
  if (list === undefined) claims.set(iommu, [claim]);
  else list.push(claim);
}

function addRuns(claims: Claims, segment: number, runs: readonly Run[]): void {
  for (const { rids, to, place } of runs) {
    if (to === undefined) continue;
    const range = { start: to.id, end: to.id + (rids.end - rids.start) };
    add(claims, to.iommu, { range, who: { segment, rid: rids.start }, place });
  }
}

function treeClaims(facts: Facts): Claims {
  const claims: Claims = new Map();
  const { tree } = facts;
  if (tree === undefined) return claims;
  const virtio = new Set(tree.iommus.filter((it) => it.virtio).map((it) => it.key));
  for (const host of tree.hosts) {
    // A mask makes functions share an ID on purpose.
    if (host.iommuMapMask !== undefined && host.iommuMapMask.value < 0xffff) continue;
    const runs = clip(iommuRuns(tree, host, facts.kernel), ridsOf(host.buses));
    addRuns(claims, host.segment ?? 0, runs);
  }
  for (const device of tree.devices) {
    const entry = device.iommus[0];
    const key = entry && keyOf(entry.target);
    // Linux does not look at the iommus of a PCI device.
    if (entry === undefined || key === undefined || device.pci !== undefined) continue;
    for (const id of entry.ids.slice(0, 1)) {
      const who = { device: device.key };
      add(claims, key, { range: { start: id, end: id }, who, place: entry.place });
    }
  }
  for (const key of claims.keys()) if (!virtio.has(key)) claims.delete(key);
  return claims;
}

function viotClaims({ viot }: Facts): Claims {
  const claims: Claims = new Map();
  if (viot === undefined) return claims;
  for (const segment of viotSegments(viot)) addRuns(claims, segment, viotRuns(viot, segment));
  for (const node of viot.nodes) {
    if (node.type !== 'mmio-endpoint') continue;
    const iommu = viotOutput(viot, node.output);
    if (iommu === undefined) continue;
    const range = { start: node.endpoint, end: node.endpoint };
    const who = { device: `the platform device at ${hex(node.base)}` };
    add(claims, viotKey(iommu), { range, who, place: node.place });
  }
  return claims;
}

/** Who of the claim has the IDs `shared`. */
function name(claim: Claim, shared: Range<number>): string {
  const { who } = claim;
  if ('device' in who) return who.device;
  const start = who.rid + (shared.start - claim.range.start);
  return showRids(who.segment, { start, end: start + (shared.end - shared.start) });
}

function* collisions(claims: Claims): Generator<Finding> {
  for (const [iommu, list] of claims) {
    for (const [a, b] of overlappingPairs(list)) {
      const start = Math.max(a.range.start, b.range.start);
      const shared = { start, end: Math.min(a.range.end, b.range.end) };
      const first = name(a, shared);
      const second = name(b, shared);
      // The same function of two hosts that claim its bus is the business of another rule.
      if (first === second) continue;
      const count = shared.end - shared.start + 1;
      const ids = count === 1 ? hex(start) : `${hex(start)}-${hex(shared.end)}`;
      const by = iommu.startsWith('viot+') ? `the IOMMU at ${hex(Number(iommu.slice(5)))}` : iommu;
      yield {
        place: b.place,
        message: `${first} and ${second} have the same endpoint ID ${ids} on ${by}`,
        related: [{ place: a.place, message: `the ID of ${first}` }],
      };
    }
  }
}

export const endpointIdCollision: Rule = {
  id: 'endpoint-id-collision',
  catalogue: [10],
  summary: 'No two requesters have the same endpoint ID on one vIOMMU.',
  severity: 'error',
  effect:
    'Linux attaches one device-side endpoint twice: the other device has no domain, its DMA faults ("page fault from EP …") and its I/O hangs.',
  cure: 'Give every requester its own ID: requester ID + segment << 16, platform devices above.',
  *check(facts: Facts): Iterable<Finding> {
    const inTree = [...collisions(treeClaims(facts))];
    yield* inTree;
    // Both descriptions of one topology repeat its mistake; it is said once.
    const said = new Set(inTree.map((it) => it.place));
    for (const finding of collisions(viotClaims(facts))) {
      if (!said.has(finding.place)) yield finding;
    }
  },
};
