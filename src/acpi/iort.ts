import { ACPI_TABLE_HEADER } from '../spec/acpi.ts';
import * as spec from '../spec/iort.ts';
import type { TableIds } from './header.ts';
import {
  iortNodeBytes,
  writeIortRaw,
  type IortIdMapping,
  type IortMemoryRange,
  type IortNodeContent,
  type RawIortNode,
} from './iort-raw.ts';

/** A node of one particular table that IDs can be mapped to; only {@link IortBuilder} makes them. */
export class IortTarget {
  /** Bytes from the start of the finished table. */
  readonly nodeOffset: number;
  readonly kind: 'its-group' | 'smmu-v3';
  readonly #table: IortBuilder;

  constructor(table: IortBuilder, kind: 'its-group' | 'smmu-v3', nodeOffset: number) {
    this.#table = table;
    this.kind = kind;
    this.nodeOffset = nodeOffset;
  }

  isOf(table: IortBuilder): boolean {
    return this.#table === table;
  }
}

/** `count` IDs from `inputBase` on become IDs from `outputBase` on, at `output`. */
export interface IortMapping {
  readonly inputBase: number;
  /** The number of IDs, 1 or more; the table stores one less. */
  readonly count: number;
  readonly outputBase: number;
  readonly output: IortTarget;
}

/** A device with one ID and no input: named components, and an SMMU's own MSIs. */
export interface IortSingleMapping {
  readonly single: true;
  readonly outputBase: number;
  readonly output: IortTarget;
}

type Mappings = { readonly mappings: readonly (IortMapping | IortSingleMapping)[] };

/** Everything of a coherent root complex that Linux looks at has a default. */
export type IortRootComplexInput = Mappings & {
  readonly segment: number;
  /** Bits, 1..64; 64 by default. */
  readonly addressLimit?: number;
  readonly ats?: boolean;
  readonly coherent?: boolean;
};

const COHERENT =
  BigInt(spec.ACPI_IORT_NODE_COHERENT) |
  (BigInt(spec.ACPI_IORT_MF_COHERENCY | spec.ACPI_IORT_MF_ATTRIBUTES) << 56n);

/**
 * Writes an IORT (DEN 0049E.f) whose references and counts cannot be wrong: nodes that are
 * mapped to are added first and named by the handle that came back.
 *
 * `RangeError` for values that do not fit, mappings of one node that overlap or run past 32
 * bits, and targets of another table.
 */
export class IortBuilder {
  readonly #nodes: RawIortNode[] = [];
  #length: number = spec.IORT_NODE_OFFSET;

  /** The ITSs of a group, by the translation IDs that the MADT gives them. */
  addItsGroup(identifiers: readonly number[]): IortTarget {
    if (identifiers.length === 0) throw new RangeError('an ITS group needs an ITS');
    const at = this.#add({ kind: 'its-group', identifiers }, 1, []);
    return new IortTarget(this, 'its-group', at);
  }

  /** PCI requester IDs of a segment. */
  addRootComplex(input: IortRootComplexInput): void {
    const { segment, addressLimit = 64, ats = false, coherent = true } = input;
    if (addressLimit < 1 || addressLimit > 64) {
      throw new RangeError(`address limit of ${addressLimit} bits`);
    }
    const content: IortNodeContent = {
      kind: 'root-complex',
      memoryProperties: coherent ? COHERENT : 0n,
      atsAttribute: ats ? 1 : 0,
      segment,
      addressLimit,
      pasidCapabilities: 0,
    };
    this.#add(content, 3, this.#mappings(input, true));
  }

  /** A platform device, by its full path in the namespace. */
  addNamedComponent(
    input: Mappings & {
      readonly path: string;
      readonly addressLimit?: number;
      readonly coherent?: boolean;
    },
  ): void {
    const { path, addressLimit = 64, coherent = true } = input;
    if (!/^\\[A-Z_][A-Z0-9_]{3}(\.[A-Z_][A-Z0-9_]{3})*$/.test(path)) {
      throw new RangeError(`${path} is no full path of the namespace, like \\_SB_.DEV0`);
    }
    const content: IortNodeContent = {
      kind: 'named-component',
      nodeFlags: 0,
      memoryProperties: coherent ? COHERENT : 0n,
      addressLimit,
      path,
    };
    this.#add(content, 4, this.#mappings(input, true));
  }

