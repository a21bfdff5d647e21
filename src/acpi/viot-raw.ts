import { ByteSink } from '../bytes/index.ts';
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
import { DEFAULT_IDS, writeTable, type HeaderOverrides, type TableIds } from './header.ts';

/** What a VIOT node says. `outputNode` is bytes from the start of the table (16 bits). */
export type ViotNodeContent =
  | {
      readonly kind: 'pci-range';
      /** Endpoint ID (32 bits) of `bdfStart` on `segmentStart`. */
      readonly endpointStart: number;
      readonly segmentStart: number;
      readonly segmentEnd: number;
      /** Requester IDs (16 bits), the last one included. */
      readonly bdfStart: number;
      readonly bdfEnd: number;
      readonly outputNode: number;
    }
  | {
      readonly kind: 'mmio-endpoint';
      readonly endpoint: number;
      /** First address of the device's first memory resource. */
      readonly base: bigint;
      readonly outputNode: number;
    }
  | { readonly kind: 'pci-iommu'; readonly segment: number; readonly bdf: number }
  | { readonly kind: 'mmio-iommu'; readonly base: bigint }
  /** A type nobody knows, or a known one that is too short for its fields. */
  | { readonly kind: 'unknown'; readonly type: number; readonly body: Uint8Array };

/** A node to be written as it is, right or wrong. */
export type RawViotNode = ViotNodeContent & {
  /** Stored as the node's length; by default the bytes it really has. */
  readonly length?: number;
  /** Bytes after the fields that the specification knows. */
  readonly trailing?: Uint8Array;
};

/** A table to be written as it is: everything but `nodes` has the right value by default. */
export interface RawViot {
  readonly nodes: readonly RawViotNode[];
  readonly nodeCount?: number;
  /** Stored as the offset of the first node, which is always at 48. */
  readonly nodeOffset?: number;
  readonly ids?: TableIds;
  readonly header?: HeaderOverrides;
}

/**
 * Writes a VIOT without asking whether it makes sense, for tests that need wrong firmware.
 *
 * Throws `RangeError` only when a value does not fit its field.
 */
export function writeViotRaw(raw: RawViot): Uint8Array {
  const sink = new ByteSink('le');
  ACPI_VIOT_FIELDS.write(sink, {
    nodeCount: raw.nodeCount ?? raw.nodes.length,
    nodeOffset: raw.nodeOffset ?? VIOT_NODE_OFFSET,
  });
  for (const node of raw.nodes) writeNode(sink, node);
  return writeTable(
    VIOT_SIGNATURE,
    VIOT_REVISION,
    sink.bytes(),
    raw.ids ?? DEFAULT_IDS,
    raw.header ?? {},
  );
}

/** Bytes that `node` takes up in the table, whatever length it claims. */
export function viotNodeSize(node: RawViotNode): number {
  const body = node.kind === 'unknown' ? node.body.length : 0;
  return FIXED_SIZE[node.kind] + body + (node.trailing?.length ?? 0);
}

const FIXED_SIZE = {
  'pci-range': ACPI_VIOT_PCI_RANGE.size,
  'mmio-endpoint': ACPI_VIOT_MMIO.size,
  'pci-iommu': ACPI_VIOT_VIRTIO_IOMMU_PCI.size,
  'mmio-iommu': ACPI_VIOT_VIRTIO_IOMMU_MMIO.size,
  unknown: ACPI_VIOT_HEADER.size,
} as const;

function writeNode(sink: ByteSink, node: RawViotNode): void {
  const length = node.length ?? viotNodeSize(node);
  switch (node.kind) {
    case 'pci-range':
      ACPI_VIOT_PCI_RANGE.write(sink, {
        type: ACPI_VIOT_NODE_PCI_RANGE,
        length,
        endpointStart: node.endpointStart,
        segmentStart: node.segmentStart,
        segmentEnd: node.segmentEnd,
        bdfStart: node.bdfStart,
        bdfEnd: node.bdfEnd,
        outputNode: node.outputNode,
      });
      break;
    case 'mmio-endpoint':
      ACPI_VIOT_MMIO.write(sink, {
        type: ACPI_VIOT_NODE_MMIO,
        length,
        endpoint: node.endpoint,
        base: node.base,
        outputNode: node.outputNode,
      });
      break;
    case 'pci-iommu':
      ACPI_VIOT_VIRTIO_IOMMU_PCI.write(sink, {
        type: ACPI_VIOT_NODE_VIRTIO_IOMMU_PCI,
        length,
        segment: node.segment,
        bdf: node.bdf,
      });
      break;
    case 'mmio-iommu':
      ACPI_VIOT_VIRTIO_IOMMU_MMIO.write(sink, {
        type: ACPI_VIOT_NODE_VIRTIO_IOMMU_MMIO,
        length,
        base: node.base,
      });
      break;
    case 'unknown':
      ACPI_VIOT_HEADER.write(sink, { type: node.type, length });
      sink.raw(node.body);
  }
  if (node.trailing !== undefined) sink.raw(node.trailing);
}
