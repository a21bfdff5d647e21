/**
 * A run of positions (segment << 16 | requester ID), both ends included, and what covers it.
 * `id` is the endpoint ID of `start`; absent where the run bypasses.
 */
export interface Stroke<T> {
  readonly start: number;
  readonly end: number;
  readonly value: T;
  readonly id?: number;
}

/**
 * `upper` painted over `lower`: both sorted and each disjoint, and so is the result. Strokes of
 * `lower` are cut where `upper` covers them; their IDs move on with them. O(n + m).
 */
export function paintOver<T>(
  lower: readonly Stroke<T>[],
  upper: readonly Stroke<T>[],
): Stroke<T>[] {
  const result: Stroke<T>[] = [];
  let next = 0;
  for (const stroke of lower) {
    let start = stroke.start;
    // Strokes of `upper` that end before this one begins have been passed on already.
    for (
      let above = upper[next];
      above !== undefined && above.start <= stroke.end;
      above = upper[next]
    ) {
      if (above.start > start) result.push(cut(stroke, start, above.start - 1));
      start = Math.max(start, above.end + 1);
      if (above.end > stroke.end) break;
      result.push(above);
      next++;
    }
    if (start <= stroke.end) result.push(cut(stroke, start, stroke.end));
  }
  for (const above of upper.slice(next)) result.push(above);
  return result;
}

/** The part of a stroke from `start` to `end`. */
export function cut<T>(stroke: Stroke<T>, start: number, end: number): Stroke<T> {
  const { value, id } = stroke;
  return id === undefined
    ? { start, end, value }
    : { start, end, value, id: id + (start - stroke.start) };
}

/** `strokes` (sorted, disjoint) without single `holes` (sorted). */
export function punch<T>(strokes: readonly Stroke<T>[], holes: readonly number[]): Stroke<T>[] {
  const result: Stroke<T>[] = [];
  let next = 0;
  for (const stroke of strokes) {
    let start = stroke.start;
    while ((holes[next] ?? Infinity) < start) next++;
    for (let hole = holes[next]; hole !== undefined && hole <= stroke.end; hole = holes[next]) {
      if (hole > start) result.push(cut(stroke, start, hole - 1));
      start = hole + 1;
      next++;
    }
    if (start <= stroke.end) result.push(cut(stroke, start, stroke.end));
  }
  return result;
}

/** Sorts by start and drops what overlaps an earlier stroke, telling `conflict` of each pair. */
export function disjoint<T>(
  strokes: readonly Stroke<T>[],
  conflict: (first: Stroke<T>, second: Stroke<T>) => void,
): Stroke<T>[] {
  const result: Stroke<T>[] = [];
  for (const stroke of strokes.toSorted((a, b) => a.start - b.start)) {
    const last = result.at(-1);
    if (last !== undefined && stroke.start <= last.end) conflict(last, stroke);
    else result.push(stroke);
  }
  return result;
}
