import type { Range } from '../bytes/index.ts';

/** A mapping that lives, with what was noted when it was made. */
export interface Live<T> {
  readonly range: Range;
  readonly note: T;
}

/** The mappings of one domain as a trace tells of them: disjoint, ascending. */
export class LiveMappings<T> {
  readonly #list: Live<T>[] = [];

  add(range: Range, note: T): void {
    this.#list.splice(this.#firstFrom(range.start), 0, { range, note });
  }

  /** Takes out what begins in the range, as UNMAP does: it never splits. */
  removeWithin({ start, end }: Range): Live<T>[] {
    const from = this.#firstFrom(start);
    let to = from;
    while (to < this.#list.length && (this.#list[to]?.range.start ?? 0n) <= end) to++;
    return this.#list.splice(from, to - from);
  }

  clear(): Live<T>[] {
    return this.#list.splice(0);
  }

  /** Index of the first one that starts at or after an address. */
  #firstFrom(address: bigint): number {
    let low = 0;
    let high = this.#list.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((this.#list[mid]?.range.start ?? 0n) < address) low = mid + 1;
      else high = mid;
    }
    return low;
  }
}
