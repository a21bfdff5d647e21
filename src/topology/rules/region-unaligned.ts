import { hex, showRange, type Range } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import type { Model, ReservedRegion } from '../model.ts';
import { linux } from './support/text.ts';

/** The largest granule that each region has to do with. */
function granules(model: Model): (region: ReservedRegion) => bigint {
  const byViommu = new Map(model.viommus.map((it) => [it.id, it.granule]));
  const byEndpoint = new Map(
    model.endpoints.map((it) => [it.id, byViommu.get(it.viommu ?? '') ?? 1n]),
  );
  return (region) => {
    let largest = byViommu.get(region.viommu ?? '') ?? 1n;
    for (const id of region.endpoints) {
      const granule = byEndpoint.get(id) ?? 1n;
      if (granule > largest) largest = granule;
    }
    return largest;
  };
}

function aligned(range: Range, granule: bigint): boolean {
  return range.start % granule === 0n && (range.end + 1n) % granule === 0n;
}

export const regionUnaligned: Rule = {
  id: 'region-unaligned',
  catalogue: [22],
  summary: 'Reserved regions begin and end at multiples of the granule.',
  severity: 'warning',
  effect: 'Linux rounds a reserved region outwards; a direct one is mapped only in part.',
  cure: 'Let start and end + 1 be multiples of the granule.',
  *check(facts: Facts): Iterable<Finding> {
    const { model } = facts;
    if (model === undefined) return;
    const granuleOf = granules(model);
    for (const region of model.reserved) {
      const granule = granuleOf(region);
      if (region.range.start > region.range.end || aligned(region.range, granule)) continue;
      const direct = region.type === 'direct';
      yield {
        severity: direct ? 'error' : 'warning',
        place: region.place,
        message: `${region.id} (${showRange(region.range)}) does not begin and end at multiples of the granule, ${hex(granule)}`,
        effect: direct
          ? `${linux(facts)} rounds both ends up: the beginning of the region is not mapped, and the device faults there.`
          : `${linux(facts)} shows the region as it is and keeps whole granules around it free.`,
      };
    }
  },
};
