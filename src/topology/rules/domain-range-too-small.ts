import type { Facts, Finding, Rule } from '../facts.ts';
import { linux } from './support/text.ts';

export const domainRangeTooSmall: Rule = {
  id: 'domain-range-too-small',
  summary: 'A vIOMMU has at least as many domain IDs as endpoints with a device.',
  severity: 'warning',
  effect: 'Linux makes a domain for each group: the last ones get none.',
  cure: 'Widen domain-range.',
  *check(facts: Facts): Iterable<Finding> {
    const { model } = facts;
    const count = new Map<string, number>();
    for (const { device, viommu } of model?.endpoints ?? []) {
      if (device === undefined || viommu === undefined) continue;
      count.set(viommu, (count.get(viommu) ?? 0) + 1);
    }
    for (const { id, features, domainRange, places, place } of model?.viommus ?? []) {
      if (!features.includes('DOMAIN_RANGE')) continue;
      const ids = domainRange.end - domainRange.start + 1;
      const endpoints = count.get(id) ?? 0;
      if (endpoints <= ids) continue;
      yield {
        place: places['domain-range'] ?? place,
        message: `${id} has ${ids} domain IDs for ${endpoints} endpoints`,
        effect: `${linux(facts)} makes a domain for each group; unless endpoints share groups, the last ${endpoints - ids} get none and do not work.`,
      };
    }
  },
};
