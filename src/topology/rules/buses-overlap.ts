import { overlaps, type Range } from '../../bytes/index.ts';
import type { Place } from '../diagnostic.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { overlappingPairs } from './support/overlap.ts';

interface Claim {
  readonly range: Range<number>;
  readonly name: string;
  readonly place: Place;
}

type Segments = Map<number, Claim[]>;

function add(map: Segments, segment: number, claim: Claim): void {
  const list = map.get(segment);
  if (list === undefined) map.set(segment, [claim]);
  else list.push(claim);
}

/** Hosts by segment, as each of the sources has them. */
function sources({ model, tree, mcfg }: Facts): Segments[] {
  const inModel: Segments = new Map();
  const inTree: Segments = new Map();
  const inMcfg: Segments = new Map();
  for (const { id, segment, buses, place } of model?.hosts ?? []) {
    add(inModel, segment, { range: buses, name: id, place });
  }
  for (const { key, segment, buses, place } of tree?.hosts ?? []) {
    // Hosts without linux,pci-domain get segments of their own.
    if (segment !== undefined) add(inTree, segment, { range: buses, name: key, place });
  }
  for (const { segment, buses, place } of mcfg?.hosts ?? []) {
    add(inMcfg, segment, { range: buses, name: 'an MCFG entry', place });
  }
  return [inModel, inTree, inMcfg];
}

const hex2 = (bus: number): string => bus.toString(16).padStart(2, '0');

export const busesOverlap: Rule = {
  id: 'buses-overlap',
  catalogue: [26],
  summary: 'Two hosts of one segment have no bus in common.',
  severity: 'error',
  effect:
    'Two hosts claim one requester ID: Linux refuses the second root bus, or one iommu-map answers for the other’s devices.',
  cure: 'Split the buses (0x00-0x0f and 0x10-0x1f, say), or give each host its own segment.',
  *check(facts: Facts): Iterable<Finding> {
    const said = new Set<string>();
    for (const source of sources(facts)) {
      for (const [segment, claims] of source) {
        for (const [a, b] of overlappingPairs(claims)) {
          if (!overlaps(a.range, b.range)) continue;
          const from = Math.max(a.range.start, b.range.start);
          const to = Math.min(a.range.end, b.range.end);
          const message = `${a.name} and ${b.name} both have the buses ${hex2(from)}-${hex2(to)} of segment ${segment}`;
          // The tree and MCFG of one topology repeat its mistake.
          const key = `${segment} ${from}`;
          if (said.has(key)) continue;
          said.add(key);
          yield {
            place: b.place,
            message,
            related: [
              {
                place: a.place,
                message: `${a.name} has ${hex2(a.range.start)}-${hex2(a.range.end)}`,
              },
            ],
          };
        }
      }
    }
  },
};
