import { hex, showRange, type Range } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import type {
  FormProblem,
  IortDescription,
  McfgDescription,
  NodeRef,
  RidMap,
  TreeDescription,
  TreeHost,
  TreeIommu,
  ViotDescription,
  ViotNode,
} from '../../topology/index.ts';
import { coveredByHost, coveredByViot, type Covered } from './coverage.ts';
import type { Inspection } from './inspect.ts';

/** Rows of one map that are printed; the rest is counted. */
const ROWS_SHOWN = 64;

/** The inspection as a table for people: one line per node, row or table entry. */
export function inspectionText(inspection: Inspection): string {
  const lines = [...textLines(inspection)];
  return `${lines.join('\n')}\n`;
}

function* textLines(it: Inspection): Generator<string, void, undefined> {
  if (it.format === 'dtb') {
    yield `${it.file}: device tree, ${it.tree.size ?? 0} bytes, ${it.machine.compatible.join(' ')}`;
    yield* treeLines(it.tree);
    return;
  }
  const { signature, length, revision, oemId, oemTableId } = it.header;
  const made = `OEM "${printable(oemId)}" "${printable(oemTableId)}"`;
  yield `${it.file}: ACPI ${printable(signature)}, ${length} bytes, revision ${revision}, ${made}`;
  if (it.format === 'viot') yield* viotLines(it.viot);
  if (it.format === 'iort') yield* iortLines(it.iort);
  if (it.format === 'mcfg') yield* mcfgLines(it.mcfg);
}

