import { atLeast } from '../diagnostic.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { keyOf } from './support/rid-map.ts';
import { linux } from './support/text.ts';

export const iommuCells: Rule = {
  id: 'iommu-cells',
  catalogue: [8],
  summary: 'The node of a virtio-iommu has #iommu-cells = <1>.',
  severity: 'error',
  effect: 'Linux cannot read the references to it; the devices work untranslated.',
  cure: 'Write #iommu-cells = <1>: Linux 6.12 and 7.3 then read the same rows of 4 cells.',
  *check(facts: Facts): Iterable<Finding> {
    const { tree } = facts;
    if (tree === undefined) return;
    const named = new Map<string, string>();
    for (const device of tree.devices) {
      for (const entry of device.iommus) {
        const key = keyOf(entry.target);
        if (key !== undefined && !named.has(key)) named.set(key, device.key);
      }
    }
    const multi = atLeast(facts.kernel, 7, 0);
    for (const iommu of tree.iommus) {
      if (!iommu.virtio || iommu.iommuCells === 1) continue;
      const user = named.get(iommu.key);
      if (iommu.iommuCells === undefined) {
        yield {
          severity: user === undefined ? 'warning' : 'error',
          place: iommu.place,
          message: `the node of ${iommu.key} has no #iommu-cells`,
          effect:
            user === undefined
              ? `${linux(facts)} reads iommu-map as if it were 1, and works; dt-validate refuses the node.`
              : `${linux(facts)} logs "could not get #iommu-cells" and ignores the iommus of ${user}, which works untranslated.`,
        };
        continue;
      }
      yield {
        severity: multi || user !== undefined ? 'error' : 'warning',
        place: iommu.place,
        message: `#iommu-cells of ${iommu.key} is ${iommu.iommuCells}; a virtio-iommu has endpoint IDs of 1 cell`,
        effect: multi
          ? `${linux(facts)} reads rows of ${3 + iommu.iommuCells} cells and refuses those with a length above 1: the devices work untranslated.`
          : `${linux(facts)} reads rows of 4 cells all the same, but takes ${iommu.iommuCells} cells from each iommus; Linux 7.3 reads iommu-map otherwise as well.`,
      };
    }
  },
};
