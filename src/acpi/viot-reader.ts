import { ByteView, hex } from '../bytes/index.ts';
import { ACPI_TABLE_HEADER } from '../spec/acpi.ts';
import {
  ACPI_VIOT_FIELDS,
  ACPI_VIOT_HEADER,
  ACPI_VIOT_MMIO,
  ACPI_VIOT_NODE_MMIO,
  ACPI_VIOT_NODE_PCI_RANGE,
  ACPI_VIOT_NODE_VIRTIO_IOMMU_MMIO,
  ACPI_VIOT_NODE_VIRTIO_IOMMU_PCI,
  ACPI_VIOT_PCI_RANGE,
  ACPI_VIOT_VIRTIO_IOMMU_MMIO,
  ACPI_VIOT_VIRTIO_IOMMU_PCI,
  VIOT_NODE_OFFSET,
  VIOT_REVISION,
  VIOT_SIGNATURE,
} from '../spec/viot.ts';
import { nonZero, openTable, type TableHeader } from './header.ts';
import { Problems, type AcpiProblem } from './problem.ts';
import { checkViotReferences } from './viot-check.ts';
import type { ViotNodeContent } from './viot-raw.ts';

/** A node as it was read; it can be handed to `writeViotRaw` again. */
export type ViotNode = ViotNodeContent & {
  /** Bytes from the start of the table. */
  readonly offset: number;
  /** As the node says. */
  readonly length: number;
  /** Bytes between the known fields and the node's end; absent when there are none. */
  readonly trailing?: Uint8Array;
};

/** A VIOT as it was read. */
export interface Viot {
  readonly header: TableHeader;
  readonly nodeCount: number;
  readonly nodeOffset: number;
  /** In table order, up to where Linux stops parsing. */
  readonly nodes: readonly ViotNode[];
  readonly problems: readonly AcpiProblem[];
  /** The table itself. */
  readonly bytes: Uint8Array;
}

/** The fixed part: header, node count and offset, 8 reserved bytes. */
export const VIOT_FIXED_SIZE: number = ACPI_TABLE_HEADER.size + ACPI_VIOT_FIELDS.size;

/**
 * Reads a VIOT from any firmware, walking its nodes as Linux's `acpi_viot_init` does.
 *
 * What is wrong is listed in `problems`; `FormatError` means that it is no VIOT at all:
 * `viot/signature`, `viot/truncated` (the fixed 48 bytes are not there) or `viot/length`.
 */
export function readViot(bytes: Uint8Array): Viot {
  const problems = new Problems('viot');
  const { view, header } = openTable(bytes, VIOT_SIGNATURE, VIOT_FIXED_SIZE, problems);
  const at = ACPI_TABLE_HEADER.size;
  const fields = ACPI_VIOT_FIELDS.read(view, at);
  if (header.revision !== VIOT_REVISION) {
    problems.warning(
      'revision',
      ACPI_TABLE_HEADER.offsets.revision,
      `revision ${header.revision}: firmware has ${VIOT_REVISION}, Linux does not look`,
    );
  }
  if (nonZero(fields.reserved)) {
    problems.warning('reserved', at + ACPI_VIOT_FIELDS.offsets.reserved, 'reserved bytes not 0');
  }
  if (fields.nodeOffset !== VIOT_NODE_OFFSET) {
    problems.warning(
      'node-offset',
      at + ACPI_VIOT_FIELDS.offsets.nodeOffset,
      `node_offset is ${fields.nodeOffset}, every known firmware has ${VIOT_NODE_OFFSET}`,
    );
  }
  const nodes = walk(view, fields.nodeCount, fields.nodeOffset, problems);
  checkViotReferences(view, fields.nodeOffset, nodes, problems);
  return {
    header,
    nodeCount: fields.nodeCount,
    nodeOffset: fields.nodeOffset,
    nodes,
    problems: problems.list,
    bytes: view.bytes,
  };
}

function walk(view: ByteView, count: number, start: number, problems: Problems): ViotNode[] {
  const nodes: ViotNode[] = [];
  let at = start;
  for (let index = 0; index < count; index++) {
    const lost = `parsing stops: ${count - index} of ${count} nodes are lost`;
    if (at < VIOT_FIXED_SIZE || at + ACPI_VIOT_HEADER.size > view.length) {
      const where = `node ${index} at ${hex(at)} is outside the table`;
      problems.error('node-overflow', Math.min(at, view.length), `${where}; ${lost}`);
      return nodes;
    }
    const head = ACPI_VIOT_HEADER.read(view, at);
    if (head.length < ACPI_VIOT_HEADER.size) {
      problems.error('empty-node', at, `node ${index} has length ${head.length}; ${lost}`);
      return nodes;
    }
    const size = endpointSize(head.type);
    if (size !== undefined && head.length < size) {
      const what = `node ${index} of type ${head.type} has length ${head.length}, needs ${size}`;
      problems.error('node-size', at, `${what}; ${lost}`);
      return nodes;
    }
    if (at + head.length > view.length) {
      const end = `ends ${at + head.length - view.length} bytes after the table`;
      problems.error('node-past-end', at, `node ${index} ${end}`);
      return nodes;
    }
    nodes.push(readViotNode(view, at, problems));
    at += head.length;
  }
  if (at < view.length) {
    const rest = `${view.length - at} bytes after the last of ${count} nodes are never looked at`;
    problems.warning('bytes-after-nodes', at, rest);
  }
  return nodes;
}

