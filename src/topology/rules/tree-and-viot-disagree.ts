import { hex } from '../../bytes/index.ts';
import type { TreeDescription, TreeHost, ViotDescription } from '../description.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { pieces } from './support/pieces.ts';
import { clip, iommuRuns, keyOf, ridsOf, type Run } from './support/rid-map.ts';
import { showRids } from './support/text.ts';
import { tellPiece, twins, type Twins } from './support/twins.ts';
import { viotKey, viotOutput, viotRuns, type ViotEndpoint } from './support/viot-runs.ts';

/** Segments of PCI: VIOT has 16 bits for them. */
const SEGMENTS = 0x1_0000;

/** IOMMUs that one of the two does not have. */
function* checkIommus({ treeOnly, viotOnly, tree, viot }: Twins): Generator<Finding> {
  for (const node of viotOnly.values()) {
    yield {
      place: node.place,
      message: `VIOT has an IOMMU at ${node.at}: the device tree has none there`,
      related: tree.iommus.slice(0, 8).map(({ key, place }) => ({
        place,
        message: `the device tree has ${key}`,
      })),
    };
  }
  for (const iommu of treeOnly) {
    yield {
      place: iommu.place,
      message: `the device tree has the IOMMU ${iommu.key}: VIOT has none there`,
      related: [{ place: viot.place, message: 'the VIOT' }],
    };
  }
}

/** Requester IDs on the buses of one host. */
function* checkHost(facts: Facts, known: Twins, host: TreeHost, runs: Run[]): Generator<Finding> {
  const { tree, names } = known;
  const segment = host.segment ?? 0;
  const inViot = clip(runs, ridsOf(host.buses)).map((run): Run =>
    run.to === undefined
      ? run
      : { ...run, to: { ...run.to, iommu: names.get(run.to.iommu) ?? run.to.iommu } },
  );
  const inTree = iommuRuns(tree, host, facts.kernel);
  for (const piece of pieces(inTree, inViot)) {
    const { rids, wanted, got } = piece;
    // VIOT cannot cut an IOMMU out of its own range, and needs not.
    if (rids.start === rids.end && known.isIommu(segment, rids.start)) continue;
    // Endpoints of an SMMU are not VIOT's business.
    if (got === undefined && wanted !== undefined && known.foreign.has(wanted.iommu)) continue;
    yield tellPiece(showRids(segment, rids), piece, known, host.place);
  }
}

/** Ranges of segments that have no host in the tree. */
function* checkSegments(tree: TreeDescription, viot: ViotDescription): Generator<Finding> {
  const segments = new Set(tree.hosts.map((host) => host.segment ?? 0));
  // The first segment with a host, at or after each: tables and trees have thousands of both.
  const next = new Uint32Array(SEGMENTS + 1).fill(SEGMENTS);
  for (let at = SEGMENTS - 1; at >= 0; at--) next[at] = segments.has(at) ? at : (next[at + 1] ?? 0);
  for (const node of viot.nodes) {
    if (node.type !== 'pci-range' || node.segments.start > node.segments.end) continue;
    const { start, end } = node.segments;
    if ((next[start] ?? SEGMENTS) <= end) continue;
    const which = start === end ? `segment ${start}` : `segments ${start}-${end}`;
    yield {
      place: node.place,
      message: `VIOT translates ${which}: the device tree has no host there`,
      related: [{ place: tree.place, message: 'the device tree' }],
    };
  }
}

/** Platform devices: by their address. */
function* checkPlatform(known: Twins): Generator<Finding> {
  const { tree, viot, names } = known;
  const inViot = new Map<bigint, ViotEndpoint>();
  for (const node of viot.nodes) {
    const usable = node.type === 'mmio-endpoint' && viotOutput(viot, node.output) !== undefined;
    if (usable) inViot.set(node.base, node);
  }
  for (const { base, iommus, place: at } of tree.devices) {
    if (base === undefined) continue;
    const [entry] = iommus;
    const node = inViot.get(base);
    inViot.delete(base);
    const key = entry && keyOf(entry.target);
    // An entry that leads nowhere has rules of its own.
    if (entry !== undefined && (key === undefined || entry.ids.length !== 1)) continue;
    if (entry !== undefined && node === undefined && known.foreign.has(key ?? '')) continue;
    const wanted = entry && { iommu: key ?? '', id: entry.ids[0] ?? 0, place: entry.place };
    const got = node && answerOf(node, viot, names);
    if (wanted?.iommu === got?.iommu && wanted?.id === got?.id) continue;
    const piece = { ...(wanted && { wanted }), ...(got && { got }) };
    yield tellPiece(`the device at ${hex(base)}`, piece, known, at);
  }
  for (const [base, node] of inViot) {
    const got = answerOf(node, viot, names);
    yield tellPiece(`the device at ${hex(base)}`, { ...(got && { got }) }, known, tree.place);
  }
}

function answerOf(
  node: ViotEndpoint,
  viot: ViotDescription,
  names: Twins['names'],
): { iommu: string; id: number; place: Finding['place'] } | undefined {
  const iommu = viotOutput(viot, node.output);
  if (iommu === undefined || node.type !== 'mmio-endpoint') return undefined;
  const key = viotKey(iommu);
  return { iommu: names.get(key) ?? key, id: node.endpoint, place: node.place };
}

export const treeAndViotDisagree: Rule = {
  id: 'tree-and-viot-disagree',
  summary:
    'Device tree and VIOT have the same vIOMMUs, and give each requester ID the same vIOMMU and endpoint ID.',
  severity: 'error',
  effect:
    'At most one of them can be right: with the other the device is not known to its vIOMMU and works untranslated.',
  cure: 'Derive both from one topology (`viommu-topo build`): requester ID + segment << 16.',
  *check(facts: Facts): Iterable<Finding> {
    const { model, tree, viot } = facts;
    // A topology is compared with each of its descriptions already.
    if (model !== undefined || tree === undefined || viot === undefined) return;
    const known = twins(tree, viot);
    yield* checkIommus(known);
    yield* checkSegments(tree, viot);
    const bySegment = new Map<number, Run[]>();
    for (const host of tree.hosts) {
      const segment = host.segment ?? 0;
      const runs = bySegment.get(segment) ?? viotRuns(viot, segment);
      bySegment.set(segment, runs);
      yield* checkHost(facts, known, host, runs);
    }
    yield* checkPlatform(known);
  },
};
