import { writeViotRaw, type RawViotNode } from '../../acpi/index.ts';
import {
  ACPI_VIOT_HEADER,
  ACPI_VIOT_MMIO,
  ACPI_VIOT_PCI_RANGE,
  ACPI_VIOT_VIRTIO_IOMMU_MMIO,
  ACPI_VIOT_VIRTIO_IOMMU_PCI,
  VIOT_NODE_OFFSET,
} from '../../spec/viot.ts';
import type { Model, ViotDescription, ViotNode, ViotNodeOverride } from '../../topology/index.ts';

/** Bytes of a node that is as long as its type says; unknown types get the shortest known. */
const SIZES: Readonly<Record<ViotNodeOverride['type'], number>> = {
  'pci-range': ACPI_VIOT_PCI_RANGE.size,
  'mmio-endpoint': ACPI_VIOT_MMIO.size,
  'pci-iommu': ACPI_VIOT_VIRTIO_IOMMU_PCI.size,
  'mmio-iommu': ACPI_VIOT_VIRTIO_IOMMU_MMIO.size,
  unknown: ACPI_VIOT_VIRTIO_IOMMU_MMIO.size,
};

/**
 * The VIOT that a description means, right or wrong: nodes in its order, with its references,
 * counts and IDs. Length and checksum are always those of the bytes.
 *
 * A description ends where a kernel stops reading; nodes that an override damages, and those
 * behind them, are written as the override has them.
 * @throws RangeError when a number does not fit its field.
 */
export function buildViot(model: Model, viot: ViotDescription): Uint8Array {
  const wanted = model.firmware.overrides?.viot?.nodes;
  const nodes = wanted === undefined ? viot.nodes.map(rawNode) : overrideNodes(wanted);
  return writeViotRaw({
    nodes,
    ...(viot.nodeCount === nodes.length ? {} : { nodeCount: viot.nodeCount }),
    ...(viot.nodeOffset === VIOT_NODE_OFFSET ? {} : { nodeOffset: viot.nodeOffset }),
  });
}

function rawNode(node: ViotNode): RawViotNode {
  if (node.type === 'pci-range') {
    return {
      kind: 'pci-range',
      endpointStart: node.endpointStart,
      segmentStart: node.segments.start,
      segmentEnd: node.segments.end,
      bdfStart: node.rids.start,
      bdfEnd: node.rids.end,
      outputNode: node.output,
    };
  }
  if (node.type === 'mmio-endpoint') {
    const { endpoint, base, output } = node;
    return { kind: 'mmio-endpoint', endpoint, base, outputNode: output };
  }
  if (node.type === 'pci-iommu') {
    return { kind: 'pci-iommu', segment: node.segment, bdf: node.rid };
  }
  if (node.type === 'mmio-iommu') return { kind: 'mmio-iommu', base: node.base };
  const body = new Uint8Array(Math.max(0, node.length - ACPI_VIOT_HEADER.size));
  return { kind: 'unknown', type: node.number, body, length: node.length };
}

/** Nodes as the user wrote them; each takes the bytes that its length says, where that can be. */
function overrideNodes(wanted: readonly ViotNodeOverride[]): RawViotNode[] {
  let offset = VIOT_NODE_OFFSET;
  const offsets = wanted.map((node) => {
    const at = offset;
    offset += node.length ?? SIZES[node.type];
    return at;
  });
  return wanted.map((node, index) => {
    const raw = rawNode(asNode(node, offsets[index] ?? 0, offsets));
    return node.length === undefined || node.type === 'unknown'
      ? raw
      : stretched(raw, node.length, SIZES[node.type]);
  });
}

function asNode(node: ViotNodeOverride, offset: number, offsets: readonly number[]): ViotNode {
  const common = { offset, place: node.place };
  if (node.type === 'unknown') {
    return {
      ...common,
      type: 'unknown',
      number: node.number,
      length: node.length ?? SIZES.unknown,
    };
  }
  if (node.type === 'pci-range' || node.type === 'mmio-endpoint') {
    const { output, ...rest } = node;
    const to = 'node' in output ? (offsets[output.node] ?? 0) : output.offset;
    return { ...rest, ...common, output: to };
  }
  return { ...node, ...common };
}

/** A longer node gets zeros behind it; a shorter one keeps its bytes, since nothing follows it. */
function stretched(raw: RawViotNode, length: number, size: number): RawViotNode {
  return length > size
    ? { ...raw, length, trailing: new Uint8Array(length - size) }
    : { ...raw, length };
}
