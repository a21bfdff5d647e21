import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { MappingTree, WOULD_SPLIT } from '../../../src/iommu/mapping-tree.ts';

const TOP = (1n << 64n) - 1n;
const hi = (value: bigint): number => Number(value >> 32n);
const lo = (value: bigint): number => Number(value & 0xffffffffn);

/** The tree with plain addresses, and beside it an array of mappings that is always right. */
class Pair {
  readonly tree = new MappingTree();
  model: { start: bigint; end: bigint; physical: bigint; flags: number }[] = [];

  insert(start: bigint, end: bigint, physical: bigint, flags: number): void {
    const clash = this.model.some((m) => m.start <= end && start <= m.end);
    expect(this.tree.overlaps(hi(start), lo(start), hi(end), lo(end))).toBe(clash);
    const done = this.tree.insert(
      hi(start),
      lo(start),
      hi(end),
      lo(end),
      hi(physical),
      lo(physical),
      flags,
    );
    expect(done).toBe(!clash);
    if (!clash) this.model.push({ start, end, physical, flags });
  }

  remove(start: bigint, end: bigint): void {
    const touched = this.model.filter((m) => m.start <= end && start <= m.end);
    const split = touched.some((m) => m.start < start || m.end > end);
    const count = this.tree.removeWithin(hi(start), lo(start), hi(end), lo(end));
    expect(count).toBe(split ? WOULD_SPLIT : touched.length);
    if (split) return;
    this.model = this.model.filter((m) => !touched.includes(m));
  }

  find(address: bigint): void {
    const want = this.model.find((m) => m.start <= address && address <= m.end);
    expect(this.tree.find(hi(address), lo(address))).toBe(want !== undefined);
    if (want === undefined) return;
    expect(this.tree.hitStartHi).toBe(hi(want.start));
    expect(this.tree.hitStartLo).toBe(lo(want.start));
    expect(this.tree.hitEndHi).toBe(hi(want.end));
    expect(this.tree.hitEndLo).toBe(lo(want.end));
    expect(this.tree.hitPhysHi).toBe(hi(want.physical));
    expect(this.tree.hitPhysLo).toBe(lo(want.physical));
    expect(this.tree.hitFlags).toBe(want.flags);
  }

  same(): void {
    const sorted = this.model.toSorted((a, b) => (a.start < b.start ? -1 : 1));
    expect([...this.tree.entries()]).toEqual(sorted);
    expect(this.tree.size).toBe(sorted.length);
  }
}

/** Addresses that meet each other and both ends of the space, and cross the 32-bit seam. */
const address = fc.oneof(
  fc.bigInt(0n, 600n),
  fc.bigInt(0n, 600n).map((n) => TOP - n),
  fc.bigInt(-300n, 300n).map((n) => (1n << 32n) + n),
);

