import {
  readIort,
  readMcfg,
  readViot,
  type AcpiProblem,
  type Iort,
  type IortNode,
  type Viot,
  type ViotNode as RawNode,
} from '../../acpi/index.ts';
import type {
  FormProblem,
  IortDescription,
  IortMapping,
  McfgDescription,
  TablePlace,
  ViotDescription,
  ViotNode,
} from '../../topology/index.ts';
import { ACPI_MCFG_ALLOCATION, ACPI_TABLE_HEADER } from '../../spec/acpi.ts';
import {
  ACPI_IORT_ID_MAPPING,
  ACPI_IORT_ID_SINGLE_MAPPING,
  ACPI_IORT_NODE_SMMU,
} from '../../spec/iort.ts';

/** MCFG has 8 reserved bytes between its header and the first allocation. */
const MCFG_ENTRIES = ACPI_TABLE_HEADER.size + 8;

/**
 * Reads a VIOT of any firmware as Linux does.
 * @throws FormatError when it is no VIOT (see `readViot`).
 */
export function describeViot(bytes: Uint8Array, file: string): ViotDescription {
  return fromViot(readViot(bytes), file);
}

/** The same for a table that has been read already. */
export function fromViot(viot: Viot, file: string): ViotDescription {
  return {
    nodes: viot.nodes.map((node) => viotNode(node, file)),
    nodeCount: viot.nodeCount,
    nodeOffset: viot.nodeOffset,
    formProblems: formProblems(viot.problems, 'VIOT', file),
    place: tablePlace(file, 'VIOT', 0),
  };
}

function tablePlace(file: string, table: string, offset: number): TablePlace {
  return { kind: 'table', file, table, offset };
}

/** What is worth a diagnostic; notes are only shown by `inspect`. */
function formProblems(
  problems: readonly AcpiProblem[],
  table: string,
  file: string,
): FormProblem[] {
  return problems.flatMap(({ code, severity, message, offset }) =>
    severity === 'note'
      ? []
      : [{ code, severity, message, place: tablePlace(file, table, offset) }],
  );
}

function viotNode(node: RawNode, file: string): ViotNode {
  const { offset } = node;
  const place = tablePlace(file, 'VIOT', offset);
  switch (node.kind) {
    case 'pci-range':
      return {
        type: 'pci-range',
        offset,
        endpointStart: node.endpointStart,
        segments: { start: node.segmentStart, end: node.segmentEnd },
        rids: { start: node.bdfStart, end: node.bdfEnd },
        output: node.outputNode,
        place,
      };
    case 'mmio-endpoint': {
      const { endpoint, base, outputNode } = node;
      return { type: 'mmio-endpoint', offset, endpoint, base, output: outputNode, place };
    }
    case 'pci-iommu':
      return { type: 'pci-iommu', offset, segment: node.segment, rid: node.bdf, place };
    case 'mmio-iommu':
      return { type: 'mmio-iommu', offset, base: node.base, place };
    default:
      return { type: 'unknown', offset, number: node.type, length: node.length, place };
  }
}

/**
 * Reads the root complexes of an IORT: where their requester IDs go.
 * @throws FormatError when it is no IORT (see `readIort`).
 */
export function describeIort(bytes: Uint8Array, file: string): IortDescription {
  return fromIort(readIort(bytes), file);
}

/** The same for a table that has been read already. */
export function fromIort(iort: Iort, file: string): IortDescription {
  const byOffset = new Map(iort.nodes.map((node) => [node.offset, node]));
  const rootComplexes = iort.nodes.flatMap((node) =>
    node.kind === 'root-complex'
      ? [
          {
            segment: node.segment,
            mappings: iortMappings(node, byOffset, file),
            place: tablePlace(file, 'IORT', node.offset),
          },
        ]
      : [],
  );
  return {
    rootComplexes,
    formProblems: formProblems(iort.problems, 'IORT', file),
    place: tablePlace(file, 'IORT', 0),
  };
}

function iortMappings(
  node: IortNode,
  byOffset: ReadonlyMap<number, IortNode>,
  file: string,
): IortMapping[] {
  return node.mappings.map((mapping, index) => {
    const single = (mapping.flags & ACPI_IORT_ID_SINGLE_MAPPING) !== 0;
    const at = node.offset + node.mappingOffset + index * ACPI_IORT_ID_MAPPING.size;
    const end = mapping.inputBase + (single ? 0 : mapping.idCount);
    return {
      input: { start: mapping.inputBase, end },
      outputBase: mapping.outputBase,
      target: targetOf(byOffset.get(mapping.outputReference)),
      place: tablePlace(file, 'IORT', at),
    };
  });
}

function targetOf(node: IortNode | undefined): IortMapping['target'] {
  if (node === undefined) return 'none';
  if (node.kind === 'its-group') return 'its';
  if (node.kind === 'smmu-v3') return 'smmu';
  return node.kind === 'unknown' && node.type === ACPI_IORT_NODE_SMMU ? 'smmu' : 'other';
}

/**
 * Reads which buses of which segment an MCFG gives an ECAM window.
 * @throws FormatError when it is no MCFG (see `readMcfg`).
 */
export function describeMcfg(bytes: Uint8Array, file: string): McfgDescription {
  const { allocations } = readMcfg(bytes);
  return {
    hosts: allocations.map(({ segment, startBus, endBus, base }, index) => ({
      segment,
      buses: { start: startBus, end: endBus },
      ecam: base,
      place: tablePlace(file, 'MCFG', MCFG_ENTRIES + index * ACPI_MCFG_ALLOCATION.size),
    })),
    place: tablePlace(file, 'MCFG', 0),
  };
}
