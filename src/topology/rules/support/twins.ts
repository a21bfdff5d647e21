import { hex } from '../../../bytes/index.ts';
import type { TreeDescription, TreeIommu, ViotDescription } from '../../description.ts';
import type { Place } from '../../diagnostic.ts';
import type { Finding } from '../../facts.ts';
import type { Answer } from './pieces.ts';
import { showFunction } from './text.ts';
import { viotIommus, type ViotIommu } from './viot-runs.ts';

/** A device tree and a VIOT that should be of one machine: which IOMMU is which. */
export interface Twins {
  readonly tree: TreeDescription;
  readonly viot: ViotDescription;
  /** The tree's key of each IOMMU of the VIOT (by {@link viotKey}) that the tree has too. */
  readonly names: ReadonlyMap<string, string>;
  /** IOMMUs of the VIOT, by key, that the tree does not have, and where they are. */
  readonly viotOnly: ReadonlyMap<string, { readonly at: string; readonly place: Place }>;
  /** Enabled virtio-iommus of the tree that the VIOT does not have. */
  readonly treeOnly: readonly TreeIommu[];
  /** Keys of the tree's IOMMUs that are no virtio-iommu: VIOT says nothing about them. */
  readonly foreign: ReadonlySet<string>;
  /** Whether either has a PCI IOMMU there. */
  isIommu(segment: number, rid: number): boolean;
}

/** Where something is, the same for a node of the tree and of the VIOT. */
function pciSpot(segment: number, rid: number): string {
  return `pci ${segment} ${rid}`;
}

function viotSpot(node: ViotIommu): string {
  return node.type === 'pci-iommu' ? pciSpot(node.segment, node.rid) : `mmio ${node.base}`;
}

/** Matches IOMMUs by what sits at the same place: linear in both. */
export function twins(tree: TreeDescription, viot: ViotDescription): Twins {
  const segments = new Map(tree.hosts.map((host) => [host.key, host.segment ?? 0]));
  const inTree = new Map(
    tree.iommus.map(({ key, location }) => {
      if (location.kind === 'mmio') return [`mmio ${location.base}`, key] as const;
      return [pciSpot(segments.get(location.host) ?? 0, location.rid), key] as const;
    }),
  );
  const names = new Map<string, string>();
  const viotOnly = new Map<string, { at: string; place: Place }>();
  const spots = new Set(inTree.keys());
  for (const [viotName, node] of viotIommus(viot)) {
    const spot = viotSpot(node);
    spots.add(spot);
    const name = inTree.get(spot);
    const at = node.type === 'pci-iommu' ? showFunction(node.segment, node.rid) : hex(node.base);
    if (name === undefined) viotOnly.set(viotName, { at, place: node.place });
    else names.set(viotName, name);
  }
  const paired = new Set(names.values());
  return {
    tree,
    viot,
    names,
    viotOnly,
    treeOnly: tree.iommus.filter((it) => it.virtio && it.enabled && !paired.has(it.key)),
    foreign: new Set(tree.iommus.filter((it) => !it.virtio).map((it) => it.key)),
    isIommu: (segment, rid) => spots.has(pciSpot(segment, rid)),
  };
}

/** What both say about `what`, at the place of the one that says something. */
export function tellPiece(
  what: string,
  { wanted, got }: { readonly wanted?: Answer; readonly got?: Answer },
  { viotOnly, viot }: Twins,
  silent: Place,
): Finding {
  const says = (answer: Answer | undefined): string => {
    if (answer === undefined) return 'no IOMMU';
    const at = viotOnly.get(answer.iommu)?.at;
    const name = at === undefined ? answer.iommu : `the IOMMU at ${at}`;
    return `${name}, endpoint ID ${hex(answer.id)}`;
  };
  return {
    place: got?.place ?? viot.place,
    message: `${what}: the device tree says ${says(wanted)}; VIOT says ${says(got)}`,
    related: [{ place: wanted?.place ?? silent, message: 'what the device tree says' }],
  };
}
