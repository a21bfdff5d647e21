import { hex } from '../../bytes/index.ts';
import type { RidMap, TreeHost } from '../description.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { badLength } from './support/rid-map.ts';

function* checkMap(
  host: TreeHost,
  map: RidMap | undefined,
  property: 'iommu-map' | 'msi-map',
): Generator<Finding> {
  if (map === undefined || badLength(map)) return;
  for (const [index, row] of map.rows.entries()) {
    const where = `row ${index} of the ${property} of ${host.key}`;
    if (row.length === 0) {
      yield { place: row.place, message: `${where} (${hex(row.ridBase)}) has length 0` };
    } else if (row.ridBase + row.length > 0xffff_ffff) {
      yield {
        severity: 'error',
        place: row.place,
        message: `${where}: ${hex(row.ridBase)} + ${hex(row.length)} does not fit in 32 bits`,
        effect:
          'Linux adds in 32 bits: the row matches nothing, and its devices work untranslated.',
        cure: 'Write the number of requester IDs, at most 0x10000, as the length.',
      };
    } else if (row.outputBase + row.length - 1 > 0xffff_ffff) {
      yield {
        severity: 'error',
        place: row.place,
        message: `${where}: the output IDs ${hex(row.outputBase)} + ${hex(row.length)} do not fit in 32 bits`,
        effect: 'The last IDs wrap to 0 and are those of other endpoints.',
        cure: 'Use a lower output base.',
      };
    }
  }
}

export const mapRowEmpty: Rule = {
  id: 'map-row-empty',
  summary: 'Rows of iommu-map and msi-map match something, in 32 bits.',
  severity: 'warning',
  effect: 'None: the row matches nothing. QEMU writes one when its vIOMMU is at ff:1f.7.',
  cure: 'Leave the row out.',
  *check({ tree }: Facts): Iterable<Finding> {
    for (const host of tree?.hosts ?? []) {
      yield* checkMap(host, host.iommuMap, 'iommu-map');
      yield* checkMap(host, host.msiMap, 'msi-map');
    }
  },
};
