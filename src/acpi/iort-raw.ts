import { ByteSink } from '../bytes/index.ts';
import * as spec from '../spec/iort.ts';
import { DEFAULT_IDS, writeTable, type HeaderOverrides, type TableIds } from './header.ts';

/** An ID mapping as it is stored: `idCount` is the number of IDs minus one. */
export interface IortIdMapping {
  readonly inputBase: number;
  readonly idCount: number;
  readonly outputBase: number;
  /** Bytes from the start of the table to the node that gets the output IDs. */
  readonly outputReference: number;
  readonly flags: number;
}

/** A range of memory that a device keeps using: `length` in bytes. */
export interface IortMemoryRange {
  readonly base: bigint;
  readonly length: bigint;
}

/** What an IORT node says, its mappings aside. */
export type IortNodeContent =
  | { readonly kind: 'its-group'; readonly identifiers: readonly number[] }
  | {
      readonly kind: 'named-component';
      readonly nodeFlags: number;
      readonly memoryProperties: bigint;
      /** Bits of the addresses the device can put out; 0 is a firmware bug to Linux. */
      readonly addressLimit: number;
      /** Full path of the object in the namespace, `\_SB.DEV0`. */
      readonly path: string;
    }
  | {
      readonly kind: 'root-complex';
      /** CCA (32 bits), hints (8), reserved (16), flags (8). */
      readonly memoryProperties: bigint;
      readonly atsAttribute: number;
      readonly segment: number;
      readonly addressLimit: number;
      readonly pasidCapabilities: number;
    }
  | {
      readonly kind: 'smmu-v3';
      readonly base: bigint;
      readonly flags: number;
      readonly vatos: bigint;
      readonly model: number;
      readonly eventGsiv: number;
      readonly priGsiv: number;
      readonly gerrGsiv: number;
      readonly syncGsiv: number;
      readonly proximityDomain: number;
      readonly deviceIdMapping: number;
    }
  | {
      readonly kind: 'rmr';
      readonly flags: number;
      readonly ranges: readonly IortMemoryRange[];
    }
  | { readonly kind: 'unknown'; readonly type: number; readonly body: Uint8Array };

/** A node to be written as it is, right or wrong. */
export type RawIortNode = IortNodeContent & {
  readonly revision: number;
  /** Unique in the table from table revision 1 on. */
  readonly identifier: number;
  readonly mappings: readonly IortIdMapping[];
  /** Stored instead of the right values. */
  readonly length?: number;
  readonly mappingCount?: number;
  readonly mappingOffset?: number;
};

/** A table to be written as it is: everything but `nodes` has the right value by default. */
export interface RawIort {
  readonly nodes: readonly RawIortNode[];
  readonly nodeCount?: number;
  readonly nodeOffset?: number;
  readonly ids?: TableIds;
  readonly header?: HeaderOverrides;
}

/**
 * Writes an IORT without asking whether it makes sense.
 *
 * A node is its header, its own fields, zeros up to a multiple of 4, its mappings. Throws
 * `RangeError` only when a value does not fit its field.
 */
export function writeIortRaw(raw: RawIort): Uint8Array {
  const sink = new ByteSink('le');
  spec.ACPI_IORT_FIELDS.write(sink, {
    nodeCount: raw.nodeCount ?? raw.nodes.length,
    nodeOffset: raw.nodeOffset ?? spec.IORT_NODE_OFFSET,
  });
  for (const node of raw.nodes) sink.raw(iortNodeBytes(node));
  const { ids = DEFAULT_IDS, header = {} } = raw;
  return writeTable(spec.IORT_SIGNATURE, spec.IORT_REVISION, sink.bytes(), ids, header);
}

/** One node, mappings included. */
export function iortNodeBytes(node: RawIortNode): Uint8Array {
  const fields = new ByteSink('le');
  const type = writeFields(fields, node);
  if (node.mappings.length > 0) fields.align(4);
  const mappingsAt = spec.ACPI_IORT_NODE.size + fields.length;
  const sink = new ByteSink('le');
  spec.ACPI_IORT_NODE.write(sink, {
    type,
    length: node.length ?? mappingsAt + node.mappings.length * spec.ACPI_IORT_ID_MAPPING.size,
    revision: node.revision,
    identifier: node.identifier,
    mappingCount: node.mappingCount ?? node.mappings.length,
    mappingOffset: node.mappingOffset ?? (node.mappings.length > 0 ? mappingsAt : 0),
  });
  sink.raw(fields.bytes());
  for (const mapping of node.mappings) spec.ACPI_IORT_ID_MAPPING.write(sink, mapping);
  return sink.bytes();
}

/** Appends what follows the node header; the node's type. */
function writeFields(sink: ByteSink, node: IortNodeContent): number {
  switch (node.kind) {
    case 'its-group':
      sink.u32(node.identifiers.length);
      for (const id of node.identifiers) sink.u32(id);
      return spec.ACPI_IORT_NODE_ITS_GROUP;
    case 'named-component':
      spec.ACPI_IORT_NAMED_COMPONENT.write(sink, node);
      // At least one byte of padding: iasl 20250404 stops disassembling at a node without.
      sink.latin1(node.path).zeros(2).align(4);
      return spec.ACPI_IORT_NODE_NAMED_COMPONENT;
    case 'root-complex':
      spec.ACPI_IORT_ROOT_COMPLEX.write(sink, node);
      return spec.ACPI_IORT_NODE_PCI_ROOT_COMPLEX;
    case 'smmu-v3':
      spec.ACPI_IORT_SMMU_V3.write(sink, node);
      return spec.ACPI_IORT_NODE_SMMU_V3;
    case 'rmr':
      spec.ACPI_IORT_RMR.write(sink, {
        flags: node.flags,
        rmrCount: node.ranges.length,
        rmrOffset: spec.ACPI_IORT_NODE.size + spec.ACPI_IORT_RMR.size,
      });
      for (const range of node.ranges) spec.ACPI_IORT_RMR_DESC.write(sink, range);
      return spec.ACPI_IORT_NODE_RMR;
    default:
      sink.raw(node.body);
      return node.type;
  }
}
