import { hex } from '../bytes/index.ts';
import * as spec from '../spec/iort.ts';
import type { IortIdMapping } from './iort-raw.ts';
import type { IortNode } from './iort-reader.ts';
import type { Problems } from './problem.ts';

/** Looks at what one node says, and at the nodes that its mappings name. */
export function checkIortNode(
  node: IortNode,
  byOffset: ReadonlyMap<number, IortNode>,
  problems: Problems,
): void {
  if (node.kind === 'root-complex' || node.kind === 'named-component') {
    if (node.addressLimit === 0) {
      const effect = 'Linux: [Firmware Bug]: missing memory address limit';
      problems.error('address-limit', node.offset, `the address limit is 0 bits; ${effect}`);
    }
  }
  if (node.kind === 'its-group' && node.mappings.length > 0) {
    problems.error('its-group-mappings', node.offset, 'an ITS group maps no IDs');
  }
  for (const [index, mapping] of node.mappings.entries()) {
    const at = node.offset + node.mappingOffset + index * spec.ACPI_IORT_ID_MAPPING.size;
    checkMapping(mapping, at, byOffset, problems);
  }
  checkOverlap(node, problems);
}

function checkMapping(
  mapping: IortIdMapping,
  at: number,
  byOffset: ReadonlyMap<number, IortNode>,
  problems: Problems,
): void {
  const { inputBase, outputBase, idCount, outputReference, flags } = mapping;
  const referenceAt = at + spec.ACPI_IORT_ID_MAPPING.offsets.outputReference;
  const target = byOffset.get(outputReference);
  const to = `output_reference ${hex(outputReference)}`;
  if (target === undefined) {
    problems.error('mapping-target', referenceAt, `${to} is not the start of a node`);
  } else if (target.kind !== 'unknown' && !isTarget(target)) {
    problems.error('mapping-target-kind', referenceAt, `${to} is a ${target.kind} node`);
  }
  if ((flags & spec.ACPI_IORT_ID_SINGLE_MAPPING) === 0) {
    if (Math.max(inputBase, outputBase) + idCount > 0xffffffff) {
      problems.error('mapping-wraps', at, 'the IDs run past 32 bits');
    }
  }
}

function isTarget(node: IortNode): boolean {
  return node.kind === 'its-group' || node.kind === 'smmu-v3';
}

/** An ID that two mappings have; by one ID only, when `idCount` was taken for the number of IDs. */
function checkOverlap(node: IortNode, problems: Problems): void {
  const ranges = node.mappings
    .filter((it) => (it.flags & spec.ACPI_IORT_ID_SINGLE_MAPPING) === 0)
    .toSorted((a, b) => a.inputBase - b.inputBase);
  let end = -1;
  for (const { inputBase, idCount } of ranges) {
    if (inputBase === end) {
      const why = 'id_count is the number of IDs minus one; Linux applies a workaround';
      problems.error('id-count', node.offset, `two mappings share input ID ${hex(end)}: ${why}`);
    } else if (inputBase < end) {
      const from = `two mappings share input IDs from ${hex(inputBase)} on`;
      problems.error('mapping-overlap', node.offset, from);
    }
    end = Math.max(end, inputBase + idCount);
  }
}
