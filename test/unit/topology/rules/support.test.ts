// oxlint-disable unicorn/consistent-function-scoping -- a helper stands beside the tests that use it
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { flatten, type Ranked } from '../../../../src/topology/rules/support/flatten.ts';
import { overlappingPairs } from '../../../../src/topology/rules/support/overlap.ts';
import { idAt, iommuRuns, lookup } from '../../../../src/topology/rules/support/rid-map.ts';
import { viotRuns } from '../../../../src/topology/rules/support/viot-runs.ts';
import type { KernelVersion } from '../../../../src/topology/diagnostic.ts';
import type { TreeHost } from '../../../../src/topology/description.ts';
import {
  at,
  check,
  firmware,
  node,
  ridMap,
  row,
  tree,
  treeHost,
  viot,
  viotRange,
} from '../../../support/facts.ts';

const span = fc
  .tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: -1, max: 12 }))
  .map(([start, more]) => ({ start, end: start + more }));

describe('overlappingPairs', () => {
  it('finds a pair exactly when comparing all with all does, and only real ones', () => {
    fc.assert(
      fc.property(fc.array(span, { maxLength: 12 }), (ranges) => {
        const items = ranges.map((range, index) => ({ range, index }));
        const meet = (a: { start: number; end: number }, b: typeof a): boolean =>
          a.start <= a.end && b.start <= b.end && a.start <= b.end && b.start <= a.end;
        const hurt = new Set<number>();
        for (const a of items) {
          for (const b of items) {
            if (a.index < b.index && meet(a.range, b.range)) hurt.add(a.index).add(b.index);
          }
        }
        const pairs = [...overlappingPairs(items)];
        expect(pairs.length > 0).toBe(hurt.size > 0);
        for (const [a, b] of pairs) {
          expect(a.index).not.toBe(b.index);
          expect(meet(a.range, b.range)).toBe(true);
        }
        // What is left once the second of each pair is taken away is clean.
        const second = new Set(pairs.map(([, b]) => b.index));
        const clean = items.filter((one) => !second.has(one.index));
        expect([...overlappingPairs(clean)]).toEqual([]);
      }),
    );
  });
});

describe('flatten', () => {
  it('gives each number to the entry of the lowest rank', () => {
    fc.assert(
      fc.property(fc.array(span, { maxLength: 12 }), fc.boolean(), (ranges, reverse) => {
        const entries = ranges.map((range, rank): Ranked<number> => ({
          range,
          rank: reverse ? -rank : rank,
          value: rank,
        }));
        const runs = flatten(entries);
        for (let n = 0; n <= 60; n++) {
          const hits = entries.filter((one) => one.range.start <= n && n <= one.range.end);
          const winner = hits.toSorted((a, b) => a.rank - b.rank)[0];
          const run = runs.filter((one) => one.range.start <= n && n <= one.range.end);
          expect(run.map((one) => one.value)).toEqual(winner === undefined ? [] : [winner.value]);
        }
        for (const [index, run] of runs.entries()) {
          expect(run.range.start).toBeGreaterThan(runs[index - 1]?.range.end ?? -1);
        }
      }),
    );
  });
});

/** The search that Linux does for each device, row by row: the oracle of the sweep. */
function ofMapId(host: TreeHost, kernel: KernelVersion, rid: number): number | undefined {
  const mask = host.iommuMapMask?.value ?? 0xffff_ffff;
  const masked = (rid & mask) >>> 0;
  for (const { ridBase, target, outputBase, length } of host.iommuMap?.rows ?? []) {
    if ((ridBase & ~mask) !== 0) return undefined;
    if (kernel.major >= 7 && 'phandle' in target) return undefined;
    if (masked < ridBase || masked >= (ridBase + length) >>> 0) continue;
    return 'phandle' in target ? undefined : outputBase + masked - ridBase;
  }
  return undefined;
}

describe('iommuRuns', () => {
  it('answers as of_map_id does: order, masks, phandles, both kernels', () => {
    const cell = fc.integer({ min: 0, max: 0x140 });
    const rows = fc.array(fc.tuple(cell, fc.constantFrom('viommu0', 0x99), cell, cell), {
      minLength: 1,
      maxLength: 8,
    });
    const mask = fc.constantFrom(undefined, 0xffff, 0xfff8, 0xff, 0x1f8);
    fc.assert(
      fc.property(rows, mask, fc.constantFrom(6, 7), (cells, value, major) => {
        const kernel = { major, minor: 12 };
        const host = treeHost({
          buses: { start: 0, end: 1 },
          iommuMap: ridMap(cells.map((one) => row(...one))),
          ...(value !== undefined && { iommuMapMask: { value, place: at() } }),
        });
        const runs = iommuRuns(tree({ hosts: [host] }), host, kernel);
        for (let rid = 0; rid < 0x200; rid++) {
          const run = lookup(runs, rid);
          expect(run && idAt(run, rid)).toBe(ofMapId(host, kernel, rid));
        }
      }),
    );
  });
});

describe('viotRuns', () => {
  it('lets the last range of the table win', () => {
    const table = viot({
      nodes: [
        node({ type: 'pci-iommu', offset: 48, segment: 0, rid: 8 }),
        viotRange(64, 0, 0xff, { endpointStart: 0x1000 }),
        viotRange(88, 0x10, 0x1f, { endpointStart: 0x2000, segments: { start: 0, end: 2 } }),
        viotRange(112, 0x20, 0x2f, { output: 64 }),
      ],
    });
    const ids = (segment: number, rid: number): number | undefined => {
      const run = lookup(viotRuns(table, segment), rid);
      return run && idAt(run, rid);
    };
    expect([ids(0, 0x0f), ids(0, 0x10), ids(0, 0x1f), ids(0, 0x20)]).toEqual([
      0x100f, 0x2000, 0x200f, 0x1020,
    ]);
    expect([ids(1, 0x0f), ids(1, 0x11), ids(2, 0x11)]).toEqual([undefined, 0x12001, 0x22001]);
  });
});

describe('rules on random maps that are right', () => {
  it('say nothing', () => {
    const cuts = fc.uniqueArray(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 });
    fc.assert(
      fc.property(cuts, fc.infiniteStream(fc.nat(10)), (points, jitter) => {
        const sorted = points.toSorted((a, b) => a - b);
        const spans = sorted.slice(1).map((end, index) => [sorted[index] ?? 0, end - 1] as const);
        const keep = spans.filter(([start, end]) => start <= end && (start > 8 || end < 8));
        const shuffled = keep
          .map((one) => ({ one, key: jitter.next().value ?? 0 }))
          .toSorted((a, b) => a.key - b.key)
          .map(({ one }) => one);
        if (keep.length === 0) return;
        const rows = shuffled.map(([start, end]) => row(start, 'viommu0', start, end - start + 1));
        const nodes = [
          node({ type: 'pci-iommu', offset: 48, segment: 0, rid: 8 }),
          ...shuffled.map(([start, end], index) => viotRange(64 + 24 * index, start, end)),
        ];
        const facts = firmware({
          tree: tree({ hosts: [treeHost({ iommuMap: ridMap(rows) })] }),
          viot: viot({ nodes }),
        });
        for (const id of [
          'iommu-map-overlap',
          'viot-range-overlap',
          'endpoint-id-collision',
          'tree-and-viot-disagree',
          'iommu-behind-iommu',
          'map-row-empty',
        ]) {
          expect(check(id, facts)).toEqual([]);
        }
      }),
    );
  });
});