/** Text of a table or a tree, without what would steer a terminal. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is taken out
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '.').trimEnd();
}

function* treeLines(tree: TreeDescription): Generator<string, void, undefined> {
  yield* section('memory', tree.memory, (range) => showRange(range));
  const segments = new Map(tree.hosts.map(({ key, segment }) => [key, segment]));
  yield* section('IOMMUs', tree.iommus, (iommu) => iommuLine(iommu, segments));
  for (const host of tree.hosts.slice(0, ROWS_SHOWN)) yield* hostLines(host, tree);
  if (tree.hosts.length > ROWS_SHOWN) yield `… and ${tree.hosts.length - ROWS_SHOWN} more hosts`;
  const devices = tree.devices.filter(
    ({ iommus, memoryRegions }) => iommus.length > 0 || memoryRegions.length > 0,
  );
  yield* section('devices', devices, (device) => {
    const behind = device.iommus.map(
      ({ target, ids }) => `${showRef(target)} endpoint ${ids.map((id) => hex(id)).join(' ')}`,
    );
    return [device.path, ...behind, ...device.memoryRegions].map(printable).join('  ');
  });
  yield* section('MSI controllers', tree.msiControllers, (msi) => {
    const window = msi.window === undefined ? '' : `  ${showRange(msi.window)}`;
    return `${printable(msi.path)}  ${msi.kind}${window}`;
  });
  yield* section('reserved regions', tree.regions, (region) => {
    const ranges = region.addresses.map(
      ({ device, range }) =>
        `${range === undefined ? 'unreadable' : showRange(range)} for ${printable(showRef(device))}`,
    );
    return [printable(region.path), ...ranges].join('  ');
  });
  yield* problemLines(tree.formProblems);
}

function* section<T>(
  title: string,
  items: readonly T[],
  line: (item: T) => string,
): Generator<string, void, undefined> {
  if (items.length === 0) return;
  yield `${title}:`;
  for (const item of items.slice(0, ROWS_SHOWN)) yield `  ${line(item)}`;
  if (items.length > ROWS_SHOWN) yield `  … and ${items.length - ROWS_SHOWN} more`;
}

function iommuLine(iommu: TreeIommu, segments: ReadonlyMap<string, number | undefined>): string {
  const { location } = iommu;
  const place =
    location.kind === 'pci'
      ? showBdf(location.rid, segments.get(location.host))
      : hex(location.base);
  const kind = iommu.virtio ? 'virtio-iommu' : (iommu.compatible[0] ?? 'unknown');
  const notes = [
    iommu.phandle === undefined ? 'no phandle' : `phandle ${hex(iommu.phandle)}`,
    iommu.iommuCells === undefined ? 'no #iommu-cells' : `#iommu-cells ${iommu.iommuCells}`,
    ...(iommu.enabled ? [] : ['disabled']),
  ];
  return [printable(iommu.path), printable(kind), place, ...notes].join('  ');
}

function showRef(ref: NodeRef): string {
  return 'key' in ref ? ref.key : `phandle ${hex(ref.phandle)}, which names nothing`;
}

function* hostLines(host: TreeHost, tree: TreeDescription): Generator<string, void, undefined> {
  const segment = host.segment === undefined ? 'no segment' : `segment ${hex(host.segment)}`;
  yield `host ${printable(host.path)}: ${segment}, buses ${showBuses(host.buses)}`;
  if (host.iommuMapMask !== undefined) yield `  iommu-map-mask ${hex(host.iommuMapMask.value)}`;
  yield* mapLines('iommu-map', host.iommuMap);
  yield* coveredLines(host.segment, coveredByHost(host), (key) => {
    return tree.iommus.find((iommu) => iommu.key === key)?.path ?? String(key);
  });
  yield* mapLines('msi-map', host.msiMap);
  if (host.msiParent !== undefined) {
    yield `  msi-parent ${printable(showRef(host.msiParent.target))}`;
  }
}

function two(bus: number): string {
  return bus.toString(16).padStart(2, '0');
}

function showBuses({ start, end }: Range<number>): string {
  return `${two(start)}-${two(end)}`;
}

function* mapLines(name: string, map: RidMap | undefined): Generator<string, void, undefined> {
  if (map === undefined) return;
  const odd = map.leftover === 0 ? '' : `, ${map.leftover} cells left over`;
  yield `  ${name}: ${map.rows.length} rows${odd}`;
  for (const { ridBase, target, outputBase, length } of map.rows.slice(0, ROWS_SHOWN)) {
    const ids = `${hex(ridBase)} + ${hex(length)} -> ${hex(outputBase)}`;
    yield `    ${ids}  ${printable(showRef(target))}`;
  }
  if (map.rows.length > ROWS_SHOWN) yield `    … and ${map.rows.length - ROWS_SHOWN} more`;
}

function* coveredLines(
  segment: number | undefined,
  covered: readonly Covered[],
  name: (iommu: string | number) => string,
): Generator<string, void, undefined> {
  if (covered.length > 0) yield '  translated, as Linux reads it:';
  for (const { rids, iommu, endpointId } of covered.slice(0, ROWS_SHOWN)) {
    const last = endpointId + (rids.end - rids.start);
    const functions = `${showBdf(rids.start, segment)}-${showBdf(rids.end, segment)}`;
    yield `    ${functions}  endpoints ${hex(endpointId)}-${hex(last)}  ${printable(name(iommu))}`;
  }
  if (covered.length > ROWS_SHOWN) yield `    … and ${covered.length - ROWS_SHOWN} more`;
}

function* viotLines(viot: ViotDescription): Generator<string, void, undefined> {
  yield `nodes: ${viot.nodeCount} from offset ${hex(viot.nodeOffset)}`;
  yield* section('read by Linux', viot.nodes, viotNodeLine);
  const segments = new Set(
    viot.nodes.flatMap((node) => (node.type === 'pci-range' ? [node.segments.start] : [])),
  );
  for (const segment of [...segments].toSorted((a, b) => a - b).slice(0, ROWS_SHOWN)) {
    yield `segment ${hex(segment)}:`;
    yield* coveredLines(
      segment,
      coveredByViot(viot, segment),
      (offset) => `node at ${hex(Number(offset))}`,
    );
  }
  yield* problemLines(viot.formProblems);
}

function viotNodeLine(node: ViotNode): string {
  const at = hex(node.offset, 4);
  switch (node.type) {
    case 'pci-range': {
      const { segments, rids, endpointStart, output } = node;
      const from = `segments ${showRange(segments)} RIDs ${showRange(rids)}`;
      return `${at}  PCI range      ${from} endpoints from ${hex(endpointStart)} -> ${hex(output)}`;
    }
    case 'mmio-endpoint':
      return `${at}  MMIO endpoint  ${hex(node.base)} endpoint ${hex(node.endpoint)} -> ${hex(node.output)}`;
    case 'pci-iommu':
      return `${at}  PCI IOMMU      ${showBdf(node.rid, node.segment)}`;
    case 'mmio-iommu':
      return `${at}  MMIO IOMMU     ${hex(node.base)}`;
    default:
      return `${at}  type ${node.number}, ${node.length} bytes`;
  }
}

function* iortLines(iort: IortDescription): Generator<string, void, undefined> {
  for (const { segment, mappings } of iort.rootComplexes) {
    yield `root complex of segment ${hex(segment)}: ${mappings.length} mappings`;
    for (const { input, outputBase, target } of mappings.slice(0, ROWS_SHOWN)) {
      yield `  IDs ${showRange(input)} -> ${target} from ${hex(outputBase)}`;
    }
  }
  yield* problemLines(iort.formProblems);
}

function* mcfgLines(mcfg: McfgDescription): Generator<string, void, undefined> {
  yield* section('hosts', mcfg.hosts, ({ segment, buses, ecam }) => {
    return `segment ${hex(segment)}  buses ${showBuses(buses)}  ECAM ${hex(ecam)}`;
  });
}

function* problemLines(problems: readonly FormProblem[]): Generator<string, void, undefined> {
  yield* section('problems', problems, ({ code, message, place }) => {
    const offset = 'offset' in place && place.offset !== undefined ? hex(place.offset) : '';
    return `${offset}  ${code}  ${printable(message)}`;
  });
}
