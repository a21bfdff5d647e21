import { decodeU32, readFdt, type FdtBlob } from '../../fdt/index.ts';
import type { Range } from '../../bytes/index.ts';
import type { FormProblem, TreeDescription, TreeHost, TreeIommu } from '../../topology/index.ts';
import { readDevices } from './tree-devices.ts';
import { readMsiControllers } from './tree-msi.ts';
import { readRidMap, ROWS_MAX } from './tree-map.ts';
import { readRegions } from './tree-regions.ts';
import {
  cellsOf,
  isPciBus,
  joinCells,
  pciLocation,
  rangeOf,
  regBase,
  regRanges,
  textList,
  TreeScan,
  wholeCells,
  withPhandle,
  type ScanNode,
} from './tree-scan.ts';

/** What a virtio-iommu on PCI is called (virtio/pci-iommu.yaml). */
const PCI_VIOMMU = ['virtio,pci-iommu', 'pci1af4,1057', 'pci1af4,1014'];

/**
 * Reads the IOMMU topology of a device tree, ours or anyone's, as Linux does. Keys are paths.
 *
 * Linear in the size of the blob; mistakes of content become parts of the description that the
 * rules judge, damage that can be stepped over becomes `formProblems`.
 * @throws FormatError when the blob cannot be read (see `readFdt`).
 */
export function describeTree(bytes: Uint8Array, file: string): TreeDescription {
  return describeBlob(readFdt(bytes), file, bytes.length);
}

/** The same for a blob that has been read already; `size` is that of the file. */
export function describeBlob(blob: FdtBlob, file: string, size: number): TreeDescription {
  const scan = new TreeScan(blob, file);
  const iommuNodes = findIommus(scan);
  const hosts = scan.nodes.filter(isHost).map((node) => readHost(scan, node));
  const iommus = scan.nodes
    .filter((node) => iommuNodes.has(node))
    .map((node) => readIommu(scan, node));
  return {
    hosts,
    iommus,
    devices: readDevices(scan, iommuNodes),
    regions: readRegions(scan),
    msiControllers: readMsiControllers(scan),
    memory: readMemory(scan),
    size,
    formProblems: formProblems(scan, hosts),
    place: { kind: 'tree', file, path: '/' },
  };
}

/** A root complex that Linux would probe. */
function isHost(at: ScanNode): boolean {
  return at.host === at && at.enabled;
}

function readHost(scan: TreeScan, at: ScanNode): TreeHost {
  const { node } = at;
  const segment = decodeU32(node.bytes('linux,pci-domain'));
  const iommuMap = readRidMap(scan, at, 'iommu-map');
  const msiMap = readRidMap(scan, at, 'msi-map');
  const mask = decodeU32(node.bytes('iommu-map-mask'));
  const parent = decodeU32(node.bytes('msi-parent')?.subarray(0, 4));
  const dmaRanges = readDmaRanges(at);
  return {
    key: at.path,
    path: at.path,
    ...(segment === undefined ? {} : { segment }),
    buses: readBuses(at),
    ...(iommuMap === undefined ? {} : { iommuMap }),
    ...(mask === undefined
      ? {}
      : { iommuMapMask: { value: mask, place: scan.place(at, 'iommu-map-mask') } }),
    ...(msiMap === undefined ? {} : { msiMap }),
    ...(parent === undefined
      ? {}
      : { msiParent: { target: scan.target(parent), place: scan.place(at, 'msi-parent') } }),
    ...(dmaRanges === undefined ? {} : { dmaRanges }),
    dmaCoherent: isCoherent(at),
    place: scan.place(at),
  };
}

/** `bus-range`; Linux takes 0-0xff when it is missing or no two cells. */
export function readBuses(at: ScanNode): Range<number> {
  const [start = 0, end = 0xff] = wholeCells(at.node.bytes('bus-range'));
  return { start, end };
}

/** Windows of `dma-ranges` in bus addresses. An empty property means everything: no limit. */
function readDmaRanges(at: ScanNode): Range[] | undefined {
  const rows = wholeCells(at.node.bytes('dma-ranges'));
  const child = cellsOf(at);
  const above = cellsOf(at.parent);
  const width = child.address + above.address + child.size;
  if (rows.length === 0 || width === 0) return undefined;
  const out: Range[] = [];
  for (let row = 0; row + width <= rows.length; row += width) {
    const skip = isPciBus(at.node) && child.address > 0 ? 1 : 0;
    const start = joinCells(rows, row + skip, child.address - skip);
    const range = rangeOf(start, joinCells(rows, row + child.address + above.address, child.size));
    if (range !== undefined) out.push(range);
  }
  return out;
}

