import type { Range } from '../../bytes/index.ts';
import type { FdtBlob } from '../../fdt/index.ts';
import {
  PCI_SPACE_IO,
  PCI_SPACE_MASK,
  PCI_SPACE_MEM32,
  PCI_SPACE_MEM64,
} from '../../spec/pci-tree.ts';
import { GIC_SPI_FIRST, GIC_SPI_LAST } from '../../spec/gicv2.ts';
import {
  cellsOf,
  isPciBus,
  joinCells,
  rangeOf,
  regRanges,
  textList,
  TreeScan,
  wholeCells,
  type ScanNode,
} from '../read/tree-scan.ts';

/** What a topology says of a machine beside its IOMMUs, as far as a device tree tells it. */
export interface TreeMachine {
  /** `compatible` of the root. */
  readonly compatible: readonly string[];
  readonly cpus: number;
  readonly gic?: { readonly version: 2 | 3; readonly distributor: Range; readonly cpu: Range };
  /** Windows of the PCI hosts, by path. */
  readonly hosts: ReadonlyMap<string, HostWindows>;
  /** Devices at addresses with their interrupt (SPI), by path. */
  readonly devices: ReadonlyMap<string, { readonly size: bigint; readonly interrupt?: number }>;
  /** MSI controllers' registers, by path. */
  readonly frames: ReadonlyMap<string, Range>;
  /** Interrupt IDs (the first SPI is 32) of GICv2m frames whose tree states them, by path. */
  readonly spis: ReadonlyMap<string, Range<number>>;
  /** Bridges below the hosts. */
  readonly bridges: readonly TreeBridge[];
}

/** Address windows as the CPU sees them. */
export interface HostWindows {
  readonly ecam?: Range;
  readonly io?: Range;
  readonly mem32?: Range;
  readonly mem64?: Range;
}

/** A bridge that has a node. */
export interface TreeBridge {
  readonly host: string;
  readonly rid: number;
  readonly buses: Range<number>;
}

/** Reads it all from a blob; what is missing or damaged is absent. */
export function readMachine(blob: FdtBlob, file: string): TreeMachine {
  const scan = new TreeScan(blob, file);
  const gic = readGic(scan);
  return {
    compatible: textList(blob.tree.bytes('compatible')),
    cpus: scan.nodes.filter(({ path }) => /^\/cpus\/cpu@[^/]*$/.test(path)).length,
    ...(gic === undefined ? {} : { gic }),
    hosts: new Map(
      scan.nodes.filter((at) => at.host === at).map((at) => [at.path, readWindows(at)]),
    ),
    devices: new Map(
      scan.nodes.filter(isPlatform).map((at) => [at.path, readPlatform(at)] as const),
    ),
    frames: new Map(
      scan.nodes.flatMap((at) => {
        const [frame] = at.node.props.has('msi-controller') ? regRanges(at) : [];
        return frame === undefined ? [] : [[at.path, frame] as const];
      }),
    ),
    spis: new Map(scan.nodes.flatMap((at) => readSpis(at))),
    bridges: scan.nodes.flatMap((at) => readBridge(at)),
  };
}

function readGic(scan: TreeScan): TreeMachine['gic'] {
  for (const at of scan.nodes) {
    const compatible = textList(at.node.bytes('compatible'));
    const three = compatible.includes('arm,gic-v3');
    if (!three && !compatible.some((name) => /^arm,(gic-400|cortex-a15-gic)$/.test(name))) continue;
    const [distributor, cpu] = regRanges(at);
    if (distributor !== undefined && cpu !== undefined) {
      return { version: three ? 3 : 2, distributor, cpu };
    }
  }
  return undefined;
}

function readWindows(at: ScanNode): HostWindows {
  const [ecam] = regRanges(at);
  const rows = wholeCells(at.node.bytes('ranges'));
  const child = cellsOf(at);
  const above = cellsOf(at.parent);
  const width = child.address + above.address + child.size;
  const found: { io?: Range; mem32?: Range; mem64?: Range } = {};
  for (let row = 0; child.address === 3 && row + width <= rows.length; row += width) {
    const start = joinCells(rows, row + child.address, above.address);
    const range = rangeOf(start, joinCells(rows, row + width - child.size, child.size));
    const space = ((rows[row] ?? 0) & PCI_SPACE_MASK) >>> 0;
    if (range === undefined) continue;
    if (space === PCI_SPACE_IO) found.io ??= range;
    if (space === PCI_SPACE_MEM32) found.mem32 ??= range;
    if (space === PCI_SPACE_MEM64) found.mem64 ??= range;
  }
  return ecam === undefined ? found : { ecam, ...found };
}

function isPlatform(at: ScanNode): boolean {
  return at.host === undefined && at.node.props.has('reg') && at.node.props.has('interrupts');
}

function readPlatform(at: ScanNode): { readonly size: bigint; readonly interrupt?: number } {
  const [registers] = regRanges(at);
  const size = registers === undefined ? 0n : registers.end - registers.start + 1n;
  const [kind, number] = wholeCells(at.node.bytes('interrupts'));
  return kind === 0 && number !== undefined ? { size, interrupt: number } : { size };
}

/** SPIs of a GICv2m frame (arm,gic.yaml); others are what the frame's MSI_TYPER says. */
function readSpis(at: ScanNode): [string, Range<number>][] {
  const [base] = wholeCells(at.node.bytes('arm,msi-base-spi'));
  const [count] = wholeCells(at.node.bytes('arm,msi-num-spis'));
  if (base === undefined || count === undefined || !at.node.props.has('msi-controller')) return [];
  const end = base + count - 1;
  // What a GIC does not have is no range of a topology.
  const exists = GIC_SPI_FIRST <= base && base <= end && end <= GIC_SPI_LAST;
  return exists ? [[at.path, { start: base, end }]] : [];
}

function readBridge(at: ScanNode): TreeBridge[] {
  if (at.host === undefined || at.host === at || !isPciBus(at.node)) return [];
  const [reg] = wholeCells(at.node.bytes('reg'));
  const [start, end] = wholeCells(at.node.bytes('bus-range'));
  if (reg === undefined || start === undefined || end === undefined) return [];
  return [{ host: at.host.path, rid: (reg >>> 8) & 0xffff, buses: { start, end } }];
}
