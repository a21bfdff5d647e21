import { hex } from '../../bytes/index.ts';
import { atLeast } from '../diagnostic.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { linux } from './support/text.ts';

export const granuleTooLarge: Rule = {
  id: 'granule-too-large',
  catalogue: [17],
  summary: 'The granule of a vIOMMU is not larger than the guest’s page.',
  severity: 'error',
  effect: 'Linux refuses to attach: "granule … larger than system page size".',
  cure: 'Offer a granule of at most the guest’s page size, or state the guest’s: guest: { page-size: 64K }.',
  *check(facts: Facts): Iterable<Finding> {
    const { model, guestPage } = facts;
    for (const viommu of model?.viommus ?? []) {
      if (viommu.granule <= guestPage) continue;
      const place =
        viommu.places['granule'] ??
        viommu.places['page-sizes'] ??
        viommu.places['page-size-mask'] ??
        viommu.place;
      yield {
        place,
        message: `the granule of ${viommu.id} is ${hex(viommu.granule)}, the guest’s page ${hex(guestPage)}`,
        effect: `${linux(facts)} logs "granule ${hex(viommu.granule)} larger than system page size" for each endpoint of ${viommu.id}${
          atLeast(facts.kernel, 7, 0)
            ? ' and binds no driver to it: the disk never appears.'
            : ' (a WARN with a stack trace), and it works untranslated.'
        }`,
      };
    }
  },
};
