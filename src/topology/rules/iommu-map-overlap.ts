import { hex } from '../../bytes/index.ts';
import type { RidMapRow, TreeHost } from '../description.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { overlappingPairs } from './support/overlap.ts';
import { badLength, rowRids, showRef } from './support/rid-map.ts';
import { showRids } from './support/text.ts';

/** Whether both give the same endpoint ID, so that it does not matter which one counts. */
function agree(a: RidMapRow, b: RidMapRow): boolean {
  return (
    showRef(a.target) === showRef(b.target) && a.outputBase - a.ridBase === b.outputBase - b.ridBase
  );
}

function* checkHost(host: TreeHost): Generator<Finding> {
  const map = host.iommuMap;
  if (map === undefined || badLength(map)) return;
  const items = map.rows.flatMap((row, index) => {
    const range = rowRids(row);
    return range === undefined ? [] : [{ range, row, index }];
  });
  for (const [a, b] of overlappingPairs(items)) {
    const [first, second] = a.index < b.index ? [a, b] : [b, a];
    const start = Math.max(a.range.start, b.range.start);
    const shared = { start, end: Math.min(a.range.end, b.range.end) };
    const same = agree(first.row, second.row);
    const ids = [first, second].map(
      ({ row }) => `${showRef(row.target)} ID ${hex((row.outputBase + start - row.ridBase) >>> 0)}`,
    );
    yield {
      severity: same ? 'warning' : 'error',
      place: second.row.place,
      message: `rows ${first.index} and ${second.index} of the iommu-map of ${host.key} both match ${showRids(host.segment ?? 0, shared)}: ${
        same ? `both give ${ids[0]}` : `${ids[0]} and ${ids[1]}`
      }`,
      ...(same && { effect: 'Nothing: both rows give the same endpoint IDs.' }),
      related: [{ place: first.row.place, message: `row ${first.index}, which Linux uses` }],
    };
  }
}

export const iommuMapOverlap: Rule = {
  id: 'iommu-map-overlap',
  catalogue: [1, 28],
  summary: 'No two rows of an iommu-map match the same requester ID.',
  severity: 'error',
  effect:
    'Linux uses the first row that matches, and nothing is logged. Where that gives an endpoint ID that the device does not know, PROBE fails and the device works untranslated.',
  cure: 'Make each row end before the next one begins. VIOT resolves overlaps the other way round, so a tree and a table with the same overlap differ.',
  *check({ tree }: Facts) {
    for (const host of tree?.hosts ?? []) yield* checkHost(host);
  },
};
