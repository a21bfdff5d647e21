import {
  cells,
  empty,
  str,
  strlist,
  u64cells,
  type FdtCell,
  type FdtNode,
} from '../../fdt/index.ts';
import { sizeOf } from '../../bytes/index.ts';
import type {
  Model,
  TreeDescription,
  TreeDevice,
  TreeIommu,
  TreeRegion,
} from '../../topology/index.ts';
import { setCells, type Filler, type TreeBench } from './bench.ts';
import { transportNode } from './board.ts';
import { spi } from './gic.ts';
import { setPciReg } from './pci-node.ts';

/** Fillers for what lies below each host, by the host's key. */
export type BridgeFillers = ReadonlyMap<string, Filler>;

/** Makes the node of a vIOMMU, with `#iommu-cells` (virtio/pci-iommu.yaml, virtio/mmio.yaml). */
export function addIommu(
  bench: TreeBench,
  model: Model,
  iommu: TreeIommu,
  bridges: BridgeFillers,
): void {
  const { location } = iommu;
  const host = location.kind === 'pci' ? location.host : undefined;
  const node = bench.claim(
    iommu.key,
    iommu.path,
    host === undefined ? undefined : bridges.get(host),
  );
  if (location.kind === 'pci') {
    node.set('compatible', strlist(...iommu.compatible));
    setPciReg(node, location.rid);
  } else {
    const transport = model.viommus.find(({ id }) => id === iommu.key)?.transport;
    const size = transport?.kind === 'mmio' ? transport.size : 0x200n;
    const interrupt = transport?.kind === 'mmio' ? transport.interrupt : 0;
    copyProps(node, transportNode(node.name, location.base, size, interrupt));
    node.set('compatible', strlist(...iommu.compatible));
  }
  setIommuProperties(node, iommu);
}

/** What makes a node an IOMMU. */
export function setIommuProperties(node: FdtNode, iommu: TreeIommu): void {
  setCells(node, '#iommu-cells', iommu.iommuCells);
  if (iommu.enabled) node.props.delete('status');
  else node.set('status', str('disabled'));
}

function copyProps(to: FdtNode, from: FdtNode): void {
  for (const [name, value] of from.props) to.set(name, value);
}

/** Makes the node of a device that a region or an `iommus` is about. */
export function addDevice(
  bench: TreeBench,
  model: Model,
  device: TreeDevice,
  bridges: BridgeFillers,
): void {
  const fill = device.pci === undefined ? undefined : bridges.get(device.pci.host);
  const node = bench.claim(device.key, device.path, fill);
  if (device.pci !== undefined) {
    setPciReg(node, device.pci.rid);
    if (device.compatible.length > 0) node.set('compatible', strlist(...device.compatible));
    return;
  }
  const location = model.endpoints.find(({ id }) => id === device.key)?.location;
  if (device.compatible.length > 0) node.set('compatible', strlist(...device.compatible));
  if (device.base !== undefined) {
    const size = location?.kind === 'platform' ? location.size : 0x200n;
    node.set('reg', u64cells(device.base, size));
  }
  if (location?.kind === 'platform' && location.interrupt !== undefined) {
    node.set('interrupts', cells(spi(location.interrupt, 'edge')));
  }
  node.set('dma-coherent', empty());
}

/** `iommus` and `memory-region` of a device whose node exists; both need all nodes claimed. */
export function linkDevice(bench: TreeBench, device: TreeDevice): void {
  const node = bench.node(device.key);
  if (node === undefined) return;
  const iommus = device.iommus.flatMap(({ target, ids }): FdtCell[] => [
    bench.cell(target),
    ...ids,
  ]);
  setCells(node, 'iommus', iommus.length === 0 ? undefined : iommus);
  const regions = device.memoryRegions.map((key) => bench.cell({ key }));
  setCells(node, 'memory-region', regions.length === 0 ? undefined : regions);
}

/** `/reserved-memory` (reserved-memory.yaml), when there is something to put into it. */
export function addRegions(bench: TreeBench, tree: TreeDescription): void {
  for (const region of tree.regions) {
    const node = bench.claim(region.key, region.path, (parent) => {
      parent.set('#address-cells', cells(2)).set('#size-cells', cells(2)).set('ranges', empty());
    });
    if (region.physical !== undefined) {
      node.set('reg', u64cells(region.physical.start, sizeOf(region.physical)));
    }
  }
}

/** `iommu-addresses` of a region whose node and devices exist. */
export function linkRegion(bench: TreeBench, region: TreeRegion): void {
  const addresses = region.addresses.flatMap(({ device, cells: raw }): FdtCell[] => [
    bench.cell(device),
    ...raw,
  ]);
  const node = bench.node(region.key);
  if (node !== undefined) setCells(node, 'iommu-addresses', addresses);
}
