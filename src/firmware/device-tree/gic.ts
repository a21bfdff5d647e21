import { cells, empty, FdtNode, ref, str, u64cells, type FdtCell } from '../../fdt/index.ts';
import { hex, sizeOf } from '../../bytes/index.ts';
import {
  GIC_CPU_MASK_SHIFT,
  GIC_PPI,
  GIC_SPI,
  IRQ_TYPE_EDGE_RISING,
  IRQ_TYPE_LEVEL_HIGH,
} from '../../spec/gic.ts';
import { GIC_SPI_FIRST } from '../../spec/gicv2.ts';
import type { Gic, Model, TreeDescription, TreeMsiController } from '../../topology/index.ts';
import { setCells, type TreeBench } from './bench.ts';

/** SPIs of the frame of QEMU's `virt`, counted from 0. */
const V2M_SPIS = { base: 48, count: 64 };

/** Where the interrupt controller's node is: above its MSI frames, wherever those are said to be. */
export function gicPath(gic: Gic, tree: TreeDescription): string {
  const child = tree.msiControllers.find((msi) => msi.path.lastIndexOf('/') > 0);
  return child === undefined
    ? `/interrupt-controller@${gic.distributor.start.toString(16)}`
    : child.path.slice(0, child.path.lastIndexOf('/'));
}

/** The GIC itself (arm,gic.yaml, arm,gic-v3.yaml), and `interrupt-parent` at the root. */
export function addGic(bench: TreeBench, gic: Gic, tree: TreeDescription): FdtNode {
  const node = bench.ensure(gicPath(gic, tree));
  node.set('compatible', str(gic.version === 3 ? 'arm,gic-v3' : 'arm,cortex-a15-gic'));
  node.set('interrupt-controller', empty()).set('#interrupt-cells', cells(3));
  node.set('#address-cells', cells(2)).set('#size-cells', cells(2)).set('ranges', empty());
  const { distributor, cpuInterface } = gic;
  node.set(
    'reg',
    u64cells(distributor.start, sizeOf(distributor), cpuInterface.start, sizeOf(cpuInterface)),
  );
  if (gic.version === 3) node.set('#redistributor-regions', cells(1));
  bench.root.set('interrupt-parent', cells(ref(node)));
  return node;
}

/** GICv2m frames and ITSs (arm,gic.yaml v2m, arm,gic-v3.yaml ITS). */
export function addMsiControllers(bench: TreeBench, model: Model, tree: TreeDescription): void {
  for (const msi of tree.msiControllers) addMsiController(bench, model, msi);
}

function addMsiController(bench: TreeBench, model: Model, msi: TreeMsiController): void {
  const node = bench.claim(msi.key, msi.path);
  const doorbell = model.doorbells.find((candidate) => candidate.id === msi.key);
  const compatible = { gicv2m: 'arm,gic-v2m-frame', its: 'arm,gic-v3-its', other: '' }[msi.kind];
  if (compatible !== '') node.set('compatible', str(compatible));
  node.set('msi-controller', empty());
  setCells(node, '#msi-cells', msi.msiCells);
  const frame = doorbell?.frame ?? msi.window;
  if (frame !== undefined) node.set('reg', u64cells(frame.start, sizeOf(frame)));
  const { base, count } = doorbell?.spis ?? V2M_SPIS;
  // QEMU's frame says so itself, and its tree does not.
  if (base === V2M_SPIS.base && count === V2M_SPIS.count) return;
  node.set('arm,msi-base-spi', cells(base + GIC_SPI_FIRST)).set('arm,msi-num-spis', cells(count));
}

/** The device tree's `interrupts` of one shared peripheral interrupt, counted from 0. */
export function spi(number: number, trigger: 'edge' | 'level'): FdtCell[] {
  return [GIC_SPI, number, trigger === 'edge' ? IRQ_TYPE_EDGE_RISING : IRQ_TYPE_LEVEL_HIGH];
}

/** A private interrupt of all CPUs. */
export function ppi(number: number, gic: Gic, cpus: number): FdtCell[] {
  const mask = gic.version === 2 ? ((1 << Math.min(cpus, 8)) - 1) << GIC_CPU_MASK_SHIFT : 0;
  return [GIC_PPI, number, mask | IRQ_TYPE_LEVEL_HIGH];
}

/** `uart@9000000`: name and unit address. */
export function unitName(base: string, address: bigint): string {
  return `${base}@${hex(address).slice(2)}`;
}
