import { showRange } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { linux } from './support/text.ts';

export const regionNotDescribable: Rule = {
  id: 'region-not-describable',
  summary: 'A guest with ACPI gets reserved regions by PROBE; direct ones need a device tree.',
  severity: 'error',
  effect: 'No ACPI table can say it for a virtio-iommu: the guest does not learn of the region.',
  cure: 'Use via: [probe] with type: reserved, or a board with a device tree.',
  *check(facts: Facts): Iterable<Finding> {
    const { model } = facts;
    if (model === undefined || model.firmware.deviceTree) return;
    for (const { id, range, via, place } of model.reserved) {
      if (via.includes('probe')) continue;
      yield {
        place,
        message: `${id} (${showRange(range)}) is to be said by the device tree, but this guest has ACPI only`,
        effect: `${linux(facts)} does not learn of it: IORT’s RMR nodes are for IOMMUs of IORT, and VIOT has no such node.`,
      };
    }
  },
};
