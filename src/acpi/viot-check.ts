import { ByteView, hex } from '../bytes/index.ts';
import { ACPI_VIOT_PCI_RANGE } from '../spec/viot.ts';
import type { Problems } from './problem.ts';
import type { ViotNode } from './viot-reader.ts';
import { overlappingRanges } from './viot-overlap.ts';

type Endpoint = Extract<ViotNode, { outputNode: number }>;
type PciRange = Extract<ViotNode, { kind: 'pci-range' }>;

/** Looks at what the nodes say about one another. */
export function checkViotReferences(
  view: ByteView,
  nodeOffset: number,
  nodes: readonly ViotNode[],
  problems: Problems,
): void {
  const byOffset = new Map(nodes.map((node) => [node.offset, node]));
  const ranges: PciRange[] = [];
  for (const node of nodes) {
    if (node.kind === 'pci-range' || node.kind === 'mmio-endpoint') {
      checkOutput(view, nodeOffset, node, byOffset.get(node.outputNode), problems);
    }
    if (node.kind === 'pci-range' && checkRange(node, problems)) ranges.push(node);
  }
  for (const [a, b] of overlappingRanges(ranges)) {
    const both = `overlaps the range at ${hex(Math.min(a.offset, b.offset))}`;
    const at = Math.max(a.offset, b.offset);
    problems.error('range-overlap', at, `${both}: Linux uses the last one in the table`);
  }
  checkTwice(nodes, problems);
}

function checkOutput(
  view: ByteView,
  nodeOffset: number,
  node: Endpoint,
  target: ViotNode | undefined,
  problems: Problems,
): void {
  const at =
    node.offset + (node.kind === 'pci-range' ? ACPI_VIOT_PCI_RANGE.offsets.outputNode : 16);
  const to = `output_node ${hex(node.outputNode)}`;
  const effect = 'its endpoints bypass';
  if (target?.kind === 'pci-iommu' || target?.kind === 'mmio-iommu') return;
  if (target?.kind === 'unknown') {
    problems.error('output-unusable', at, `${to} is a node of type ${target.type}: ${effect}`);
  } else if (target !== undefined) {
    problems.error('output-not-iommu', at, `${to} is a ${target.kind} node: ${effect}`);
  } else if (node.outputNode < nodeOffset || node.outputNode + 4 > view.length) {
    problems.error('output-outside', at, `${to} is outside the nodes: ${effect}`);
  } else {
    problems.error('output-not-a-node', at, `no node starts at ${to}: ${effect}`);
  }
}

function checkRange(node: PciRange, problems: Problems): boolean {
  const { segmentStart, segmentEnd, bdfStart, bdfEnd, endpointStart } = node;
  if (segmentStart > segmentEnd || bdfStart > bdfEnd) {
    const what = segmentStart > segmentEnd ? 'segment' : 'bdf';
    problems.error('range-empty', node.offset, `the range ends before it starts (${what})`);
    return false;
  }
  const last = endpointStart + (segmentEnd - segmentStart) * 0x10000 + (bdfEnd - bdfStart);
  if (last > 0xffffffff) {
    const text = `endpoint IDs run past 0xffffffff (to ${hex(last)}) and wrap to 0`;
    problems.error('endpoint-overflow', node.offset, text);
  }
  return true;
}

/** Two nodes for one device: Linux takes the last MMIO endpoint with an address. */
function checkTwice(nodes: readonly ViotNode[], problems: Problems): void {
  const seen = new Map<string, number>();
  for (const node of nodes) {
    const key = identity(node);
    if (key === undefined) continue;
    const first = seen.get(key);
    if (first === undefined) seen.set(key, node.offset);
    else problems.error('duplicate', node.offset, `${key} is at ${hex(first)} already`);
  }
}

function identity(node: ViotNode): string | undefined {
  if (node.kind === 'mmio-endpoint') return `MMIO endpoint ${hex(node.base)}`;
  if (node.kind === 'mmio-iommu') return `MMIO IOMMU ${hex(node.base)}`;
  if (node.kind === 'pci-iommu') return `PCI IOMMU ${hex(node.segment)}:${hex(node.bdf)}`;
  return undefined;
}
