import type { Range } from '../../../bytes/index.ts';

/** A range with a rank: where several cover a number, the one of the lowest rank counts. */
export interface Ranked<T> {
  readonly range: Range<number>;
  readonly rank: number;
  readonly value: T;
}

/** A maximal run of numbers for which the same entry counts. */
export interface FlatRun<T> {
  readonly range: Range<number>;
  readonly value: T;
}

/**
 * Who wins where: the entries cut to the parts in which they count, ascending and disjoint.
 * O(n log n), whatever the overlaps: a sweep with a heap of the entries that are open.
 */
export function flatten<T>(entries: readonly Ranked<T>[]): FlatRun<T>[] {
  const starts = entries
    .filter((it) => it.range.start <= it.range.end)
    .toSorted((a, b) => a.range.start - b.range.start);
  const open = new RankHeap<T>();
  const runs: FlatRun<T>[] = [];
  let winner: Ranked<T> | undefined;
  let next = 0;
  let at = 0;
  for (;;) {
    let top = open.top();
    if (top === undefined) {
      const first = starts[next];
      if (first === undefined) return runs;
      at = first.range.start;
    }
    for (let it = starts[next]; it !== undefined && it.range.start <= at; it = starts[++next]) {
      open.push(it);
    }
    for (top = open.top(); top !== undefined && top.range.end < at; top = open.top()) open.pop();
    if (top === undefined) continue;
    const upTo = Math.min(top.range.end, (starts[next]?.range.start ?? Infinity) - 1);
    const last = runs.at(-1);
    if (last !== undefined && winner === top && last.range.end === at - 1) {
      runs[runs.length - 1] = {
        range: { start: last.range.start, end: upTo },
        value: last.value,
      };
    } else {
      runs.push({ range: { start: at, end: upTo }, value: top.value });
    }
    winner = top;
    at = upTo + 1;
  }
}

/** A binary heap, lowest rank on top. */
class RankHeap<T> {
  readonly #items: Ranked<T>[] = [];

  top(): Ranked<T> | undefined {
    return this.#items[0];
  }

  push(item: Ranked<T>): void {
    const items = this.#items;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      const above = items[parent];
      if (above === undefined || above.rank <= item.rank) break;
      items[at] = above;
      at = parent;
    }
    items[at] = item;
  }

  pop(): void {
    const items = this.#items;
    const moved = items.pop();
    if (moved === undefined || items.length === 0) return;
    let at = 0;
    for (;;) {
      const left = items[2 * at + 1];
      const right = items[2 * at + 2];
      const lower = right !== undefined && left !== undefined && right.rank < left.rank;
      const child = lower ? right : left;
      if (child === undefined || child.rank >= moved.rank) break;
      items[at] = child;
      at = 2 * at + (lower ? 2 : 1);
    }
    items[at] = moved;
  }
}

/** The run that holds `value`, by binary search. */
export function runAt<R>(
  runs: readonly R[],
  value: number,
  rangeOf: (run: R) => Range<number>,
): R | undefined {
  let low = 0;
  let high = runs.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const run = runs[middle];
    if (run === undefined) return undefined;
    const { start, end } = rangeOf(run);
    if (value < start) high = middle - 1;
    else if (value > end) low = middle + 1;
    else return run;
  }
  return undefined;
}
