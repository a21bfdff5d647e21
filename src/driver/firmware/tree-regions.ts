import { hex, type Range } from '../../bytes/index.ts';
import type { KernelLog } from '../kernel-log.ts';
import { busCells, cellsOf, joined, regOf, type TreeIndex, type TreeNode } from './tree-index.ts';
import type { RegionView } from './view.ts';

/** Entries of one `iommu-addresses` that are read. */
const ENTRIES_MAX = 4096;

/**
 * Linux' of_iommu_get_resv_regions (6.12): the reserved-memory nodes that the device points to with
 * `memory-region` and that point back with `iommu-addresses`.
 */
export function treeRegions(index: TreeIndex, device: TreeNode, log: KernelLog): RegionView[] {
  const out: RegionView[] = [];
  for (const phandle of cellsOf(device.node, 'memory-region') ?? []) {
    const region = index.phandle(phandle);
    if (region === undefined) continue;
    const [physical] = regOf(region);
    for (const range of addressesFor(index, region, device)) {
      out.push(typed(range, physical, device, log));
    }
  }
  return out;
}

/** The IOVA ranges of a region that are for this device, by the cells of the device's bus. */
function addressesFor(index: TreeIndex, region: TreeNode, device: TreeNode): Range[] {
  const cells = cellsOf(region.node, 'iommu-addresses') ?? [];
  const out: Range[] = [];
  for (let at = 0; at < cells.length && out.length < ENTRIES_MAX;) {
    const owner = index.phandle(cells[at] ?? 0);
    if (owner === undefined) break;
    const bus = busCells(owner.parent?.node);
    const width = bus.address + bus.size;
    if (width === 0 || at + 1 + width > cells.length) break;
    // On PCI the first cell of an address says which space.
    const skip = bus.address > 2 ? 1 : 0;
    const start = joined(cells, at + 1 + skip, bus.address - skip);
    const length = joined(cells, at + 1 + bus.address, bus.size);
    if (owner === device && length > 0n) out.push({ start, end: start + length - 1n });
    at += 1 + width;
  }
  return out;
}

function typed(
  range: Range,
  physical: Range | undefined,
  device: TreeNode,
  log: KernelLog,
): RegionView {
  if (physical === undefined) return { range, type: 'reserved' };
  if (physical.start === range.start && physical.end === range.end)
    return { range, type: 'direct' };
  const show = ({ start, end }: Range): string => `[${hex(start)}-${hex(end)}]`;
  log.print(
    `OF: ${device.path}: treating non-direct mapping ${show(physical)} -> ${show(range)} as reservation`,
  );
  return { range, type: 'reserved' };
}
