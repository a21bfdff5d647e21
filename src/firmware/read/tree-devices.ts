import { decodeU32 } from '../../fdt/index.ts';
import type { TreeDevice, TreeIommusEntry } from '../../topology/index.ts';
import {
  isPciBus,
  pciLocation,
  regBase,
  textList,
  wholeCells,
  type ScanNode,
  type TreeScan,
} from './tree-scan.ts';

/** Entries of one `iommus` that are read. */
const IOMMUS_MAX = 0x1_0000;

/** Devices that an IOMMU is or could be in front of. */
export function readDevices(scan: TreeScan, iommus: ReadonlySet<ScanNode>): TreeDevice[] {
  return scan.nodes
    .filter((at) => !iommus.has(at) && at.enabled && mayMatter(at))
    .map((at) => {
      const pci = pciLocation(at);
      const base = pci === undefined ? regBase(at) : undefined;
      return {
        key: at.path,
        path: at.path,
        ...(base === undefined ? {} : { base }),
        compatible: textList(at.node.bytes('compatible')),
        iommus: readIommus(scan, at),
        memoryRegions: readMemoryRegions(scan, at),
        ...(pci === undefined ? {} : { pci }),
        place: scan.place(at),
      };
    });
}

function mayMatter(at: ScanNode): boolean {
  const { node } = at;
  if (node.props.has('iommus') || node.props.has('memory-region')) return true;
  if (textList(node.bytes('compatible')).includes('virtio,mmio')) return true;
  return at.host !== undefined && at.host !== at && !isPciBus(node) && node.props.has('reg');
}

/**
 * Phandle and `#iommu-cells` cells each. Where the provider does not say how many (Linux: "could
 * not get #iommu-cells") or does not exist, one is assumed so that the rest can be shown.
 */
function readIommus(scan: TreeScan, at: ScanNode): TreeIommusEntry[] {
  const raw = wholeCells(at.node.bytes('iommus'));
  const out: TreeIommusEntry[] = [];
  for (let cell = 0; cell < raw.length && out.length < IOMMUS_MAX;) {
    const phandle = raw[cell] ?? 0;
    const said = decodeU32(scan.byPhandle(phandle)?.node.bytes('#iommu-cells'));
    const count = Math.min(said ?? 1, raw.length);
    const place = scan.place(at, 'iommus', cell * 4);
    const ids = raw.slice(cell + 1, cell + 1 + count);
    out.push({ target: scan.target(phandle), ids, place });
    cell += 1 + count;
  }
  return out;
}

function readMemoryRegions(scan: TreeScan, at: ScanNode): string[] {
  const keys: string[] = [];
  for (const phandle of wholeCells(at.node.bytes('memory-region'))) {
    const target = scan.byPhandle(phandle);
    if (target !== undefined) keys.push(target.path);
  }
  return keys;
}
