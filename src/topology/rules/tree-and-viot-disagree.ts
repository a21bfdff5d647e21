import { hex } from '../../bytes/index.ts';
import type { TreeDescription, TreeHost, TreeIommu, ViotDescription } from '../description.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { clip, iommuRuns, ridsOf, type Run } from './support/rid-map.ts';
import { showRids } from './support/text.ts';
import { viotIommus, viotKey, viotRuns, type ViotIommu } from './support/viot-runs.ts';

/** The tree's IOMMU that a VIOT node is: what sits at the same place. */
function counterpart(tree: TreeDescription, node: ViotIommu): TreeIommu | undefined {
  return tree.iommus.find(({ location }) => {
    if (node.type === 'mmio-iommu') return location.kind === 'mmio' && location.base === node.base;
    if (location.kind !== 'pci' || location.rid !== node.rid) return false;
    return (tree.hosts.find((it) => it.key === location.host)?.segment ?? 0) === node.segment;
  });
}

/** Pairs of runs, one of each, that have requester IDs in common. Both ascend. */
function* meetings(a: readonly Run[], b: readonly Run[]): Generator<readonly [Run, Run]> {
  let i = 0;
  let j = 0;
  for (;;) {
    const one = a[i];
    const two = b[j];
    if (one === undefined || two === undefined) return;
    if (one.rids.start <= two.rids.end && two.rids.start <= one.rids.end) yield [one, two];
    if (one.rids.end < two.rids.end) i++;
    else j++;
  }
}

function* checkHost(
  facts: Facts,
  tree: TreeDescription,
  viot: ViotDescription,
  host: TreeHost,
  names: ReadonlyMap<string, TreeIommu | undefined>,
): Generator<Finding> {
  const segment = host.segment ?? 0;
  const inTree = iommuRuns(tree, host, facts.kernel);
  const inViot = clip(viotRuns(viot, segment), ridsOf(host.buses));
  for (const [one, two] of meetings(inTree, inViot)) {
    if (one.to === undefined || two.to === undefined) continue;
    const start = Math.max(one.rids.start, two.rids.start);
    const shared = { start, end: Math.min(one.rids.end, two.rids.end) };
    const treeId = one.to.id + (start - one.rids.start);
    const viotId = two.to.id + (start - two.rids.start);
    const key = names.get(two.to.iommu)?.key;
    // An IOMMU that the tree does not have has a rule of its own.
    if (key === undefined || (key === one.to.iommu && treeId === viotId)) continue;
    yield {
      place: two.place,
      message: `${showRids(segment, shared)}: the device tree says ${one.to.iommu}, endpoint ID ${hex(treeId)}; VIOT says ${key}, ${hex(viotId)}`,
      related: [{ place: one.place, message: 'what the device tree says' }],
    };
  }
}

export const treeAndViotDisagree: Rule = {
  id: 'tree-and-viot-disagree',
  summary: 'Device tree and VIOT give each requester ID the same vIOMMU and endpoint ID.',
  severity: 'error',
  effect:
    'At most one of them can be right: with the other the device is not known to its vIOMMU and works untranslated.',
  cure: 'Derive both from one topology: requester ID + segment << 16.',
  *check(facts: Facts): Iterable<Finding> {
    const { model, tree, viot } = facts;
    // A topology is compared with each of its descriptions already.
    if (model !== undefined || tree === undefined || viot === undefined) return;
    const names = new Map(
      [...viotIommus(viot).values()].map((node) => [viotKey(node), counterpart(tree, node)]),
    );
    for (const host of tree.hosts) yield* checkHost(facts, tree, viot, host, names);
  },
};
