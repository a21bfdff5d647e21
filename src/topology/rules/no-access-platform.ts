import type { Facts, Finding, Rule } from '../facts.ts';
import { onQemu } from './support/match.ts';
import { linux } from './support/text.ts';

export const noAccessPlatform: Rule = {
  id: 'no-access-platform',
  catalogue: [36],
  summary: 'A virtio device behind a vIOMMU offers VIRTIO_F_ACCESS_PLATFORM.',
  severity: 'warning',
  effect: 'The guest gives the device guest-physical addresses: it is not translated.',
  cure: 'Leave access-platform out (it is on behind a vIOMMU), or let the endpoint bypass.',
  *check(facts: Facts): Iterable<Finding> {
    const { model } = facts;
    for (const { id, device, viommu, place, places } of model?.endpoints ?? []) {
      if (device === undefined || viommu === undefined || device.accessPlatform) continue;
      if (!device.kind.startsWith('virtio')) continue;
      yield {
        place: places['access-platform'] ?? place,
        message: `${id} is behind ${viommu}, but does not offer ACCESS_PLATFORM`,
        effect:
          model !== undefined && onQemu(model)
            ? `${linux(facts)} puts ${id} in an IOMMU group, but its DMA is physical and QEMU lets it past ${viommu}: it works and is not protected.`
            : `${linux(facts)} puts ${id} in an IOMMU group, but gives it physical addresses: ${viommu} must let them through untranslated.`,
      };
    }
  },
};
