import type { ViotDescription, ViotNode } from '../../description.ts';
import { flatten } from './flatten.ts';
import type { Run } from './rid-map.ts';

export type ViotRange = Extract<ViotNode, { type: 'pci-range' }>;
export type ViotEndpoint = Extract<ViotNode, { type: 'mmio-endpoint' }>;
export type ViotIommu = Extract<ViotNode, { type: 'pci-iommu' | 'mmio-iommu' }>;

/** Where the fixed part of the table ends and, in every known firmware, the nodes begin. */
export const VIOT_NODES_START = 48;

/** Key of a VIOT's IOMMU in runs: nodes have no names, so its offset. */
export function viotKey(node: ViotIommu): string {
  return `viot+${node.offset}`;
}

/** IOMMU nodes by their key. */
export function viotIommus(viot: ViotDescription): Map<string, ViotIommu> {
  const map = new Map<string, ViotIommu>();
  for (const node of viot.nodes) {
    if (node.type === 'pci-iommu' || node.type === 'mmio-iommu') map.set(viotKey(node), node);
  }
  return map;
}

/** The PCI ranges and platform endpoints of a table. */
export function viotEndpoints(viot: ViotDescription): (ViotRange | ViotEndpoint)[] {
  return viot.nodes.filter((it) => it.type === 'pci-range' || it.type === 'mmio-endpoint');
}

const outputs: WeakMap<ViotDescription, Map<number, ViotIommu>> = new WeakMap();

/** The IOMMU that `output_node` leads to; undefined: none starts there. */
export function viotOutput(viot: ViotDescription, output: number): ViotIommu | undefined {
  let map = outputs.get(viot);
  if (map === undefined) {
    map = new Map([...viotIommus(viot).values()].map((node) => [node.offset, node]));
    outputs.set(viot, map);
  }
  return map.get(output);
}

/**
 * What Linux's `viot_pci_dev_iommu_init` answers for each requester ID of one segment.
 *
 * Nodes are added at the head of a list, so the last one of the table that matches counts.
 * A range whose output is no IOMMU node is not in the list at all: it answers, as broken, only
 * where no other does. An IOMMU in its own range is left alone by Linux; no hole is cut for it here.
 */
export function viotRuns(viot: ViotDescription, segment: number): Run[] {
  const entries = [];
  for (const [index, node] of viot.nodes.entries()) {
    if (node.type !== 'pci-range') continue;
    if (segment < node.segments.start || segment > node.segments.end) continue;
    const rank = viotOutput(viot, node.output) === undefined ? index + 1 : -index;
    entries.push({ range: node.rids, rank, value: node });
  }
  return flatten(entries).map(({ range, value }): Run => {
    const iommu = viotOutput(viot, value.output);
    const id =
      (segment - value.segments.start) * 0x10000 +
      (range.start - value.rids.start) +
      value.endpointStart;
    if (iommu === undefined) return { rids: range, broken: 'output', place: value.place };
    return { rids: range, to: { iommu: viotKey(iommu), id: id >>> 0 }, place: value.place };
  });
}

/** A foreign table may name 65,536 segments without saying which exist: no more are looked at. */
const SEGMENTS_MAX = 256;

/** Segments that the table's ranges begin with, as far as {@link SEGMENTS_MAX} goes. */
export function viotSegments(viot: ViotDescription): number[] {
  const segments = new Set<number>();
  for (const node of viot.nodes) {
    if (node.type === 'pci-range' && segments.size < SEGMENTS_MAX) {
      segments.add(node.segments.start);
    }
  }
  return [...segments].toSorted((a, b) => a - b);
}
