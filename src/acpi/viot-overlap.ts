/** A rectangle of segments × requester IDs, ends included. */
export interface SegmentRange {
  readonly segmentStart: number;
  readonly segmentEnd: number;
  readonly bdfStart: number;
  readonly bdfEnd: number;
}

/**
 * Pairs of ranges that share a PCI function: at least one when there is any.
 *
 * Not all pairs, since 65,535 equal ranges would make two thousand million of them: what
 * overlaps only a range that is in a pair already may appear once that is repaired.
 * A sweep over the segments keeps the ranges of the current segment sorted by `bdfStart` and
 * disjoint, so that a binary search finds a clash.
 */
export function* overlappingRanges<T extends SegmentRange>(
  ranges: readonly T[],
): Generator<readonly [T, T]> {
  const starting = ranges.toSorted((a, b) => a.segmentStart - b.segmentStart);
  const ending = ranges.toSorted((a, b) => a.segmentEnd - b.segmentEnd);
  const active: T[] = [];
  let ended = 0;
  for (const range of starting) {
    for (let next = ending[ended]; next !== undefined; next = ending[++ended]) {
      if (next.segmentEnd >= range.segmentStart) break;
      const at = firstNotBelow(active, next.bdfStart);
      if (active[at] === next) active.splice(at, 1);
    }
    const at = firstNotBelow(active, range.bdfStart);
    const before = active[at - 1];
    const after = active[at];
    if (before !== undefined && before.bdfEnd >= range.bdfStart) {
      yield [before, range];
    } else if (after !== undefined && after.bdfStart <= range.bdfEnd) {
      yield [after, range];
    } else {
      active.splice(at, 0, range);
    }
  }
}

/** Index of the first active range that starts at `bdf` or after it. */
function firstNotBelow(active: readonly SegmentRange[], bdf: number): number {
  let low = 0;
  let high = active.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((active[middle]?.bdfStart ?? 0) < bdf) low = middle + 1;
    else high = middle;
  }
  return low;
}
