import { hex } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { linux, showRid } from './support/text.ts';

export const rangeReversed: Rule = {
  id: 'range-reversed',
  catalogue: [25],
  summary: 'Ranges end where they begin or later.',
  severity: 'error',
  effect: 'A range that ends before it begins holds nothing, or is refused.',
  cure: 'Swap start and end.',
  *check(facts: Facts): Iterable<Finding> {
    for (const { id, range, place } of facts.model?.reserved ?? []) {
      if (range.start <= range.end) continue;
      yield {
        place,
        message: `${id} ends at ${hex(range.end)}, before it begins (${hex(range.start)})`,
        effect: `${linux(facts)}: with end = start − 1 "failed to parse viommu prop 0x1", and the endpoint loses its vIOMMU; otherwise the region is shown in sysfs and reserves nothing.`,
      };
    }
    for (const node of facts.viot?.nodes ?? []) {
      if (node.type !== 'pci-range') continue;
      const { segments, rids, place, offset } = node;
      if (segments.start > segments.end) {
        const message = `the VIOT range at ${hex(offset)} ends in segment ${segments.end}, before it begins (${segments.start})`;
        yield {
          place,
          message,
          effect: `No function is in it for ${linux(facts)}: silent bypass.`,
        };
      } else if (rids.start > rids.end) {
        const message = `the VIOT range at ${hex(offset)} ends at ${showRid(rids.end)}, before it begins (${showRid(rids.start)})`;
        yield {
          place,
          message,
          effect: `No function is in it for ${linux(facts)}: silent bypass.`,
        };
      }
    }
  },
};
