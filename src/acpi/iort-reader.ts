import { ByteView, hex } from '../bytes/index.ts';
import { ACPI_TABLE_HEADER } from '../spec/acpi.ts';
import * as spec from '../spec/iort.ts';
import { openTable, type TableHeader } from './header.ts';
import { IORT_FIXED_SIZE } from './iort.ts';
import { checkIortNode } from './iort-check.ts';
import { iortNodeBytes, type IortIdMapping, type IortNodeContent } from './iort-raw.ts';
import { Problems, type AcpiProblem } from './problem.ts';

/** A node as it was read; it can be handed to `writeIortRaw` again. */
export type IortNode = IortNodeContent & {
  /** Bytes from the start of the table. */
  readonly offset: number;
  readonly length: number;
  readonly revision: number;
  readonly identifier: number;
  readonly mappings: readonly IortIdMapping[];
  /** Bytes from the start of the node to its first mapping, as the node says. */
  readonly mappingOffset: number;
};

/** An IORT as it was read. */
export interface Iort {
  readonly header: TableHeader;
  readonly nodeCount: number;
  readonly nodeOffset: number;
  readonly nodes: readonly IortNode[];
  readonly problems: readonly AcpiProblem[];
  readonly bytes: Uint8Array;
}

/**
 * Reads an IORT from any firmware. What is wrong is listed in `problems`; `FormatError`
 * (`iort/signature`, `iort/truncated`, `iort/length`) means that it is no IORT at all.
 */
export function readIort(bytes: Uint8Array): Iort {
  const problems = new Problems('iort');
  const { view, header } = openTable(bytes, spec.IORT_SIGNATURE, IORT_FIXED_SIZE, problems);
  const { nodeCount, nodeOffset, reserved } = spec.ACPI_IORT_FIELDS.read(
    view,
    ACPI_TABLE_HEADER.size,
  );
  if (reserved !== 0) problems.warning('reserved', 44, 'reserved bytes not 0');
  if (header.revision !== spec.IORT_REVISION) {
    problems.note('revision', 8, `revision ${header.revision}, written by us: 3`);
  }
  if (nodeOffset !== spec.IORT_NODE_OFFSET) {
    problems.note('node-offset', 40, `the first node is at ${nodeOffset}, not at 48`);
  }
  const nodes = walk(view, nodeCount, nodeOffset, problems);
  const byOffset = new Map(nodes.map((node) => [node.offset, node]));
  for (const node of nodes) checkIortNode(node, byOffset, problems);
  return { header, nodeCount, nodeOffset, nodes, problems: problems.list, bytes: view.bytes };
}

function walk(view: ByteView, count: number, start: number, problems: Problems): IortNode[] {
  const nodes: IortNode[] = [];
  let at = start;
  for (let index = 0; index < count; index++) {
    const lost = `${count - index} of ${count} nodes are lost`;
    if (at < IORT_FIXED_SIZE || at + spec.ACPI_IORT_NODE.size > view.length) {
      const place = `node ${index} at ${hex(at)} is outside the table`;
      problems.error('node-overflow', Math.min(at, view.length), `${place}; ${lost}`);
      return nodes;
    }
    const { length } = spec.ACPI_IORT_NODE.read(view, at);
    if (length < spec.ACPI_IORT_NODE.size) {
      problems.error('empty-node', at, `node ${index} has length ${length}; ${lost}`);
      return nodes;
    }
    if (at + length > view.length) {
      problems.error('node-past-end', at, `node ${index} ends after the table; ${lost}`);
      return nodes;
    }
    nodes.push(readNode(new ByteView(view.slice(at, length), 'le', 'iort'), at, problems));
    at += length;
  }
  if (at < view.length) {
    problems.warning('bytes-after-nodes', at, `${view.length - at} bytes follow the last node`);
  }
  return nodes;
}

/** `view` is the node alone: no reference inside it may leave it. */
function readNode(view: ByteView, offset: number, problems: Problems): IortNode {
  const head = spec.ACPI_IORT_NODE.read(view, 0);
  const mappings = readMappings(view, offset, head, problems);
  const bodyEnd = mappings.length > 0 ? head.mappingOffset : view.length;
  const node: IortNode = {
    ...readContent(view, head.type, bodyEnd, offset, problems),
    offset,
    length: head.length,
    revision: head.revision,
    identifier: head.identifier,
    mappings,
    mappingOffset: head.mappingOffset,
  };
  // Padding, reserved bytes and the order of the parts are not kept: say so once per node.
  const { mappingOffset, length, ...rest } = node;
  const standard = iortNodeBytes({ ...rest, length, mappingOffset });
  if (Buffer.compare(standard, view.bytes) !== 0) {
    problems.note('layout', offset, 'the node is laid out in another way than ours would be');
  }
  return node;
}