/** `dma-coherent` here or on any ancestor, as of_dma_is_coherent looks for it. */
function isCoherent(at: ScanNode): boolean {
  for (let node: ScanNode | undefined = at; node !== undefined; node = node.parent) {
    if (node.node.props.has('dma-noncoherent')) return false;
    if (node.node.props.has('dma-coherent')) return true;
  }
  return false;
}

/** Nodes that are IOMMUs by their properties, or that a map or an `iommus` takes for one. */
function findIommus(scan: TreeScan): Set<ScanNode> {
  const found = new Set<ScanNode>();
  const note = (phandle: number): ScanNode | undefined => {
    const target = scan.byPhandle(phandle);
    if (target !== undefined) found.add(target);
    return target;
  };
  for (const at of scan.nodes) {
    const { node } = at;
    if (node.props.has('#iommu-cells') || isPciViommu(at)) found.add(at);
    const map = wholeCells(node.bytes('iommu-map'));
    for (let cell = 1; cell < map.length; cell += 4) note(map[cell] ?? 0);
    const iommus = wholeCells(node.bytes('iommus'));
    for (let cell = 0; cell < iommus.length; cell++) {
      const target = note(iommus[cell] ?? 0);
      cell += target === undefined ? 1 : (decodeU32(target.node.bytes('#iommu-cells')) ?? 1);
    }
  }
  return found;
}

function isPciViommu(at: ScanNode): boolean {
  return textList(at.node.bytes('compatible')).some((name) => PCI_VIOMMU.includes(name));
}

function readIommu(scan: TreeScan, at: ScanNode): TreeIommu {
  const compatible = textList(at.node.bytes('compatible'));
  const iommuCells = decodeU32(at.node.bytes('#iommu-cells'));
  return {
    key: at.path,
    path: at.path,
    ...withPhandle(at),
    location: iommuLocation(at),
    compatible,
    nodeName: at.node.name,
    ...(iommuCells === undefined ? {} : { iommuCells }),
    enabled: at.enabled,
    virtio: isPciViommu(at) || compatible.includes('virtio,mmio'),
    place: scan.place(at),
  };
}

function iommuLocation(at: ScanNode): TreeIommu['location'] {
  const pci = pciLocation(at);
  return pci === undefined
    ? { kind: 'mmio', base: regBase(at) ?? 0n }
    : { kind: 'pci', parent: at.parent?.path ?? '/', ...pci };
}

function readMemory(scan: TreeScan): Range[] {
  return scan.nodes
    .filter(({ node, parent }) => {
      const type = textList(node.bytes('device_type'));
      return parent?.parent === undefined && type[0] === 'memory';
    })
    .flatMap(regRanges);
}

/** What libfdt, dtc or a checker would note, and no kernel minds. */
const HARMLESS: ReadonlySet<string> = new Set([
  'fdt/memreserve',
  'fdt/node-name',
  'fdt/nop-before-root',
  'fdt/property-name',
  'fdt/struct-slack',
  'fdt/trailing-bytes',
]);

function formProblems(scan: TreeScan, hosts: readonly TreeHost[]): FormProblem[] {
  const { warnings, warningsOmitted } = scan.blob;
  const problems = warnings.map(({ code, message, path, offset }): FormProblem => {
    const colon = path.lastIndexOf(':');
    const property = colon < 0 ? undefined : path.slice(colon + 1);
    const place = {
      kind: 'tree',
      file: scan.file,
      path: colon < 0 ? path : path.slice(0, colon),
    } as const;
    return {
      code,
      severity: HARMLESS.has(code) ? 'warning' : 'error',
      message,
      place: property === undefined ? { ...place, offset } : { ...place, property, offset },
    };
  });
  if (warningsOmitted > 0) {
    const message = `${warningsOmitted} more problems of form are not listed`;
    problems.push({ code: 'fdt/too-many-problems', message, place: rootPlace(scan) });
  }
  for (const { iommuMap, msiMap } of hosts) {
    for (const map of [iommuMap, msiMap]) {
      if (map === undefined || map.rows.length < ROWS_MAX) continue;
      const message = `more than ${ROWS_MAX} rows: the rest was not read`;
      problems.push({ code: 'tree/too-many-rows', message, place: map.place });
    }
  }
  return problems;
}

function rootPlace(scan: TreeScan): FormProblem['place'] {
  return { kind: 'tree', file: scan.file, path: '/' };
}