  /** An SMMUv3, base address and wired interrupts (GSIVs, 0 for none). */
  addSmmuV3(
    input: Mappings & {
      readonly base: bigint;
      readonly coherent?: boolean;
      readonly eventGsiv?: number;
      readonly priGsiv?: number;
      readonly gerrGsiv?: number;
      readonly syncGsiv?: number;
      /** Index of the mapping for the SMMU's own MSIs. */
      readonly deviceIdMapping?: number;
    },
  ): IortTarget {
    const content: IortNodeContent = {
      kind: 'smmu-v3',
      base: input.base,
      flags: (input.coherent ?? true) ? 1 : 0,
      vatos: 0n,
      model: 0,
      eventGsiv: input.eventGsiv ?? 0,
      priGsiv: input.priGsiv ?? 0,
      gerrGsiv: input.gerrGsiv ?? 0,
      syncGsiv: input.syncGsiv ?? 0,
      proximityDomain: 0,
      deviceIdMapping: input.deviceIdMapping ?? 0,
    };
    const at = this.#add(content, 4, this.#mappings(input, false));
    return new IortTarget(this, 'smmu-v3', at);
  }

  /** Memory that the mapped devices go on using; Linux honours it for SMMUs only. */
  addReservedMemory(
    input: Mappings & { readonly ranges: readonly IortMemoryRange[]; readonly flags?: number },
  ): void {
    for (const { base, length } of input.ranges) {
      if (base % 0x10000n !== 0n || length === 0n || length % 0x10000n !== 0n) {
        throw new RangeError('reserved memory must be in units of 64 KiB');
      }
    }
    const content: IortNodeContent = {
      kind: 'rmr',
      flags: input.flags ?? 0,
      ranges: input.ranges,
    };
    this.#add(content, 3, this.#mappings(input, true));
  }

  build(ids?: TableIds): Uint8Array {
    const nodes = this.#nodes;
    return writeIortRaw(ids === undefined ? { nodes } : { nodes, ids });
  }

  #add(content: IortNodeContent, revision: number, mappings: readonly IortIdMapping[]): number {
    const node = { ...content, revision, identifier: this.#nodes.length, mappings };
    const at = this.#length;
    this.#length += iortNodeBytes(node).length;
    this.#nodes.push(node);
    return at;
  }

  #mappings(input: Mappings, toSmmu: boolean): IortIdMapping[] {
    const stored = input.mappings.map((mapping) => {
      if (!mapping.output.isOf(this)) throw new RangeError('output is a node of another table');
      if (!toSmmu && mapping.output.kind !== 'its-group') {
        throw new RangeError('an SMMU maps IDs to an ITS group only');
      }
      return storedMapping(mapping);
    });
    const sorted = stored
      .filter((it) => it.flags === 0)
      .toSorted((a, b) => a.inputBase - b.inputBase);
    for (const [index, { inputBase }] of sorted.entries()) {
      const before = sorted[index - 1];
      if (before !== undefined && before.inputBase + before.idCount >= inputBase) {
        throw new RangeError(`two mappings of one node have input ID ${inputBase}`);
      }
    }
    return stored;
  }
}

function storedMapping(mapping: IortMapping | IortSingleMapping): IortIdMapping {
  const common = { outputBase: mapping.outputBase, outputReference: mapping.output.nodeOffset };
  if ('single' in mapping) {
    return { inputBase: 0, idCount: 0, ...common, flags: spec.ACPI_IORT_ID_SINGLE_MAPPING };
  }
  const { inputBase, count, outputBase } = mapping;
  if (count < 1 || Math.max(inputBase, outputBase) + count > 2 ** 32) {
    throw new RangeError(`${count} IDs from ${inputBase} to ${outputBase} do not fit 32 bits`);
  }
  return { inputBase, idCount: count - 1, ...common, flags: 0 };
}

/** Bytes of the fixed part: header, node count and offset, 4 reserved bytes. */
export const IORT_FIXED_SIZE: number = ACPI_TABLE_HEADER.size + spec.ACPI_IORT_FIELDS.size;
