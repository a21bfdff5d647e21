import type { Range } from '../../bytes/index.ts';
import { readFdt } from '../../fdt/index.ts';
import { GIC_SPI, GITS_TRANSLATER_PAGE } from '../../spec/gic.ts';
import {
  PCI_REG_RID_SHIFT,
  PCI_SPACE_IO,
  PCI_SPACE_MASK,
  PCI_SPACE_MEM64,
} from '../../spec/pci-tree.ts';
import { mapId } from './id-map.ts';
import { treeRegions } from './tree-regions.ts';
import {
  busCells,
  cellOf,
  cellsOf,
  compatible,
  isAvailable,
  joined,
  regOf,
  TreeIndex,
  type TreeNode,
} from './tree-index.ts';
import type {
  Asker,
  FirmwareView,
  HostView,
  IommuAnswer,
  MsiAnswer,
  ReadContext,
  RegionView,
  TransportView,
} from './view.ts';

const PCI_ADDRESS_CELLS = 3;
const DEVFN_MASK = 0xff;

/**
 * A device tree as Linux reads it.
 *
 * @throws FormatError when the blob is none
 */
export function readTree(blob: Uint8Array, context: ReadContext): FirmwareView {
  return new TreeView(new TreeIndex(readFdt(blob).tree), context);
}

class TreeView implements FirmwareView {
  readonly kind = 'device-tree';
  readonly memory: readonly Range[];
  readonly reserved: readonly Range[];
  readonly hosts: readonly HostView[];
  readonly transports: readonly TransportView[];
  readonly #index: TreeIndex;
  readonly #context: ReadContext;
  readonly #hostNodes: readonly TreeNode[];
  readonly #transportNodes: ReadonlyMap<bigint, TreeNode>;

  constructor(index: TreeIndex, context: ReadContext) {
    this.#index = index;
    this.#context = context;
    const find = (test: (at: TreeNode) => boolean): TreeNode[] => index.all.filter(test);
    const device = (type: string): string => `${type}\0`;
    this.memory = find(({ node, path }) => {
      const kind = Buffer.from(node.bytes('device_type') ?? []).toString('latin1');
      return kind === device('memory') || /^\/memory(?:@|$)/u.test(path);
    }).flatMap(regOf);
    this.reserved = find(({ parent }) => parent?.path === '/reserved-memory').flatMap(regOf);
    this.#hostNodes = find(
      ({ node }) => compatible(node).includes('pci-host-ecam-generic') && isAvailable(node),
    );
    let unnamed = 0;
    this.hosts = this.#hostNodes.map((at, position) => hostView(at, position, () => unnamed++));
    const transports = find(
      ({ node }) => compatible(node).includes('virtio,mmio') && isAvailable(node),
    );
    this.#transportNodes = new Map(
      transports.flatMap((at) =>
        regOf(at)
          .slice(0, 1)
          .map(({ start }) => [start, at]),
      ),
    );
    this.transports = transports.flatMap((at) => transportView(at));
  }

  /** A tree names IOMMUs by nodes: there is nothing to look for. */
  settle(): void {}

  enabled(device: Asker): boolean {
    const at = this.#nodeOf(device);
    return at === undefined || isAvailable(at.node);
  }

  iommuKey(device: Asker): string | undefined {
    return this.#nodeOf(device)?.path;
  }

  iommu(device: Asker): IommuAnswer {
    return device.kind === 'pci' ? this.#pciIommu(device) : this.#platformIommu(device);
  }

  msi(device: Asker): MsiAnswer {
    if (device.kind !== 'pci') return { kind: 'none' };
    const at = this.#hostNodes[device.host.index];
    if (at === undefined) return { kind: 'none' };
    const mapped = mapId(this.#index, at, 'msi-map', device.rid, this.#context.log);
    if (mapped.kind === 'mapped') return controller(mapped.target, mapped.id);
    if (mapped.kind !== 'absent') return { kind: 'none' };
    const parent = this.#index.phandle(cellOf(at.node, 'msi-parent') ?? 0);
    return parent === undefined ? { kind: 'none' } : controller(parent, device.rid);
  }

  intx(host: HostView, slot: number, pin: number): number | undefined {
    const at = this.#hostNodes[host.index];
    const map = at && cellsOf(at.node, 'interrupt-map');
    if (at === undefined || map === undefined) return undefined;
    const mask = cellsOf(at.node, 'interrupt-map-mask') ?? [];
    const wanted = [slot << 11, 0, 0, pin].map((cell, i) => (cell & (mask[i] ?? 0)) >>> 0);
    for (let cell = 0; cell + PCI_ADDRESS_CELLS + 2 <= map.length;) {
      const head = map.slice(cell, cell + PCI_ADDRESS_CELLS + 1);
      const parent = this.#index.phandle(map[cell + PCI_ADDRESS_CELLS + 1] ?? 0);
      if (parent === undefined) return undefined;
      const address = cellOf(parent.node, '#address-cells') ?? 0;
      const cells = cellOf(parent.node, '#interrupt-cells') ?? 1;
      const first = cell + PCI_ADDRESS_CELLS + 2 + address;
      const specifier = map.slice(first, first + cells);
      if (head.every((value, i) => (value & (mask[i] ?? 0)) >>> 0 === wanted[i])) {
        return specifier[0] === GIC_SPI ? specifier[1] : undefined;
      }
      cell = first + cells;
    }
    return undefined;
  }

  regions(device: Asker): readonly RegionView[] {
    const at = this.#nodeOf(device);
    return at === undefined ? [] : treeRegions(this.#index, at, this.#context.log);
  }

  /** The node of a device, if it has one: PCI functions by the device and function in `reg`. */
  #nodeOf(device: Asker): TreeNode | undefined {
    if (device.kind === 'mmio') return this.#transportNodes.get(device.base);
    let at = this.#hostNodes[device.host.index];
    for (const devfn of device.path) {
      if (at === undefined) return undefined;
      at = this.#index.children(at).find(({ node }) => {
        const [address] = cellsOf(node, 'reg') ?? [];
        return address !== undefined && ((address >>> PCI_REG_RID_SHIFT) & DEVFN_MASK) === devfn;
      });
    }
    return at;
  }

  #pciIommu(device: Extract<Asker, { kind: 'pci' }>): IommuAnswer {
    const at = this.#hostNodes[device.host.index];
    if (at === undefined) return { kind: 'none' };
    const ids: number[] = [];
    let target: TreeNode | undefined;
    for (const rid of [device.rid, ...device.aliases]) {
      const mapped = mapId(this.#index, at, 'iommu-map', rid, this.#context.log);
      if (mapped.kind !== 'mapped') return { kind: 'none' };
      if (!isAvailable(mapped.target.node)) return { kind: 'none' };
      target ??= mapped.target;
      if (mapped.target === target) ids.push(mapped.id);
    }
    return target === undefined ? { kind: 'none' } : { kind: 'iommu', key: target.path, ids };
  }

  /** `iommus`: phandle and as many cells as that node's `#iommu-cells`. The first node counts. */
  #platformIommu(device: Extract<Asker, { kind: 'mmio' }>): IommuAnswer {
    const at = this.#transportNodes.get(device.base);
    const cells = at === undefined ? undefined : cellsOf(at.node, 'iommus');
    if (at === undefined || cells === undefined) return { kind: 'none' };
    let key: string | undefined;
    const ids: number[] = [];
    for (let cell = 0; cell < cells.length;) {
      const target = this.#index.phandle(cells[cell] ?? 0);
      if (target === undefined) return { kind: 'none' };
      const count = cellOf(target.node, '#iommu-cells');
      if (count === undefined) {
        this.#context.log.print(`OF: ${at.path}: could not get #iommu-cells for ${target.path}`);
        return { kind: 'none' };
      }
      if (!isAvailable(target.node)) return { kind: 'none' };
      key ??= target.path;
      ids.push(cells[cell + 1] ?? 0);
      cell += 1 + count;
    }
    return key === undefined ? { kind: 'none' } : { kind: 'iommu', key, ids };
  }
}

