import { covers, showRange } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { doorbellUses } from './support/doorbells.ts';
import { linux } from './support/text.ts';

export const inputRangeTooSmall: Rule = {
  id: 'input-range-too-small',
  catalogue: [19],
  summary: 'The input range holds a granule; without BYPASS_CONFIG all RAM, and the doorbell page.',
  severity: 'warning',
  effect: 'Identity domains (iommu=pt) cannot be made.',
  cure: 'Widen input-range, or offer BYPASS_CONFIG.',
  *check(facts: Facts): Iterable<Finding> {
    const { model } = facts;
    if (model === undefined) return;
    const uses = doorbellUses(model);
    for (const viommu of model.viommus) {
      const { inputRange, granule, features } = viommu;
      // Without INPUT_RANGE all 64 bits can be mapped, whatever the config field holds.
      if (!features.includes('INPUT_RANGE')) continue;
      const place = viommu.places['input-range'] ?? viommu.place;
      const first = ((inputRange.start + granule - 1n) / granule) * granule;
      if (first + granule - 1n > inputRange.end) {
        yield {
          severity: 'error',
          place,
          message: `the input range of ${viommu.id} (${showRange(inputRange)}) holds no whole granule`,
          effect: `${linux(facts)} can map nothing: every DMA mapping of its endpoints fails.`,
          cure: 'Widen input-range.',
        };
        continue;
      }
      const outside = model.memory.find((ram) => !covers(inputRange, ram));
      if (outside !== undefined && !features.includes('BYPASS_CONFIG')) {
        yield {
          place,
          message: `the input range of ${viommu.id} (${showRange(inputRange)}) does not hold the RAM ${showRange(outside)}, and ${viommu.id} does not offer BYPASS_CONFIG`,
          effect: `${linux(facts)} with iommu=pt makes an identity domain by mapping all of the input range 1:1: RAM outside it cannot be reached. DMA domains work.`,
        };
      }
      for (const { doorbell, viommu: user } of uses) {
        if (user !== viommu || doorbell.kind === 'x86') continue;
        if (covers(inputRange, doorbell.window) || doorbell.delivery !== 'reserved') continue;
        yield {
          place,
          message: `the reserved MSI region ${showRange(doorbell.window)} (${doorbell.id}) is outside the input range of ${viommu.id} (${showRange(inputRange)})`,
          effect: `${linux(facts)} cannot map the doorbell at its own address, as a reserved MSI region asks for: identity domains and VFIO have no MSI.`,
          cure: 'Widen input-range, or let the guest map the doorbell: delivery: mapped.',
          related: [{ place: doorbell.place, message: `${doorbell.id} is here` }],
        };
      }
    }
  },
};
