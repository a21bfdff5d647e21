import type { Facts, Finding, Rule } from '../facts.ts';
import { deviceOf } from './support/regions.ts';

export const regionWithoutBackLink: Rule = {
  id: 'region-without-back-link',
  catalogue: [21],
  summary: 'A device that iommu-addresses names points back with memory-region.',
  severity: 'error',
  effect: 'Linux finds regions through the device’s memory-region only: the region is ignored.',
  cure: 'Give the device’s node memory-region = <&region>.',
  *check({ tree }: Facts): Iterable<Finding> {
    for (const region of tree?.regions ?? []) {
      for (const address of region.addresses) {
        const device = tree && deviceOf(tree, address);
        if (device === undefined || device.memoryRegions.includes(region.key)) continue;
        yield {
          place: region.place,
          message: `${region.key} has iommu-addresses for ${device.key}, which does not point back with memory-region`,
          related: [{ place: device.place, message: `${device.key} is here` }],
        };
      }
    }
  },
};
