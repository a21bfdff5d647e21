import { describe, expect, test } from 'vitest';
import { MappingTree, WOULD_SPLIT } from '../../src/iommu/index.ts';
import { Random } from '../sim/random.ts';

const HALF = 2 ** 32;
const hi = (address: number): number => Math.floor(address / HALF);
const lo = (address: number): number => address % HALF;

interface Entry {
  readonly start: number;
  readonly end: number;
}

/** A sorted array of plain numbers, which is always right. */
class Oracle {
  entries: Entry[] = [];

  /** Index of the first entry that ends at or after the address. */
  from(address: number): number {
    const index = this.entries.findIndex(({ end }) => end >= address);
    return index < 0 ? this.entries.length : index;
  }

  meeting({ start, end }: Entry): Entry[] {
    const met: Entry[] = [];
    for (let i = this.from(start); i < this.entries.length; i++) {
      const entry = this.entries[i];
      if (entry === undefined || entry.start > end) break;
      met.push(entry);
    }
    return met;
  }
}

/**
 * Trees of many leaves, thinned out and filled again. Small trees are compared in
 * test/unit/iommu; here it is leaves that join, empty and split while ranges cross them.
 */
describe('a mapping tree of many leaves', () => {
  test.each([
    ['dense', 1, 12, 3],
    ['with gaps', 2, 40, 9],
    ['thinned out by long removals', 3, 30, 40],
  ] as const)('%s, against a sorted array', (_name, seed, spacing, reach) => {
    const tree = new MappingTree();
    const oracle = new Oracle();
    const random = new Random(seed, 0);
    const base = HALF - 20_000;
    const insert = (entry: Entry): void => {
      const free = oracle.meeting(entry).length === 0;
      const { start, end } = entry;
      const done = tree.insert(hi(start), lo(start), hi(end), lo(end), hi(start), lo(start), 3);
      expect(done).toBe(free);
      if (free) oracle.entries.splice(oracle.from(start), 0, entry);
    };
    const remove = (range: Entry): void => {
      const met = oracle.meeting(range);
      const cut = met.some(({ start, end }) => start < range.start || end > range.end);
      const args = [hi(range.start), lo(range.start), hi(range.end), lo(range.end)] as const;
      expect(tree.removeWithin(...args)).toBe(cut ? WOULD_SPLIT : met.length);
      if (!cut && met.length > 0) oracle.entries.splice(oracle.from(range.start), met.length);
    };
    const look = (at: number): void => {
      const [entry] = oracle.meeting({ start: at, end: at });
      expect(tree.find(hi(at), lo(at))).toBe(entry !== undefined);
      if (entry) expect(tree.hitStartLo).toBe(lo(entry.start));
    };
    for (let i = 0; i < 6000; i++) {
      const at = base + random.below(1200) * spacing + random.below(spacing);
      const kind = random.below(20);
      if (kind < 13) insert({ start: at, end: at + random.below(4) });
      else if (kind < 16) look(at);
      else if (kind < 19) {
        const known = oracle.entries[random.below(oracle.entries.length || 1)];
        if (known) remove(random.chance(1, 2) ? known : { ...known, end: known.end + reach });
      } else remove({ start: at, end: at + random.below(reach * spacing) });
      expect(tree.size).toBe(oracle.entries.length);
    }
    expect(tree.size).toBeGreaterThan(50);
    const all = [...tree.entries()].map(({ start, end }) => [Number(start), Number(end)]);
    expect(all).toEqual(oracle.entries.map(({ start, end }) => [start, end]));
    for (let i = 0; i < 300; i++) {
      const start = base + random.below(1200 * spacing);
      const end = start + random.below(40 * spacing);
      const got = [...tree.entries({ start: BigInt(start), end: BigInt(end) })];
      const want = oracle.meeting({ start, end });
      expect(got.map((entry) => Number(entry.start))).toEqual(want.map((entry) => entry.start));
    }
  });
});
