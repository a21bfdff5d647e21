import type { Facts, Finding, Rule } from '../facts.ts';
import { viommuOfTree } from './support/match.ts';

export const iommuDisabled: Rule = {
  id: 'iommu-disabled',
  catalogue: [29],
  summary: 'The node of a virtio-iommu is not disabled.',
  severity: 'error',
  effect: 'Linux never binds the vIOMMU, and its endpoints work untranslated. Nothing is logged.',
  cure: 'Remove status, or set it to "okay".',
  *check(facts: Facts): Iterable<Finding> {
    for (const iommu of facts.tree?.iommus ?? []) {
      if (!iommu.virtio || iommu.enabled) continue;
      const device = viommuOfTree(facts, iommu.key);
      yield {
        place: iommu.place,
        message: `the node of ${iommu.key} has status = "disabled"`,
        ...(device && {
          related: [{ place: device.place, message: `the topology has ${device.id}` }],
        }),
      };
    }
  },
};
