import {
  ACPI_VIOT_MMIO,
  ACPI_VIOT_PCI_RANGE,
  ACPI_VIOT_VIRTIO_IOMMU_MMIO,
  ACPI_VIOT_VIRTIO_IOMMU_PCI,
  VIOT_NODE_OFFSET,
} from '../../spec/viot.ts';
import type { FormProblem, ViotDescription, ViotNode } from '../description.ts';
import type { CoverageRow, Model, ViotNodeOverride, ViotOutput } from '../model.ts';

const SIZES: Readonly<Record<ViotNodeOverride['type'], number>> = {
  'pci-range': ACPI_VIOT_PCI_RANGE.size,
  'mmio-endpoint': ACPI_VIOT_MMIO.size,
  'pci-iommu': ACPI_VIOT_VIRTIO_IOMMU_PCI.size,
  'mmio-iommu': ACPI_VIOT_VIRTIO_IOMMU_MMIO.size,
  unknown: 16,
};

/** What the VIOT of a model says. */
export function describeViot(model: Model): ViotDescription {
  const overrides = model.firmware.overrides?.viot;
  const nodes = overrides?.nodes ?? deriveNodes(model);
  const laid = layOut(nodes);
  return {
    nodes: laid.nodes,
    nodeCount: overrides?.nodeCount ?? nodes.length,
    nodeOffset: overrides?.nodeOffset ?? VIOT_NODE_OFFSET,
    formProblems: laid.problems,
    place: overrides?.places['nodes'] ?? model.place,
  };
}

/** IOMMUs first, so that `output_node` (16 bits) reaches them; then ranges, then MMIO endpoints. */
function deriveNodes(model: Model): ViotNodeOverride[] {
  const described = model.viommus.filter(
    ({ id }) => model.firmware.overrides?.viommus[id]?.described !== false,
  );
  const iommus = described.map(({ transport, place }): ViotNodeOverride =>
    transport.kind === 'pci'
      ? { type: 'pci-iommu', segment: transport.segment, rid: transport.rid, place }
      : { type: 'mmio-iommu', base: transport.base, place },
  );
  const index = new Map(described.map(({ id }, node) => [id, node]));
  const outputs = new Map([...index].map(([id, node]) => [id, { node }]));
  const ranges: ViotNodeOverride[] = [];
  for (const { viommu, endpointId: endpointStart, segments, rids, place } of viotRanges(model)) {
    const output = outputs.get(viommu);
    if (output !== undefined) {
      ranges.push({ type: 'pci-range', endpointStart, segments, rids, output, place });
    }
  }
  const platform = model.endpoints.flatMap((endpoint): ViotNodeOverride[] => {
    const { location, viommu = '', endpointId, place } = endpoint;
    const node = index.get(viommu);
    if (location.kind !== 'platform' || node === undefined || endpointId === undefined) return [];
    const { base } = location;
    return [{ type: 'mmio-endpoint', endpoint: endpointId, base, output: { node }, place }];
  });
  return [...iommus, ...ranges, ...platform];
}

type ViotRow = Omit<CoverageRow, 'segment' | 'host'> & {
  readonly segments: { readonly start: number; readonly end: number };
};

/**
 * Coverage rows as VIOT has them: without the hole of the PCI vIOMMU that the row is behind, which
 * a kernel makes itself and QEMU does not write (a kernel does not make it for another's function), and one node for what runs on over consecutive segments.
 */
