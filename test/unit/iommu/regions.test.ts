import { describe, expect, test } from 'vitest';
import { holesOf, mergeRegions, RegionSet } from '../../../src/iommu/regions.ts';

const TOP = (1n << 64n) - 1n;
const region = (start: bigint, end: bigint): Parameters<typeof mergeRegions>[0][0] => ({
  range: { start, end },
  type: 'reserved',
});

describe('the regions of an endpoint', () => {
  test.each([
    [-1n, 5n],
    [6n, 5n],
    [0n, TOP + 1n],
  ])('%i to %i is no range', (start, end) => {
    expect(() => new RegionSet([region(start, end)])).toThrow(RangeError);
  });

  test('an address is found in none, the first or the last', () => {
    const set = new RegionSet([region(0x30n, 0x3fn), region(0x10n, 0x1fn)]);
    expect(
      [0x0fn, 0x10n, 0x1fn, 0x20n, 0x3fn, 0x40n].map((at) => set.after(0, Number(at))),
    ).toEqual([0, 0, 0, 1, 1, 2]);
    expect(set.meets(0, 0x20, 0, 0x2f)).toBe(false);
    expect(set.meets(0, 0x20, 0, 0x30)).toBe(true);
    expect(set.meets(0, 0x40, 1, 0)).toBe(false);
  });

  test('a region of the host is cut by an own one: at its start, end, middle, or whole', () => {
    const cut = (own: bigint, ownEnd: bigint): unknown =>
      mergeRegions([region(own, ownEnd)], [region(0x100n, 0x1ffn)])
        .slice(1)
        .map(({ range }) => [range.start, range.end]);
    expect(cut(0x80n, 0x17fn)).toEqual([[0x180n, 0x1ffn]]);
    expect(cut(0x180n, 0x280n)).toEqual([[0x100n, 0x17fn]]);
    expect(cut(0x140n, 0x17fn)).toEqual([
      [0x100n, 0x13fn],
      [0x180n, 0x1ffn],
    ]);
    expect(cut(0x0n, 0x1000n)).toEqual([]);
  });

  test('holes of an aperture in any order, ranges inside others included', () => {
    const holes = (...ranges: [bigint, bigint][]): unknown =>
      holesOf(ranges.map(([start, end]) => ({ start, end }))).map(({ range }) => [
        range.start,
        range.end,
      ]);
    expect(holes([0x200n, TOP], [0n, 0xffn])).toEqual([[0x100n, 0x1ffn]]);
    expect(holes([0n, 0xfffn], [0x10n, 0x1fn], [0x1000n, TOP])).toEqual([]);
    expect(holes([0x10n, 0x1fn])).toEqual([
      [0n, 0xfn],
      [0x20n, TOP],
    ]);
  });
});
