import type { TreeDescription, TreeHost, TreeIommu } from '../../description.ts';
import type { Facts } from '../../facts.ts';
import type { Model, PciHost, Viommu } from '../../model.ts';
import { overlaps } from '../../../bytes/index.ts';
import type { ViotIommu } from './viot-runs.ts';

// A description made from a model calls things by the topology's ids; one that was read from a
// blob calls them by their paths. Both are matched here, names first, then locations.

/** The tree's node for a host of the model. */
export function treeHostOf(tree: TreeDescription, host: PciHost): TreeHost | undefined {
  return (
    tree.hosts.find((it) => it.key === host.id) ??
    tree.hosts.find((it) => (it.segment ?? 0) === host.segment && overlaps(it.buses, host.buses))
  );
}

/** The tree's node for a vIOMMU of the model: by id, else by where Linux would look for it. */
export function treeIommuOf(facts: Facts, viommu: Viommu): TreeIommu | undefined {
  const { tree, model } = facts;
  if (tree === undefined || model === undefined) return undefined;
  return (
    tree.iommus.find((it) => it.key === viommu.id) ??
    tree.iommus.find((it) => sitsAt(tree, model, it, viommu))
  );
}

/** Whether a PCI node is what Linux takes for the vIOMMU: it compares device and function only. */
export function sitsAt(
  tree: TreeDescription,
  model: Model,
  node: TreeIommu,
  viommu: Viommu,
): boolean {
  const { location } = node;
  const { transport } = viommu;
  if (location.kind === 'mmio') {
    return transport.kind === 'mmio' && transport.base === location.base;
  }
  if (transport.kind !== 'pci' || (location.rid & 0xff) !== (transport.rid & 0xff)) return false;
  const host = model.hosts.find((it) => it.id === transport.host);
  if (host === undefined || treeHostOf(tree, host)?.key !== location.host) return false;
  const onRootBus = transport.rid >> 8 === host.buses.start;
  return onRootBus === (location.parent === location.host);
}

/** The model's vIOMMU that a tree's node stands for. */
export function viommuOfTree(facts: Facts, key: string): Viommu | undefined {
  const { tree, model } = facts;
  if (tree === undefined || model === undefined) return undefined;
  const byId = model.viommus.find((it) => it.id === key);
  if (byId !== undefined) return byId;
  const node = tree.iommus.find((it) => it.key === key);
  return node && model.viommus.find((it) => sitsAt(tree, model, node, it));
}

/** The model's vIOMMU at the place that a VIOT node names. */
export function viommuOfViot(model: Model, node: ViotIommu): Viommu | undefined {
  return model.viommus.find(({ transport }) =>
    node.type === 'pci-iommu'
      ? transport.kind === 'pci' && transport.segment === node.segment && transport.rid === node.rid
      : transport.kind === 'mmio' && transport.base === node.base,
  );
}

/** Whether the guest runs on QEMU, whose device knows endpoints by their requester ID only. */
export function onQemu(model: Model): boolean {
  return model.board !== 'emulator';
}

/** Whether a requester ID is that of a vIOMMU itself, which needs no translation. */
export function isViommu(model: Model, segment: number, rid: number): boolean {
  return model.viommus.some(
    ({ transport }) =>
      transport.kind === 'pci' && transport.segment === segment && transport.rid === rid,
  );
}