function viotRanges(model: Model): ViotRow[] {
  const own = new Map(
    model.viommus.flatMap(({ id, transport }) =>
      transport.kind === 'pci' ? [[transport.segment * 0x1_0000 + transport.rid, id] as const] : [],
    ),
  );
  const closed: CoverageRow[] = [];
  for (const row of model.coverage) {
    const last = closed.at(-1);
    const gap = last === undefined ? 0 : row.rids.start - last.rids.end - 1;
    const joins =
      last !== undefined &&
      last.segment === row.segment &&
      last.viommu === row.viommu &&
      gap >= 0 &&
      gap <= 1 &&
      (gap === 0 || own.get(row.segment * 0x1_0000 + row.rids.start - 1) === row.viommu) &&
      last.endpointId + (row.rids.start - last.rids.start) === row.endpointId;
    if (joins) {
      const rids = { start: last.rids.start, end: row.rids.end };
      closed[closed.length - 1] = { ...last, rids };
    } else closed.push(row);
  }
  return acrossSegments(closed);
}

function acrossSegments(rows: readonly CoverageRow[]): ViotRow[] {
  type Growing = ViotRow & { readonly segments: { readonly start: number; end: number } };
  const result: Growing[] = [];
  // Ranges that reach the segment before, and those that reach this one, by their first requester
  // ID: rows of a segment are disjoint, so there is one of each. Rows come segment by segment.
  let before = new Map<number, Growing>();
  let here = new Map<number, Growing>();
  let at = rows[0]?.segment ?? 0;
  for (const { segment, rids, viommu, endpointId, place } of rows) {
    if (segment !== at) {
      before = segment === at + 1 ? here : new Map<number, Growing>();
      here = new Map<number, Growing>();
      at = segment;
    }
    let row = before.get(rids.start);
    const goesOn =
      row !== undefined &&
      row.rids.end === rids.end &&
      row.viommu === viommu &&
      row.endpointId + (segment - row.segments.start) * 0x1_0000 === endpointId;
    if (row !== undefined && goesOn) row.segments.end = segment;
    else {
      row = { segments: { start: segment, end: segment }, rids, viommu, endpointId, place };
      result.push(row);
    }
    here.set(rids.start, row);
  }
  return result;
}

/** Gives nodes their offsets; stops where a kernel does, at a node of a length it refuses. */
function layOut(nodes: readonly ViotNodeOverride[]): {
  nodes: ViotNode[];
  problems: FormProblem[];
} {
  const offsets: number[] = [];
  let offset = VIOT_NODE_OFFSET;
  for (const node of nodes) {
    offsets.push(offset);
    offset += node.length ?? SIZES[node.type];
  }
  const result: ViotNode[] = [];
  const problems: FormProblem[] = [];
  for (const [index, node] of nodes.entries()) {
    const problem = damage(node);
    if (problem !== undefined) {
      problems.push(problem);
      break;
    }
    result.push(finish(node, offsets[index] ?? 0, offsets));
  }
  return { nodes: result, problems };
}

function damage(node: ViotNodeOverride): FormProblem | undefined {
  const { length, type } = node;
  if (length === undefined) return undefined;
  if (length === 0) {
    return { code: 'viot/empty-node', message: 'a node has length 0', place: node.place };
  }
  if (type === 'unknown' || length >= SIZES[type]) return undefined;
  const message = `a ${type} node has ${length} bytes instead of ${SIZES[type]}`;
  return { code: 'viot/node-size', message, place: node.place };
}

function finish(node: ViotNodeOverride, offset: number, offsets: readonly number[]): ViotNode {
  const output = (to: ViotOutput): number => ('node' in to ? (offsets[to.node] ?? 0) : to.offset);
  const { place } = node;
  switch (node.type) {
    case 'pci-range': {
      const { type, endpointStart, segments, rids } = node;
      return { type, offset, endpointStart, segments, rids, output: output(node.output), place };
    }
    case 'mmio-endpoint': {
      const { type, endpoint, base } = node;
      return { type, offset, endpoint, base, output: output(node.output), place };
    }
    case 'pci-iommu':
      return { type: node.type, offset, segment: node.segment, rid: node.rid, place };
    case 'mmio-iommu':
      return { type: node.type, offset, base: node.base, place };
    case 'unknown': {
      const length = node.length ?? SIZES.unknown;
      return { type: node.type, offset, number: node.number, length, place };
    }
  }
}
