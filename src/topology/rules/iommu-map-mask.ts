import { hex } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { badLength } from './support/rid-map.ts';
import { linux, showFunction } from './support/text.ts';

export const iommuMapMask: Rule = {
  id: 'iommu-map-mask',
  catalogue: [9],
  summary: 'iommu-map-mask keeps every bit of every row’s requester-ID base.',
  severity: 'error',
  effect: 'Linux logs "Invalid iommu-map translation" and the devices work untranslated.',
  cure: 'Clear the masked bits in the rows, or set them in the mask.',
  *check(facts: Facts): Iterable<Finding> {
    for (const host of facts.tree?.hosts ?? []) {
      const { iommuMap: map, iommuMapMask: mask } = host;
      if (map === undefined || mask === undefined || badLength(map)) continue;
      const index = map.rows.findIndex((row) => (row.ridBase & ~mask.value) !== 0);
      const row = map.rows[index];
      if (row !== undefined) {
        const scope = index === 0 ? 'all devices' : 'all devices that no earlier row matches';
        yield {
          place: row.place,
          message: `row ${index} of the iommu-map of ${host.key} begins at ${hex(row.ridBase)} (${showFunction(host.segment ?? 0, row.ridBase)}), but iommu-map-mask ${hex(mask.value)} drops the bits ${hex((row.ridBase & ~mask.value) >>> 0)}`,
          effect: `${linux(facts)} logs "Invalid iommu-map translation - iommu-map-mask (${hex(mask.value)}) ignores id-base (${hex(row.ridBase)})": ${scope} of ${host.key} work untranslated.`,
          related: [{ place: mask.place, message: 'the mask' }],
        };
      } else if (mask.value > 0xffff) {
        yield {
          severity: 'warning',
          place: mask.place,
          message: `iommu-map-mask ${hex(mask.value)} of ${host.key} has bits above those of a requester ID`,
          effect: 'Nothing in Linux; dt-validate refuses it.',
          cure: 'Use at most 0xffff.',
        };
      }
    }
  },
};
