import { intersection, showRange } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { linux } from './support/text.ts';

export const regionOverRam: Rule = {
  id: 'region-over-ram',
  catalogue: [23],
  summary: 'Reserved and MSI regions of PROBE keep clear of RAM addresses.',
  severity: 'warning',
  effect: 'Harmless for the DMA API; VFIO and identity domains cannot map that RAM.',
  cure: 'Move the region to addresses without RAM.',
  *check(facts: Facts): Iterable<Finding> {
    const { model } = facts;
    for (const region of model?.reserved ?? []) {
      if (region.type === 'direct' || !region.via.includes('probe')) continue;
      for (const ram of model?.memory ?? []) {
        const shared = intersection(region.range, ram);
        if (shared === undefined || shared.start > shared.end) continue;
        yield {
          place: region.place,
          message: `${region.id} (${showRange(region.range)}) lies over RAM: ${showRange(shared)}`,
          effect: `${linux(facts)} takes IOVAs elsewhere and works; a guest that maps RAM 1:1 (VFIO, iommu=pt) cannot map ${showRange(shared)}. Nothing is logged.`,
        };
        break;
      }
    }
  },
};