function readMappings(
  view: ByteView,
  offset: number,
  head: { readonly mappingCount: number; readonly mappingOffset: number },
  problems: Problems,
): IortIdMapping[] {
  const { mappingCount, mappingOffset } = head;
  const mappings: IortIdMapping[] = [];
  const { size } = spec.ACPI_IORT_ID_MAPPING;
  for (let index = 0; index < mappingCount; index++) {
    const at = mappingOffset + index * size;
    if (at < spec.ACPI_IORT_NODE.size || at + size > view.length) {
      const lost = `mapping ${index} of ${mappingCount} is outside the node`;
      problems.error('mapping-outside', offset, lost);
      break;
    }
    mappings.push(spec.ACPI_IORT_ID_MAPPING.read(view, at));
  }
  return mappings;
}

const MINIMUM = new Map([
  [spec.ACPI_IORT_NODE_ITS_GROUP, 4],
  [spec.ACPI_IORT_NODE_NAMED_COMPONENT, spec.ACPI_IORT_NAMED_COMPONENT.size],
  [spec.ACPI_IORT_NODE_PCI_ROOT_COMPLEX, spec.ACPI_IORT_ROOT_COMPLEX.size],
  [spec.ACPI_IORT_NODE_SMMU_V3, spec.ACPI_IORT_SMMU_V3.size],
  [spec.ACPI_IORT_NODE_RMR, spec.ACPI_IORT_RMR.size],
]);

function readContent(
  view: ByteView,
  type: number,
  end: number,
  offset: number,
  problems: Problems,
): IortNodeContent {
  const at = spec.ACPI_IORT_NODE.size;
  const minimum = MINIMUM.get(type);
  if (minimum === undefined || at + minimum > end) {
    if (minimum !== undefined) {
      problems.error('node-size', offset, `node of type ${type} has no room for its fields`);
    } else if (type !== spec.ACPI_IORT_NODE_SMMU && type !== spec.ACPI_IORT_NODE_PMCG) {
      problems.warning('unknown-node', offset, `node of unknown type ${type}`);
    }
    return { kind: 'unknown', type, body: view.slice(at, Math.max(0, end - at)).slice() };
  }
  switch (type) {
    case spec.ACPI_IORT_NODE_ITS_GROUP:
      return { kind: 'its-group', identifiers: readIdentifiers(view, at, end, offset, problems) };
    case spec.ACPI_IORT_NODE_NAMED_COMPONENT: {
      const fields = spec.ACPI_IORT_NAMED_COMPONENT.read(view, at);
      const from = at + spec.ACPI_IORT_NAMED_COMPONENT.size;
      const text = view.latin1(from, end - from);
      const nul = text.indexOf('\0');
      if (nul < 0) problems.error('path', offset + from, 'the path does not end with a NUL');
      return { kind: 'named-component', ...fields, path: nul < 0 ? text : text.slice(0, nul) };
    }
    case spec.ACPI_IORT_NODE_PCI_ROOT_COMPLEX: {
      const { reserved: _, ...fields } = spec.ACPI_IORT_ROOT_COMPLEX.read(view, at);
      return { kind: 'root-complex', ...fields };
    }
    case spec.ACPI_IORT_NODE_SMMU_V3: {
      const { reserved: _, ...fields } = spec.ACPI_IORT_SMMU_V3.read(view, at);
      return { kind: 'smmu-v3', ...fields };
    }
    default:
      return readRmr(view, at, offset, problems);
  }
}

function readIdentifiers(
  view: ByteView,
  at: number,
  end: number,
  offset: number,
  problems: Problems,
): number[] {
  const count = view.u32(at);
  const room = Math.floor((end - at - 4) / 4);
  if (count > room) {
    problems.error('its-count', offset + at, `${count} ITS identifiers, room for ${room}`);
  }
  return Array.from({ length: Math.min(count, room) }, (_, index) => view.u32(at + 4 + index * 4));
}

function readRmr(view: ByteView, at: number, offset: number, problems: Problems): IortNodeContent {
  const { flags, rmrCount, rmrOffset } = spec.ACPI_IORT_RMR.read(view, at);
  const ranges = [];
  const { size } = spec.ACPI_IORT_RMR_DESC;
  for (let index = 0; index < rmrCount; index++) {
    const from = rmrOffset + index * size;
    if (from < spec.ACPI_IORT_NODE.size || from + size > view.length) {
      problems.error('rmr-outside', offset, `range ${index} of ${rmrCount} is outside the node`);
      break;
    }
    const { base, length } = spec.ACPI_IORT_RMR_DESC.read(view, from);
    ranges.push({ base, length });
  }
  return { kind: 'rmr', flags, ranges };
}
