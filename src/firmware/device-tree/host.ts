import {
  cells,
  empty,
  ref,
  str,
  u64cells,
  type FdtCell,
  type FdtLink,
  type FdtNode,
} from '../../fdt/index.ts';
import { sizeOf, type Range } from '../../bytes/index.ts';
import {
  PCI_DEVICE_SHIFT,
  PCI_INTX_PINS,
  PCI_INTX_SLOTS,
  PCI_SPACE_IO,
  PCI_SPACE_MEM32,
  PCI_SPACE_MEM64,
} from '../../spec/pci-tree.ts';
import { VIRT_PCIE_SPI } from '../../spec/virt-board.ts';
import type {
  Model,
  NodeRef,
  PciHost,
  RidMap,
  TreeHost,
  HostOverrides,
  RawCell,
} from '../../topology/index.ts';
import { setCells, wide, type TreeBench } from './bench.ts';
import { spi } from './gic.ts';

const INTX_PIN_MASK = 7;
const FOUR_GIB = 1n << 32n;

/** A generic ECAM host bridge (pci-host-ecam-generic, host-generic-pci.yaml), without its maps. */
export function addHostFrame(
  node: FdtNode,
  described: TreeHost,
  host: PciHost,
  model: Model,
  gic: FdtNode | undefined,
): void {
  node.set('compatible', str('pci-host-ecam-generic')).set('device_type', str('pci'));
  node.set('#address-cells', cells(3)).set('#size-cells', cells(2));
  node.set('bus-range', cells(described.buses.start, described.buses.end));
  node.set('reg', u64cells(host.ecam.start, sizeOf(host.ecam)));
  node.set('ranges', cells(windows(host, model)));
  if (described.dmaRanges !== undefined) {
    node.set('dma-ranges', cells(described.dmaRanges.flatMap(dmaWindow)));
  }
  if (described.dmaCoherent) node.set('dma-coherent', empty());
  if (gic === undefined) return;
  node.set('#interrupt-cells', cells(1));
  const slots = (PCI_INTX_SLOTS - 1) << PCI_DEVICE_SHIFT;
  node.set('interrupt-map-mask', cells(slots, 0, 0, INTX_PIN_MASK));
  node.set('interrupt-map', cells(intxRoutes(ref(gic))));
}

/** What the IOMMU room owns of a host bridge: which requester ID goes where. */
export function setHostMaps(
  bench: TreeBench,
  node: FdtNode,
  host: TreeHost,
  overrides?: HostOverrides,
): void {
  setCells(node, 'linux,pci-domain', host.segment);
  setCells(node, 'iommu-map-mask', host.iommuMapMask?.value);
  setMap(bench, node, 'iommu-map', host.iommuMap, overrides?.iommuMap);
  const msiMap = overrides?.msiMap;
  setMap(bench, node, 'msi-map', host.msiMap, msiMap === 'none' ? undefined : msiMap);
  setCells(node, 'msi-parent', host.msiParent && msiParent(bench, host.msiParent.target));
}

const ROW_BYTES = 16;

/**
 * The rows of `iommu-map` and `msi-map`: rid-base, phandle, output base, length. A large machine
 * has a quarter of a million of them, so they are not made of cells one by one.
 */
function setMap(
  bench: TreeBench,
  node: FdtNode,
  name: string,
  map: RidMap | undefined,
  raw: readonly (readonly RawCell[])[] = [],
): void {
  if (map === undefined) return;
  const { rows, leftover } = map;
  const bytes = new Uint8Array(rows.length * ROW_BYTES + leftover * 4);
  const data = new DataView(bytes.buffer);
  const targets = new Map<string, FdtCell>();
  const refs: FdtLink[] = [];
  let at = 0;
  for (const { ridBase, target, outputBase, length } of rows) {
    const key = 'key' in target ? target.key : `<${target.phandle}>`;
    let cell = targets.get(key);
    if (cell === undefined) targets.set(key, (cell = bench.cell(target)));
    data.setUint32(at, ridBase);
    if (typeof cell === 'number') data.setUint32(at + 4, cell);
    else refs.push({ offset: at + 4, to: cell.to });
    data.setUint32(at + 8, outputBase);
    data.setUint32(at + 12, length);
    at += ROW_BYTES;
  }
  // A description counts the cells that make no row; only the override knows them.
  const tail = raw.flat().slice(rows.length * (ROW_BYTES / 4));
  for (const cell of tail.slice(0, leftover)) {
    if (typeof cell === 'number') data.setUint32(at, cell);
    at += 4;
  }
  node.set(name, refs.length === 0 ? bytes : { bytes, refs });
}

/** The controller, and a zero for each of its `#msi-cells`: Linux takes the requester ID then. */
function msiParent(bench: TreeBench, target: NodeRef): FdtCell[] {
  const count = 'key' in target ? (bench.node(target.key)?.bytes('#msi-cells')?.at(-1) ?? 0) : 0;
  return [bench.cell(target), ...Array.from({ length: count }, () => 0)];
}

/** `ranges`: I/O ports, 32-bit and 64-bit memory, each PCI address, CPU address, size. */
function windows(host: PciHost, model: Model): number[] {
  const out: number[] = [];
  if (host.io !== undefined) {
    out.push(PCI_SPACE_IO, ...wide(portBase(host.io, host, model)), ...wide(host.io.start));
    out.push(...wide(sizeOf(host.io)));
  }
  const memory: [number, Range][] = [[PCI_SPACE_MEM32, host.mem32]];
  if (host.mem64 !== undefined) memory.push([PCI_SPACE_MEM64, host.mem64]);
  for (const [space, window] of memory) {
    out.push(space, ...wide(window.start), ...wide(window.start), ...wide(sizeOf(window)));
  }
  return out;
}

/**
 * First I/O port of a host's window. The ports of an extra host bridge are a part of the root
 * complex's, so they count from where that one's window begins.
 */
function portBase(io: Range, host: PciHost, model: Model): bigint {
  if (host.kind !== 'pxb') return 0n;
  const root = model.hosts.find((other) => other.kind === 'root' && other.io !== undefined);
  if (root?.io === undefined || io.start < root.io.start) return 0n;
  const offset = io.start - root.io.start;
  return offset < 0x1_0000n ? offset : 0n;
}

function dmaWindow(window: Range): number[] {
  const space = window.end < FOUR_GIB ? PCI_SPACE_MEM32 : PCI_SPACE_MEM64;
  return [space, ...wide(window.start), ...wide(window.start), ...wide(sizeOf(window))];
}

/** Four slots by four pins; each step of either goes to the next of four SPIs, as on QEMU. */
function intxRoutes(gic: FdtCell): FdtCell[] {
  const out: FdtCell[] = [];
  for (let slot = 0; slot < PCI_INTX_SLOTS; slot++) {
    for (let pin = 1; pin <= PCI_INTX_PINS; pin++) {
      const line = VIRT_PCIE_SPI + ((slot + pin - 1) % PCI_INTX_PINS);
      out.push(slot << PCI_DEVICE_SHIFT, 0, 0, pin, gic, 0, 0, ...spi(line, 'level'));
    }
  }
  return out;
}
