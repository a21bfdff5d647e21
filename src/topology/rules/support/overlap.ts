import type { Range } from '../../../bytes/index.ts';

/** Anything that lies somewhere. */
export interface Spanned<N extends bigint | number> {
  readonly range: Range<N>;
}

/**
 * Pairs that share a number: each item that overlaps an earlier one (by start) is paired with the
 * one that reaches furthest. None exactly when nothing overlaps; at most n−1 pairs, O(n log n).
 * Empty ranges (start > end) overlap nothing.
 */
export function* overlappingPairs<N extends bigint | number, T extends Spanned<N>>(
  items: readonly T[],
): Generator<readonly [T, T]> {
  const sorted = items
    .filter((it) => it.range.start <= it.range.end)
    .toSorted((a, b) =>
      a.range.start < b.range.start ? -1 : a.range.start > b.range.start ? 1 : 0,
    );
  let furthest: T | undefined;
  for (const item of sorted) {
    if (furthest !== undefined && item.range.start <= furthest.range.end) {
      yield [furthest, item];
    }
    if (furthest === undefined || item.range.end > furthest.range.end) furthest = item;
  }
}
