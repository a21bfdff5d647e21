import { covers, showRange } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { doorbellUses, isReserved, msiRegionsOf } from './support/doorbells.ts';
import { linux } from './support/text.ts';

export const msiRegionMissesDoorbell: Rule = {
  id: 'msi-region-misses-doorbell',
  catalogue: [14],
  summary: 'A reserved MSI region holds the page that devices write their MSIs to.',
  severity: 'error',
  effect: 'Writes to the real doorbell are translated as DMA.',
  cure: 'Let the region hold the doorbell: base + 0x10000 (64 KiB) for an ITS, the frame for GICv2m, 0xfee00000-0xfeefffff on x86.',
  *check(facts: Facts): Iterable<Finding> {
    const { model } = facts;
    if (model === undefined) return;
    for (const use of doorbellUses(model)) {
      const { viommu, doorbell } = use;
      if (doorbell.delivery === 'reserved' || isReserved(model, use)) continue;
      for (const region of msiRegionsOf(model, viommu)) {
        if (covers(region.range, doorbell.window)) continue;
        yield {
          severity: doorbell.kind === 'x86' ? 'error' : 'warning',
          place: region.place,
          message: `the MSI region ${region.id} (${showRange(region.range)}) of ${viommu.id} does not hold the doorbell ${doorbell.id} (${showRange(doorbell.window)})`,
          effect:
            doorbell.kind === 'x86'
              ? `${linux(facts)} on x86 never maps the window: MSI writes are translated as DMA, fault and are lost, I/O hangs.`
              : `${linux(facts)} maps the doorbell by itself and works; a guest that passes the device on (VFIO) has no MSI.`,
          related: [{ place: doorbell.place, message: `${doorbell.id} is here` }],
        };
      }
    }
  },
};
