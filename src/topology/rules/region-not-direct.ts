import { showRange } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { isDirect } from './support/regions.ts';
import { linux } from './support/text.ts';

export const regionNotDirect: Rule = {
  id: 'region-not-direct',
  catalogue: [21],
  summary: 'The reg of a region with iommu-addresses is the same range, or absent.',
  severity: 'warning',
  effect: 'Linux cannot make a mapping that is not 1:1 and only reserves the addresses.',
  cure: 'Leave reg out to reserve IOVAs; write reg equal to the IOVA range for a direct mapping.',
  *check(facts: Facts): Iterable<Finding> {
    for (const region of facts.tree?.regions ?? []) {
      const { physical } = region;
      if (physical === undefined) continue;
      for (const { range, place } of region.addresses) {
        if (range === undefined || isDirect(range, physical)) continue;
        yield {
          place,
          message: `${region.key} maps the IOVAs ${showRange(range)} to ${showRange(physical)}, which is another range`,
          effect: `${linux(facts)} logs "treating non-direct mapping … as reservation": no mapping is made, and the device faults there.`,
          related: [{ place: region.place, message: `reg is ${showRange(physical)}` }],
        };
      }
    }
  },
};