/** The size Linux insists on while it walks; it looks at IOMMU nodes only when they are used. */
function endpointSize(type: number): number | undefined {
  if (type === ACPI_VIOT_NODE_PCI_RANGE) return ACPI_VIOT_PCI_RANGE.size;
  return type === ACPI_VIOT_NODE_MMIO ? ACPI_VIOT_MMIO.size : undefined;
}

const KNOWN = new Map([
  [ACPI_VIOT_NODE_PCI_RANGE, layoutOf(ACPI_VIOT_PCI_RANGE)],
  [ACPI_VIOT_NODE_MMIO, layoutOf(ACPI_VIOT_MMIO)],
  [ACPI_VIOT_NODE_VIRTIO_IOMMU_PCI, layoutOf(ACPI_VIOT_VIRTIO_IOMMU_PCI)],
  [ACPI_VIOT_NODE_VIRTIO_IOMMU_MMIO, layoutOf(ACPI_VIOT_VIRTIO_IOMMU_MMIO)],
]);

/** Size of a node and the place of its reserved bytes, which is all that the types share. */
function layoutOf(of: {
  readonly size: number;
  readonly offsets: { readonly reserved2: number };
  read(view: ByteView, offset: number): { reserved2: Uint8Array };
}): { size: number; reservedAt: number; reserved(view: ByteView, offset: number): Uint8Array } {
  return {
    size: of.size,
    reservedAt: of.offsets.reserved2,
    reserved: (view, offset) => of.read(view, offset).reserved2,
  };
}

/** Reads one node whose whole length lies inside the table. */
function readViotNode(view: ByteView, offset: number, problems: Problems): ViotNode {
  const { type, length, reserved } = ACPI_VIOT_HEADER.read(view, offset);
  const layout = KNOWN.get(type);
  if (reserved !== 0) problems.warning('reserved', offset + 1, 'reserved byte of the node not 0');
  if (layout === undefined || length < layout.size) {
    if (layout === undefined) {
      problems.warning('unknown-node', offset, `node of unknown type ${type}: Linux skips it`);
    } else {
      const need = `type ${type} has length ${length}, needs ${layout.size}`;
      problems.error('iommu-node-size', offset, `IOMMU node of ${need}: Linux does not use it`);
    }
    const body = view.slice(offset + ACPI_VIOT_HEADER.size, length - ACPI_VIOT_HEADER.size).slice();
    return { kind: 'unknown', type, body, offset, length };
  }
  const place = { offset, length };
  const extra = view.slice(offset + layout.size, length - layout.size);
  const trailing = extra.length === 0 ? {} : { trailing: extra.slice() };
  if (extra.length > 0) {
    const more = `${extra.length} bytes more than type ${type} has`;
    problems.warning('node-longer', offset, `the node is ${more}`);
  }
  if (nonZero(layout.reserved(view, offset))) {
    const at = offset + layout.reservedAt;
    problems.warning('reserved', at, 'reserved bytes of the node not 0');
  }
  return { ...content(view, offset, type), ...place, ...trailing };
}

function content(view: ByteView, offset: number, type: number): ViotNodeContent {
  if (type === ACPI_VIOT_NODE_PCI_RANGE) {
    const raw = ACPI_VIOT_PCI_RANGE.read(view, offset);
    return {
      kind: 'pci-range',
      endpointStart: raw.endpointStart,
      segmentStart: raw.segmentStart,
      segmentEnd: raw.segmentEnd,
      bdfStart: raw.bdfStart,
      bdfEnd: raw.bdfEnd,
      outputNode: raw.outputNode,
    };
  }
  if (type === ACPI_VIOT_NODE_MMIO) {
    const { endpoint, base, outputNode } = ACPI_VIOT_MMIO.read(view, offset);
    return { kind: 'mmio-endpoint', endpoint, base, outputNode };
  }
  if (type === ACPI_VIOT_NODE_VIRTIO_IOMMU_PCI) {
    const { segment, bdf } = ACPI_VIOT_VIRTIO_IOMMU_PCI.read(view, offset);
    return { kind: 'pci-iommu', segment, bdf };
  }
  return { kind: 'mmio-iommu', base: ACPI_VIOT_VIRTIO_IOMMU_MMIO.read(view, offset).base };
}
