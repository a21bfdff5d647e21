import { showRange } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import type { Model, ReservedRegion } from '../model.ts';
import { overlappingPairs } from './support/overlap.ts';
import { linux } from './support/text.ts';

function put(map: Map<string, ReservedRegion[]>, key: string, it: ReservedRegion): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [it]);
  else list.push(it);
}

/**
 * Regions that hold for one endpoint or for one vIOMMU's every endpoint, in lists: regions that
 * share a list are seen by one endpoint. Regions of a vIOMMU join those of each endpoint behind.
 */
function scopes(model: Model): ReservedRegion[][] {
  const byViommu = new Map<string, ReservedRegion[]>();
  const byEndpoint = new Map<string, ReservedRegion[]>();
  for (const region of model.reserved) {
    if (region.viommu !== undefined) put(byViommu, region.viommu, region);
    else for (const id of region.endpoints) put(byEndpoint, id, region);
  }
  const lists = [...byViommu.values()];
  for (const endpoint of model.endpoints) {
    const own = byEndpoint.get(endpoint.id);
    if (own === undefined) continue;
    lists.push([...own, ...(byViommu.get(endpoint.viommu ?? '') ?? [])]);
  }
  return lists;
}

export const regionOverlap: Rule = {
  id: 'region-overlap',
  catalogue: [24],
  summary: 'The reserved regions of an endpoint do not overlap (VIRTIO 1.3, RESV_MEM property).',
  severity: 'warning',
  effect: 'Linux merges regions of the same type and keeps those of different types.',
  cure: 'Let one region end before the next begins.',
  *check(facts: Facts): Iterable<Finding> {
    const { model } = facts;
    if (model === undefined) return;
    const said = new Set<string>();
    for (const list of scopes(model)) {
      for (const [a, b] of overlappingPairs(list)) {
        const key = `${a.id} ${b.id}`;
        if (said.has(key)) continue;
        said.add(key);
        const same = a.type === b.type;
        yield {
          severity: same ? 'warning' : 'error',
          place: b.place,
          message: `${a.id} (${a.type}, ${showRange(a.range)}) and ${b.id} (${b.type}, ${showRange(b.range)}) overlap`,
          effect: same
            ? `${linux(facts)} merges them into one.`
            : `${linux(facts)} keeps both: what the addresses mean depends on who asks first.`,
          related: [{ place: a.place, message: `${a.id} is here` }],
        };
      }
    }
  },
};
