import { writeIortRaw, type RawIortNode } from '../../acpi/index.ts';
import {
  ACPI_IORT_MF_ATTRIBUTES,
  ACPI_IORT_MF_COHERENCY,
  ACPI_IORT_NODE,
  ACPI_IORT_NODE_COHERENT,
  IORT_NODE_OFFSET,
} from '../../spec/iort.ts';
import type { IortDescription, IortRootComplex, Model } from '../../topology/index.ts';

const COHERENT =
  BigInt(ACPI_IORT_NODE_COHERENT) |
  (BigInt(ACPI_IORT_MF_COHERENCY | ACPI_IORT_MF_ATTRIBUTES) << 56n);
const ADDRESS_BITS = 64;
/** An ITS group of one ITS: node header, count, one identifier. */
const ITS_GROUP_SIZE = ACPI_IORT_NODE.size + 4 + 4;

/**
 * An IORT (DEN 0049E.f) that gives requester IDs their ITS: a group for each ITS, then a root
 * complex for each segment. It never names a vIOMMU: that is VIOT's business.
 *
 * Written as described, even where mappings overlap, since that is a well-known firmware bug.
 * @throws RangeError when a number does not fit its field.
 */
export function buildIort(model: Model, iort: IortDescription): Uint8Array {
  const its = model.doorbells.filter(({ kind }) => kind === 'its');
  const groups = its.map((_, index): RawIortNode => ({
    kind: 'its-group',
    identifiers: [index],
    revision: 1,
    identifier: index,
    mappings: [],
  }));
  const rootComplexes = iort.rootComplexes.map((complex, index): RawIortNode => ({
    kind: 'root-complex',
    memoryProperties: COHERENT,
    atsAttribute: 0,
    segment: complex.segment,
    addressLimit: ADDRESS_BITS,
    pasidCapabilities: 0,
    revision: 3,
    identifier: groups.length + index,
    mappings: mappingsOf(
      model,
      complex,
      its.map(({ id }) => id),
    ),
  }));
  return writeIortRaw({ nodes: [...groups, ...rootComplexes] });
}

function mappingsOf(
  model: Model,
  complex: IortRootComplex,
  its: readonly string[],
): RawIortNode['mappings'] {
  return complex.mappings.map((mapping) => {
    const host = model.hosts.find(({ segment, buses }) => {
      const bus = mapping.input.start >> 8;
      return segment === complex.segment && buses.start <= bus && bus <= buses.end;
    });
    const group = Math.max(0, its.indexOf(host?.doorbell ?? ''));
    return {
      inputBase: mapping.input.start,
      idCount: mapping.input.end - mapping.input.start,
      outputBase: mapping.outputBase,
      outputReference: IORT_NODE_OFFSET + group * ITS_GROUP_SIZE,
      flags: 0,
    };
  });
}
