import { overlaps } from '../../bytes/index.ts';
import type { RidMap, TreeHost } from '../description.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { badLength, ridsOf, rowRids } from './support/rid-map.ts';
import { showIds, showRids } from './support/text.ts';

function* checkMap(
  host: TreeHost,
  map: RidMap | undefined,
  property: 'iommu-map' | 'msi-map',
): Generator<Finding> {
  if (map === undefined || badLength(map)) return;
  const own = ridsOf(host.buses);
  for (const row of map.rows) {
    const range = rowRids(row);
    // A row over the whole segment is what everyone writes for a host with fewer buses.
    if (range === undefined || overlaps(range, own)) continue;
    yield {
      place: row.place,
      message: `the ${property} of ${host.key} has a row for requester IDs ${showIds(range)}, but its buses are ${showRids(host.segment ?? 0, own)}`,
    };
  }
}

export const mapOutsideBuses: Rule = {
  id: 'map-outside-buses',
  catalogue: [26],
  summary: 'Rows of iommu-map and msi-map are for buses of their host.',
  severity: 'warning',
  effect: 'The row is never used: a host’s map answers for the host’s own buses only.',
  cure: 'Move the row to the host that has the bus, or widen bus-range.',
  *check({ tree }: Facts): Iterable<Finding> {
    for (const host of tree?.hosts ?? []) {
      yield* checkMap(host, host.iommuMap, 'iommu-map');
      yield* checkMap(host, host.msiMap, 'msi-map');
    }
  },
};