function controller({ node, path, parent }: TreeNode, id: number): MsiAnswer {
  const [frame] = regOf({ node, path, parent });
  if (frame === undefined) return { kind: 'none' };
  const kinds = compatible(node);
  if (kinds.includes('arm,gic-v2m-frame')) return { kind: 'gicv2m', frame: frame.start };
  if (kinds.includes('arm,gic-v3-its')) {
    return { kind: 'its', page: frame.start + GITS_TRANSLATER_PAGE, deviceId: id };
  }
  return { kind: 'none' };
}

function hostView(at: TreeNode, index: number, nextSegment: () => number): HostView {
  const { node, path } = at;
  const [ecam] = regOf(at);
  const [first = 0, last = 0xff] = cellsOf(node, 'bus-range') ?? [];
  const dma = dmaRange(at);
  return {
    index,
    name: path,
    // Without the property Linux counts the hosts.
    segment: cellOf(node, 'linux,pci-domain') ?? nextSegment(),
    buses: { start: first & 0xff, end: last & 0xff },
    ecam: ecam?.start ?? 0n,
    windows: windowsOf(at),
    ...(dma === undefined ? {} : { dma }),
  };
}

/** Rows of `ranges`: PCI address in three cells, CPU address, size. */
function windowsOf({ node, parent }: TreeNode): HostView['windows'] {
  const cells = cellsOf(node, 'ranges') ?? [];
  const { address } = busCells(parent?.node);
  const { size } = busCells(node);
  const width = PCI_ADDRESS_CELLS + address + size;
  const out: HostView['windows'][number][] = [];
  for (let at = 0; at + width <= cells.length; at += width) {
    const space = (cells[at] ?? 0) & PCI_SPACE_MASK;
    const start = joined(cells, at + PCI_ADDRESS_CELLS, address);
    const length = joined(cells, at + PCI_ADDRESS_CELLS + address, size);
    if (space === PCI_SPACE_IO || length === 0n) continue;
    out.push({ start, end: start + length - 1n, wide: space === PCI_SPACE_MEM64 });
  }
  return out;
}

/** All windows of `dma-ranges` as one, which is what Linux makes the DMA mask of. */
function dmaRange({ node, parent }: TreeNode): Range | undefined {
  const cells = cellsOf(node, 'dma-ranges');
  if (cells === undefined || cells.length === 0) return undefined;
  const { address } = busCells(parent?.node);
  const { size } = busCells(node);
  const width = PCI_ADDRESS_CELLS + address + size;
  let range: Range | undefined;
  for (let at = 0; at + width <= cells.length; at += width) {
    const start = joined(cells, at + 1, PCI_ADDRESS_CELLS - 1);
    const length = joined(cells, at + PCI_ADDRESS_CELLS + address, size);
    if (length === 0n) continue;
    const end = start + length - 1n;
    range = {
      start: range === undefined || start < range.start ? start : range.start,
      end: range === undefined || end > range.end ? end : range.end,
    };
  }
  return range;
}

function transportView(at: TreeNode): TransportView[] {
  const [range] = regOf(at);
  if (range === undefined) return [];
  const [type, number] = cellsOf(at.node, 'interrupts') ?? [];
  const wired = type === GIC_SPI && number !== undefined ? { interrupt: number } : {};
  return [{ base: range.start, size: range.end - range.start + 1n, ...wired }];
}
