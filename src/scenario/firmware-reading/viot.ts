import { contains, hex, showRange } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import type { Endpoint, Model, ViotDescription, ViotNode } from '../../topology/index.ts';
import { named } from './tree.ts';
import type { Reading } from './verdicts.ts';

type PciRange = Extract<ViotNode, { type: 'pci-range' }>;
type MmioEndpoint = Extract<ViotNode, { type: 'mmio-endpoint' }>;
export type IommuNode = Extract<ViotNode, { type: 'pci-iommu' | 'mmio-iommu' }>;

/**
 * How Linux reads a VIOT for one endpoint (drivers/acpi/viot.c): of all nodes that match, the last
 * in the table wins, since each is put at the head of a list. A node whose output is no IOMMU is
 * dropped before that: it answers, as broken, only where no other node matches.
 */
export function readViot(model: Model, viot: ViotDescription, endpoint: Endpoint): Reading {
  const { location } = endpoint;
  const hits = viot.nodes.filter((node): node is PciRange | MmioEndpoint =>
    location.kind === 'pci'
      ? node.type === 'pci-range' &&
        contains(node.segments, location.segment) &&
        contains(node.rids, location.rids.start)
      : node.type === 'mmio-endpoint' && node.base === location.base,
  );
  const listed = hits.filter(({ output }) => iommuAt(viot, output) !== undefined);
  const node = listed.at(-1) ?? hits[0];
  const none = { kind: 'none', by: 'VIOT', place: viot.place } as const;
  if (node === undefined) {
    return { ...none, reason: 'gap', detail: `its nodes cover ${coveredByViot(viot)}` };
  }
  const output = iommuAt(viot, node.output);
  if (output === undefined) {
    return {
      ...none,
      reason: 'dangling',
      detail: `${showNode(node)} leads to offset ${hex(node.output)}, where no IOMMU node starts`,
      place: node.place,
    };
  }
  const other = listed.at(-2);
  return {
    kind: 'translated',
    ...named(viommuOfViotNode(model, output)),
    target: showNode(output),
    endpointId: endpointOf(node, location),
    by: showNode(node),
    ...(other === undefined ? {} : { overlapped: showNode(other) }),
    place: node.place,
  };
}

/** ACPI 6.5, 5.2.34: ((segment - start) << 16) + (bdf - start) + endpoint start. */
function endpointOf(node: PciRange | MmioEndpoint, location: Endpoint['location']): number {
  if (node.type === 'mmio-endpoint' || location.kind !== 'pci') {
    return node.type === 'mmio-endpoint' ? node.endpoint : node.endpointStart;
  }
  const segment = (location.segment - node.segments.start) << 16;
  return (segment + (location.rids.start - node.rids.start) + node.endpointStart) >>> 0;
}

export function iommuAt(viot: ViotDescription, offset: number): IommuNode | undefined {
  return viot.nodes.find(
    (node): node is IommuNode =>
      (node.type === 'pci-iommu' || node.type === 'mmio-iommu') && node.offset === offset,
  );
}

/** The vIOMMU of the model at the place that an IOMMU node names. */
export function viommuOfViotNode(model: Model, node: IommuNode): string | undefined {
  return model.viommus.find(({ transport }) =>
    node.type === 'pci-iommu'
      ? transport.kind === 'pci' && transport.segment === node.segment && transport.rid === node.rid
      : transport.kind === 'mmio' && transport.base === node.base,
  )?.id;
}

export function showNode(node: ViotNode): string {
  const at = `node at ${hex(node.offset)}`;
  switch (node.type) {
    case 'pci-range':
      return `${at} (PCI range ${showBdf(node.rids.start, node.segments.start)}-${showBdf(node.rids.end, node.segments.end)})`;
    case 'mmio-endpoint':
      return `${at} (MMIO endpoint ${hex(node.base)})`;
    case 'pci-iommu':
      return `${at} (virtio-iommu at ${showBdf(node.rid, node.segment)})`;
    case 'mmio-iommu':
      return `${at} (virtio-iommu at ${hex(node.base)})`;
    case 'unknown':
      return `${at} (type ${node.number})`;
    default:
      return node satisfies never;
  }
}

function coveredByViot(viot: ViotDescription): string {
  const shown = viot.nodes.flatMap((node) => {
    if (node.type === 'mmio-endpoint') return [hex(node.base)];
    if (node.type !== 'pci-range') return [];
    const { segments, rids } = node;
    return [
      `${segments.start === 0 && segments.end === 0 ? '' : `segments ${showRange(segments)} `}${showRange(rids)}`,
    ];
  });
  if (shown.length > 8) shown.splice(8, shown.length, `… ${shown.length - 8} more`);
  return shown.join(', ') || 'nothing';
}