describe('against a plain array', () => {
  test('a full leaf whose last entry ends where the lower half is all ones', () => {
    const pair = new Pair();
    const first = (1n << 32n) - 64n;
    for (let i = 0n; i < 64n; i++) pair.insert(first + i, first + i, i, 3);
    // The next one begins a leaf, whose lower bound carries into the upper half.
    for (let i = 64n; i < 70n; i++) pair.insert(first + i, first + i, i, 3);
    for (let i = -1n; i < 71n; i++) pair.find(first + i);
    pair.same();
  });

  test('an entry before the first of a full leaf that has a neighbour on its left', () => {
    const pair = new Pair();
    for (let i = 0n; i < 64n; i++) pair.insert(i, i, i, 3);
    // The second leaf is open for everything above 63; a gap is left at its front, then it fills.
    for (let i = 0n; i < 64n; i++) pair.insert(1000n + i, 1000n + i, i, 3);
    for (const at of [500n, 400n, 600n, 999n]) pair.insert(at, at, at, 3);
    for (let i = 0n; i < 1070n; i++) pair.find(i);
    pair.same();
    pair.remove(0n, 998n);
    pair.same();
  });

  test('mappings taken out one by one, each just as it was put in', () => {
    const pair = new Pair();
    for (let i = 0n; i < 40n; i++) pair.insert(i * 4n, i * 4n + 3n, i, 3);
    for (const i of [7n, 0n, 39n, 20n]) pair.remove(i * 4n, i * 4n + 3n);
    for (let i = 0n; i < 165n; i++) pair.find(i);
    pair.same();
    for (let i = 39n; i >= 0n; i--) pair.remove(i * 4n, i * 4n + 3n);
    pair.same();
  });

  test('a list that begins in the gap before a leaf, or inside a mapping of the leaf before', () => {
    const { tree } = new Pair();
    const add = (at: number, end: number): boolean => tree.insert(0, at, 0, end, 0, 0, 3);
    for (let i = 0; i < 63; i++) add(i, i);
    add(63, 99);
    for (let i = 1000; i < 1010; i++) add(i, i);
    const starts = (start: bigint, end: bigint): bigint[] =>
      [...tree.entries({ start, end })].map((entry) => entry.start);
    expect(starts(500n, 1001n)).toEqual([1000n, 1001n]);
    expect(starts(99n, 1000n)).toEqual([63n, 1000n]);
    expect(starts(100n, 999n)).toEqual([]);
    expect(starts(2000n, 3000n)).toEqual([]);
  });

  test('random insert, remove, find, in every order', () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          op: fc.constant('insert' as const),
          start: address,
          length: fc.bigInt(0n, 12n),
          physical: fc.bigInt(0n, TOP),
          flags: fc.nat(7),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          op: fc.constant('remove' as const),
          start: address,
          length: fc.oneof(fc.bigInt(0n, 40n), fc.bigInt(0n, TOP)),
        }),
      },
      { weight: 3, arbitrary: fc.record({ op: fc.constant('find' as const), start: address }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const pair = new Pair();
        for (const s of steps) {
          if (s.op === 'find') pair.find(s.start);
          else {
            const end = s.start + s.length > TOP ? TOP : s.start + s.length;
            if (s.op === 'insert') pair.insert(s.start, end, s.physical, s.flags);
            else pair.remove(s.start, end);
          }
        }
        pair.same();
      }),
      { numRuns: 300 },
    );
  });

  test.each(['ascending', 'descending', 'shuffled'] as const)(
    'many %s inserts, then removal in runs, keep the tree whole',
    (order) => {
      const pages = Array.from({ length: 20_000 }, (_, i) => BigInt(i) * 0x1000n);
      if (order === 'descending') pages.reverse();
      if (order === 'shuffled') shuffle(pages, 12345);
      const tree = new MappingTree();
      for (const p of pages) {
        expect(tree.insert(hi(p), lo(p), hi(p), lo(p) + 0xfff, 1, lo(p), 3)).toBe(true);
      }
      expect(tree.size).toBe(20_000);
      expect(tree.bytes / tree.size).toBeLessThan(64);
      const listed = [...tree.entries()];
      expect(listed.every((m, i) => m.start === BigInt(i) * 0x1000n)).toBe(true);
      // Every third run of 100 pages goes; the rest must still be found.
      for (let run = 0; run < 200; run += 3) {
        const start = BigInt(run) * 100n * 0x1000n;
        const end = start + 100n * 0x1000n - 1n;
        expect(tree.removeWithin(hi(start), lo(start), hi(end), lo(end))).toBe(100);
      }
      for (let i = 0; i < 20_000; i += 7) {
        const a = BigInt(i) * 0x1000n + 5n;
        expect(tree.find(hi(a), lo(a))).toBe(Math.floor(i / 100) % 3 !== 0);
      }
      expect(tree.removeWithin(0, 0, 0xffffffff, 0xffffffff)).toBe(20_000 - 67 * 100);
      expect(tree.size).toBe(0);
      expect([...tree.entries()]).toEqual([]);
      // An emptied tree holds no more than a new one would after growing.
      expect(tree.bytes).toBeLessThan(4096);
    },
  );

  test('thinning out leaf by leaf gives the memory back', () => {
    const tree = new MappingTree();
    for (let i = 0; i < 64_000; i++) tree.insert(0, i * 16, 0, i * 16 + 7, 0, 0, 1);
    for (let i = 0; i < 64_000; i++) {
      if (i % 64 !== 0) expect(tree.removeWithin(0, i * 16, 0, i * 16 + 15)).toBe(1);
    }
    expect(tree.size).toBe(1000);
    expect(tree.bytes / tree.size).toBeLessThan(256);
    for (let i = 0; i < 64_000; i++) expect(tree.find(0, i * 16 + 3)).toBe(i % 64 === 0);
  });
});

test('the whole space is one mapping, to its last byte', () => {
  const pair = new Pair();
  pair.insert(0n, TOP, 0n, 3);
  pair.find(0n);
  pair.find(TOP);
  pair.remove(0n, TOP - 1n);
  pair.remove(1n, TOP);
  pair.insert(TOP, TOP, 5n, 1);
  pair.remove(0n, TOP);
  pair.insert(TOP, TOP, 5n, 1);
  pair.find(TOP);
  pair.same();
});

test('a hit is forgotten when its mapping goes', () => {
  const tree = new MappingTree();
  tree.insert(0, 0x1000, 0, 0x1fff, 0, 0, 1);
  expect(tree.find(0, 0x1800)).toBe(true);
  tree.removeWithin(0, 0x1000, 0, 0x1fff);
  expect(tree.find(0, 0x1800)).toBe(false);
  tree.insert(0, 0x1000, 0, 0x1fff, 0, 0x9000, 1);
  expect(tree.find(0, 0x1800)).toBe(true);
  expect(tree.hitPhysLo).toBe(0x9000);
  tree.clear();
  expect(tree.find(0, 0x1800)).toBe(false);
});

/** Fisher and Yates with a small linear congruential generator, for a fixed order. */
function shuffle(items: bigint[], seed: number): void {
  let state = seed;
  for (let i = items.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const j = state % (i + 1);
    [items[i], items[j]] = [items[j] ?? 0n, items[i] ?? 0n];
  }
}
