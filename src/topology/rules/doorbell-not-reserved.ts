import { showRange } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { doorbellUses, isReserved, msiRegionsOf } from './support/doorbells.ts';
import { linux } from './support/text.ts';

export const doorbellNotReserved: Rule = {
  id: 'doorbell-not-reserved',
  catalogue: [13],
  summary: 'The MSI doorbell is a reserved MSI region, or the guest can map it (Arm, MMIO).',
  severity: 'error',
  effect: 'The vIOMMU translates writes to the doorbell as DMA and blocks them: I/O hangs.',
  cure: 'Let PROBE report the doorbell: delivery: reserved (and the feature PROBE).',
  *check(facts: Facts): Iterable<Finding> {
    const { model } = facts;
    if (model === undefined) return;
    for (const use of doorbellUses(model)) {
      if (isReserved(model, use)) continue;
      const { viommu, doorbell, hosts } = use;
      // A region that is there but in the wrong place is the business of another rule.
      if (msiRegionsOf(model, viommu).length > 0 && viommu.features.includes('PROBE')) continue;
      const what = `${doorbell.id} (${showRange(doorbell.window)}), where devices of ${hosts.join(', ')} write their MSIs`;
      const related = [{ place: viommu.place, message: `${viommu.id} translates them` }];
      if (doorbell.kind === 'x86') {
        yield {
          place: doorbell.place,
          message: `no reserved MSI region of ${viommu.id} holds ${what}`,
          effect: `${linux(facts)} on x86 never maps the window: MSI writes are translated as DMA, fault and are lost, I/O hangs.`,
          related,
        };
      } else if (!viommu.features.includes('MMIO')) {
        yield {
          place: viommu.places['features'] ?? viommu.place,
          message: `${what}, is to be mapped by the guest, but ${viommu.id} does not offer MMIO`,
          effect: `${linux(facts)} maps a doorbell with the MMIO flag; without the feature viommu_map_pages fails (EINVAL) and devices get no MSI.`,
          cure: 'Offer MMIO, or let PROBE report the doorbell: delivery: reserved.',
          related: [{ place: doorbell.place, message: `delivery: ${doorbell.delivery}` }],
        };
      }
    }
  },
};
