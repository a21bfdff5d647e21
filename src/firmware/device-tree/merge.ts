import {
  FdtNode,
  mergeFdt,
  phandleIndex,
  readFdt,
  writeFdt,
  type FdtRemoval,
} from '../../fdt/index.ts';
import type { Model, TreeDescription } from '../../topology/index.ts';
import { describeBlob } from '../read/tree.ts';
import { regRanges, TreeScan } from '../read/tree-scan.ts';
import { TreeBench, type Filler } from './bench.ts';
import { linkAll } from './build.ts';
import { addDevice, addIommu, addRegions, setIommuProperties } from './dma.ts';
import { addHostFrame } from './host.ts';
import { matchBase, type BaseMatch } from './merge-match.ts';
import { bridgeFiller } from './pci-node.ts';

/** Properties of a host bridge that say who translates whom; the merged tree has only ours. */
const OWNED = [
  'iommu-map',
  'iommu-map-mask',
  'msi-map',
  'msi-map-mask',
  'msi-parent',
  'linux,pci-domain',
];

/**
 * Puts a topology's IOMMUs into another tree, QEMU's say, and gives a new one.
 *
 * Ours are the vIOMMUs' nodes and `#iommu-cells`, the hosts' maps and `linux,pci-domain`, the
 * devices' `iommus` and the reserved regions with `iommu-addresses`: those of the base are taken
 * out. All else of the base stays byte for byte. Hosts are matched by segment and buses,
 * platform devices and MSI controllers by address.
 * @throws FirmwareError `merge/no-host` when the base has other buses where a host of the
 * topology is, `merge/no-msi-controller` when a doorbell that is used is not in it.
 * @throws FormatError when `base` is bytes and no device tree.
 */
export function mergeDeviceTree(
  base: FdtNode | Uint8Array,
  model: Model,
  tree: TreeDescription,
): FdtNode {
  const bytes = base instanceof FdtNode ? writeFdt(base, { names: 'lax' }) : base;
  const blob = readFdt(bytes);
  const found = describeBlob(blob, 'base', bytes.length);
  const windows = new Map(
    new TreeScan(blob, 'base').nodes
      .filter((at) => at.host === at)
      .map((at) => [at.path, regRanges(at)]),
  );
  const match = matchBase({ ...found, windows }, model, tree);
  const overlay = overlayTree(model, match, blob.tree);
  return mergeFdt(blob.tree, overlay, { remove: removals(blob.tree, found, match) });
}

/** The parts of the tree that are ours, at the base's paths. */
function overlayTree(model: Model, match: BaseMatch, base: FdtNode): FdtNode {
  const { tree } = match;
  const bench = new TreeBench(
    new FdtNode(''),
    model.viommus.map(({ id }) => id),
  );
  const gic = model.gic && findGic(base, bench);
  for (const msi of tree.msiControllers) bench.claim(msi.key, msi.path);
  const bridges = new Map<string, Filler>();
  for (const described of tree.hosts) {
    const node = bench.claim(described.key, described.path);
    for (const { id } of model.hosts) {
      if (match.hostOf.get(id) === described.key) bench.assign(id, node);
    }
    const host = model.hosts.find(({ id }) => id === described.key);
    if (host === undefined) continue;
    if (!match.inBase.has(described.path)) addHostFrame(node, described, host, model, gic);
    bridges.set(described.key, bridgeFiller(host, described));
  }
  for (const iommu of tree.iommus) {
    if (iommu.location.kind === 'pci' || !match.inBase.has(iommu.path)) {
      addIommu(bench, model, iommu, bridges);
    } else {
      setIommuProperties(bench.claim(iommu.key, iommu.path), iommu);
    }
  }
  for (const device of tree.devices) {
    if (match.inBase.has(device.path)) bench.claim(device.key, device.path);
    else addDevice(bench, model, device, bridges);
  }
  addRegions(bench, tree);
  linkAll(bench, model, tree);
  return bench.root;
}

/** The base's interrupt controller, for the INTx lines of hosts that it does not have. */
function findGic(base: FdtNode, bench: TreeBench): FdtNode | undefined {
  const parent = base.bytes('interrupt-parent');
  if (parent?.length !== 4) return undefined;
  const phandle = new DataView(parent.buffer, parent.byteOffset, 4).getUint32(0);
  const node = phandleIndex(base).get(phandle);
  return node && base.children.includes(node) ? bench.ensure(`/${node.name}`) : undefined;
}

/** What the base must lose so that nothing but ours is said of IOMMUs. */
function removals(base: FdtNode, found: TreeDescription, match: BaseMatch): FdtRemoval[] {
  const out: FdtRemoval[] = [];
  const dropProperty = (path: string, property: string): void => {
    if (nodeAt(base, path)?.props.has(property) === true) out.push({ node: path, property });
  };
  const hosts = new Set(match.tree.hosts.map(({ path }) => path));
  for (const { path } of found.hosts) {
    if (hosts.has(path)) for (const property of OWNED) dropProperty(path, property);
  }
  const kept = new Set(match.tree.iommus.map(({ path }) => path));
  const lost = new Set<string>();
  for (const { path, virtio, location } of found.iommus) {
    if (!virtio) continue;
    if (location.kind === 'pci' && !kept.has(path)) {
      lost.add(path);
      out.push({ node: path });
    } else {
      dropProperty(path, '#iommu-cells');
      dropProperty(path, 'status');
    }
  }
  const regions = new Set(found.regions.map(({ key }) => key));
  for (const { path, iommus, memoryRegions } of found.devices) {
    if (lost.has(path)) continue;
    if (iommus.some(({ target }) => 'key' in target && isVirtio(found, target.key))) {
      dropProperty(path, 'iommus');
    }
    if (memoryRegions.length > 0 && memoryRegions.every((key) => regions.has(key))) {
      dropProperty(path, 'memory-region');
    }
  }
  for (const { path } of found.regions) out.push({ node: path });
  return out;
}

function isVirtio(found: TreeDescription, key: string): boolean {
  return found.iommus.some((iommu) => iommu.key === key && iommu.virtio);
}

function nodeAt(root: FdtNode, path: string): FdtNode | undefined {
  let node: FdtNode | undefined = root;
  for (const name of path.split('/')) {
    if (name !== '') node = node?.children.find((child) => child.name === name);
  }
  return node;
}
