import type { Facts, Finding, Rule } from '../facts.ts';
import { linux } from './support/text.ts';

export const legacyMmio: Rule = {
  id: 'legacy-mmio',
  catalogue: [35],
  summary: 'A vIOMMU over virtio-mmio is a modern device (version 2, VERSION_1).',
  severity: 'error',
  effect:
    'Linux binds no driver to it; its endpoints are deferred for 10 s and then work untranslated.',
  cure: 'Leave legacy out. QEMU: -global virtio-mmio.force-legacy=false.',
  *check(facts: Facts): Iterable<Finding> {
    for (const { id, transport, place, places } of facts.model?.viommus ?? []) {
      if (transport.kind !== 'mmio' || !transport.legacy) continue;
      yield {
        place: places['legacy'] ?? place,
        message: `${id} is a legacy virtio-mmio device, without VERSION_1`,
        effect: `viommu_probe of ${linux(facts)} returns -ENODEV without a message; the endpoints of ${id} are deferred for 10 s, then work untranslated.`,
      };
    }
  },
};
