import { hex } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { overlappingPairs } from './support/overlap.ts';
import { viotOutput, viotSegments, type ViotRange } from './support/viot-runs.ts';
import { showRids } from './support/text.ts';
import type { ViotDescription } from '../description.ts';

function agree(a: ViotRange, b: ViotRange): boolean {
  return (
    a.output === b.output &&
    a.endpointStart - a.rids.start - a.segments.start * 0x10000 ===
      b.endpointStart - b.rids.start - b.segments.start * 0x10000
  );
}

function* checkSegment(viot: ViotDescription, segment: number): Generator<Finding> {
  const items = viot.nodes.flatMap((node, index) =>
    node.type === 'pci-range' &&
    node.segments.start <= segment &&
    segment <= node.segments.end &&
    viotOutput(viot, node.output) !== undefined
      ? [{ range: node.rids, node, index }]
      : [],
  );
  for (const [a, b] of overlappingPairs(items)) {
    // Two ranges of several segments meet first where the later one begins: said once, there.
    if (segment !== Math.max(a.node.segments.start, b.node.segments.start)) continue;
    const [early, late] = a.index < b.index ? [a.node, b.node] : [b.node, a.node];
    const shared = {
      start: Math.max(a.range.start, b.range.start),
      end: Math.min(a.range.end, b.range.end),
    };
    const same = agree(early, late);
    yield {
      severity: same ? 'warning' : 'error',
      place: late.place,
      message: `the VIOT ranges at ${hex(early.offset)} and ${hex(late.offset)} both hold ${showRids(segment, shared)}${same ? ', with the same endpoint IDs' : ''}`,
      ...(same && { effect: 'Nothing: both ranges give the same endpoint IDs.' }),
      related: [{ place: early.place, message: 'the range that Linux does not use for them' }],
    };
  }
}

export const viotRangeOverlap: Rule = {
  id: 'viot-range-overlap',
  catalogue: [2, 28],
  summary: 'No two PCI ranges of a VIOT hold the same function.',
  severity: 'error',
  effect:
    'Linux uses the last matching range of the table (the opposite of iommu-map), and nothing is logged. Where that gives an endpoint ID that the device does not know, PROBE fails and the device works untranslated.',
  cure: 'Make each range end before the next one begins.',
  *check({ viot }: Facts) {
    if (viot === undefined) return;
    for (const segment of viotSegments(viot)) yield* checkSegment(viot, segment);
  },
};
