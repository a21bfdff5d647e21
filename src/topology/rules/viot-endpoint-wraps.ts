import { hex } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';

export const viotEndpointWraps: Rule = {
  id: 'viot-endpoint-wraps',
  catalogue: [11],
  summary: 'The endpoint IDs of a VIOT range fit in 32 bits.',
  severity: 'error',
  effect: 'The last IDs wrap to 0 and are those of other endpoints.',
  cure: 'Use a lower endpoint_start, or fewer segments in the range.',
  *check({ viot }: Facts): Iterable<Finding> {
    for (const node of viot?.nodes ?? []) {
      if (node.type !== 'pci-range') continue;
      const { segments, rids, endpointStart } = node;
      const span = (segments.end - segments.start) * 0x10000 + (rids.end - rids.start);
      const last = endpointStart + span;
      if (last <= 0xffff_ffff) continue;
      yield {
        place: node.place,
        message: `the VIOT range at ${hex(node.offset)} gives endpoint IDs from ${hex(endpointStart)} to ${hex(last)}, past 32 bits`,
      };
    }
  },
};
