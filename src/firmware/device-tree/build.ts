import { cells, FdtNode, findPath, str } from '../../fdt/index.ts';
import type { Model, TreeDescription } from '../../topology/index.ts';
import { FirmwareError } from '../error.ts';
import { TreeBench, type Filler } from './bench.ts';
import { addArmBoard, addMemory } from './board.ts';
import { addDevice, addIommu, addRegions, linkDevice, linkRegion } from './dma.ts';
import { addMsiControllers, gicPath } from './gic.ts';
import { addHostFrame, setHostMaps } from './host.ts';
import { bridgeFiller } from './pci-node.ts';

/** Name of the property that a `padding` override fills. */
export const PADDING_PROPERTY = 'viommu-topo,padding';

/**
 * The whole device tree of a topology's board: everything a kernel needs that is started with it
 * and nothing else. Every fact about IOMMUs is `tree`'s; this only gives it the form of nodes.
 *
 * The tree has references; `writeFdt` and `resolvePhandles` number them. On a board without a
 * device tree of its own (q35) it holds memory, host bridges and IOMMUs.
 * @throws FirmwareError when the description refers to what it does not contain.
 */
export function buildDeviceTree(model: Model, tree: TreeDescription): FdtNode {
  const bench = new TreeBench(
    new FdtNode(''),
    model.viommus.map(({ id }) => id),
  );
  if (model.gic !== undefined) addArmBoard(bench, model, model.gic, tree);
  else addBareBoard(bench, model, tree);
  addMsiControllers(bench, model, tree);
  const gic = model.gic && findPath(bench.root, gicPath(model.gic, tree));

  const bridges = new Map<string, Filler>();
  for (const described of tree.hosts) {
    const node = bench.claim(described.key, described.path);
    const host = model.hosts.find(({ id }) => id === described.key);
    if (host === undefined) continue;
    addHostFrame(node, described, host, model, gic);
    bridges.set(described.key, bridgeFiller(host, described));
  }
  for (const iommu of tree.iommus) addIommu(bench, model, iommu, bridges);
  for (const device of tree.devices) addDevice(bench, model, device, bridges);
  addRegions(bench, tree);
  linkAll(bench, model, tree);

  const padding = model.firmware.overrides?.padding;
  if (padding !== undefined) bench.root.set(PADDING_PROPERTY, paddingOf(padding));
  return bench.root;
}

/** More padding than this shows nothing that less does not. */
const PADDING_MAX = 256n << 20n;

function paddingOf(bytes: bigint): Uint8Array {
  if (bytes > PADDING_MAX) {
    const what = `${bytes} bytes of padding, at most ${PADDING_MAX} can be written`;
    throw new FirmwareError('firmware/does-not-fit', what);
  }
  return new Uint8Array(Number(bytes));
}

/** Everything that refers to other nodes, once all nodes are there. */
export function linkAll(bench: TreeBench, model: Model, tree: TreeDescription): void {
  for (const described of tree.hosts) {
    const node = bench.node(described.key);
    const overrides = model.firmware.overrides?.hosts[described.key];
    if (node !== undefined) setHostMaps(bench, node, described, overrides);
  }
  for (const device of tree.devices) linkDevice(bench, device);
  for (const region of tree.regions) linkRegion(bench, region);
}

/** The root of a tree for a board that is otherwise described by ACPI. */
function addBareBoard(bench: TreeBench, model: Model, tree: TreeDescription): void {
  const name = `viommu-topo,${model.board}`;
  bench.root.set('compatible', str(name)).set('model', str(name));
  bench.root.set('#address-cells', cells(2)).set('#size-cells', cells(2));
  addMemory(bench.root, tree);
}
