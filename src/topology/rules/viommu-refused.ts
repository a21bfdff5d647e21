import { atLeast } from '../diagnostic.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { linux } from './support/text.ts';

export const viommuRefused: Rule = {
  id: 'viommu-refused',
  summary: 'Linux’s driver accepts the vIOMMU: MAP_UNMAP, a page size, domains to make.',
  severity: 'error',
  effect: 'Linux binds no driver to the vIOMMU; its endpoints are deferred for 10 s and bypass.',
  cure: 'Offer MAP_UNMAP, at least one page size and at least two domain IDs.',
  *check(facts: Facts): Iterable<Finding> {
    for (const viommu of facts.model?.viommus ?? []) {
      const { id, features, places, place, pageSizeMask, domainRange } = viommu;
      if (!features.includes('MAP_UNMAP')) {
        yield {
          place: places['features'] ?? place,
          message: `${id} does not offer MAP_UNMAP`,
          effect: `viommu_probe of ${linux(facts)} returns -ENODEV without a message; the endpoints of ${id} are deferred for 10 s, then work untranslated.`,
          cure: 'Offer MAP_UNMAP.',
        };
      }
      if (pageSizeMask === 0n) {
        yield {
          place: places['page-size-mask'] ?? place,
          message: `the page-size mask of ${id} is 0`,
          effect: `viommu_probe of ${linux(facts)} returns -EINVAL.`,
          cure: 'Offer at least one page size.',
        };
      }
      // From 6.16 the first ID of the range is kept for the identity domain.
      const kept = features.includes('BYPASS_CONFIG') && atLeast(facts.kernel, 6, 16) ? 1 : 0;
      const left = domainRange.end - domainRange.start + 1 - kept;
      if (features.includes('DOMAIN_RANGE') && left < 1) {
        yield {
          place: places['domain-range'] ?? place,
          message: `the domain range of ${id} has one ID, and Linux keeps that for the identity domain`,
          effect: `${linux(facts)} can make no DMA domain: no endpoint of ${id} is attached.`,
          cure: 'Offer at least two domain IDs.',
        };
      }
    }
  },
};
