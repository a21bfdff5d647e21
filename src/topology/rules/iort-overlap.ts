import type { Facts, Finding, Rule } from '../facts.ts';
import { overlappingPairs } from './support/overlap.ts';
import { linux, showRids } from './support/text.ts';

export const iortOverlap: Rule = {
  id: 'iort-overlap',
  catalogue: [34],
  summary: 'The ID mappings of an IORT root complex do not overlap.',
  severity: 'error',
  effect: 'Linux uses the first mapping that holds the ID.',
  cure: 'id_count is the number of IDs minus one.',
  *check(facts: Facts): Iterable<Finding> {
    for (const complex of facts.iort?.rootComplexes ?? []) {
      const items = complex.mappings.map((mapping) => ({ range: mapping.input, mapping }));
      for (const [a, b] of overlappingPairs(items)) {
        const shared = {
          start: Math.max(a.range.start, b.range.start),
          end: Math.min(a.range.end, b.range.end),
        };
        const byOne = shared.start === shared.end && a.range.end === shared.start;
        yield {
          severity: byOne ? 'warning' : 'error',
          place: b.mapping.place,
          message: `two IORT mappings both hold ${showRids(complex.segment, shared)}${byOne ? ': id_count looks one too large' : ''}`,
          ...(byOne && {
            effect: `${linux(facts)} knows this mistake (QEMU 7.2 makes it), logs "applying workaround" and uses the mapping that begins there.`,
          }),
          related: [{ place: a.mapping.place, message: 'the other mapping' }],
        };
      }
      for (const { input, place } of complex.mappings) {
        if (input.end <= 0xffff) continue;
        yield {
          severity: 'warning',
          place,
          message: `an IORT mapping reaches to ID 0x${input.end.toString(16)}, past the last requester ID 0xffff: id_count looks one too large`,
          effect: `Nothing in ${linux(facts)}: there is no such requester ID.`,
        };
      }
    }
  },
};
