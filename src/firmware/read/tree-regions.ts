import type { Range } from '../../bytes/index.ts';
import type { TreeIommuAddress, TreeRegion } from '../../topology/index.ts';
import {
  cellsOf,
  isPciBus,
  joinCells,
  rangeOf,
  regRanges,
  wholeCells,
  type ScanNode,
  type TreeScan,
} from './tree-scan.ts';

/** Entries of one `iommu-addresses` that are read. */
const ADDRESSES_MAX = 0x1_0000;

/** The children of `/reserved-memory` that speak of IOVAs. */
export function readRegions(scan: TreeScan): TreeRegion[] {
  return scan.nodes
    .filter(({ node, parent }) => {
      return parent?.path === '/reserved-memory' && node.props.has('iommu-addresses');
    })
    .map((at) => {
      const [physical] = regRanges(at);
      return {
        key: at.path,
        path: at.path,
        ...(physical === undefined ? {} : { physical }),
        addresses: readAddresses(scan, at),
        place: scan.place(at),
      };
    });
}

/**
 * Phandle, address, size; the latter two with the cells of the bus that the device is on, which
 * is 3 and 2 below a PCI host. After a phandle that names nothing, or with too few cells left,
 * nothing more can be told apart: the rest is one entry without a range.
 */
function readAddresses(scan: TreeScan, at: ScanNode): TreeIommuAddress[] {
  const raw = wholeCells(at.node.bytes('iommu-addresses'));
  const out: TreeIommuAddress[] = [];
  for (let cell = 0; cell < raw.length && out.length < ADDRESSES_MAX;) {
    const place = scan.place(at, 'iommu-addresses', cell * 4);
    const phandle = raw[cell] ?? 0;
    const device = scan.byPhandle(phandle);
    const bus = cellsOf(device?.parent);
    const width = bus.address + bus.size;
    if (device === undefined || width === 0 || raw.length - cell - 1 < width) {
      out.push({ device: scan.target(phandle), cells: raw.slice(cell + 1), place });
      break;
    }
    const words = raw.slice(cell + 1, cell + 1 + width);
    const range = addressRange(device, words);
    const entry = { device: { key: device.path }, cells: words, place };
    out.push(range === undefined ? entry : { ...entry, range });
    cell += 1 + width;
  }
  return out;
}

function addressRange(device: ScanNode, words: readonly number[]): Range | undefined {
  const { address, size } = cellsOf(device.parent);
  // On PCI the first cell says which space; the address is in the other two.
  const skip = device.parent !== undefined && isPciBus(device.parent.node) && address > 0 ? 1 : 0;
  return rangeOf(joinCells(words, skip, address - skip), joinCells(words, address, size));
}
