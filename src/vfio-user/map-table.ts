import { overlaps, type Range } from '../bytes/index.ts';

/** Ranges that do not overlap, by their start. */
export class MapTable<T extends { readonly range: Range }> {
  readonly #maps = new Map<bigint, T>();
  /** Their starts, ascending. */
  readonly #starts: bigint[] = [];

  get size(): number {
    return this.#maps.size;
  }

  values(): T[] {
    return [...this.#maps.values()];
  }

  has(map: T): boolean {
    return this.#maps.get(map.range.start) === map;
  }

  /** Adds one that overlaps none. */
  put(map: T): void {
    const { start } = map.range;
    this.#maps.set(start, map);
    this.#starts.splice(this.#indexOf(start), 0, start);
  }

  delete(map: T): void {
    const { start } = map.range;
    if (this.#maps.delete(start)) this.#starts.splice(this.#indexOf(start), 1);
  }

  /** Those that have an address of the range, ascending. */
  overlapping(range: Range): T[] {
    const found: T[] = [];
    for (let i = Math.max(0, this.#indexOf(range.start) - 1); i < this.#starts.length; i++) {
      const map = this.#maps.get(this.#starts[i] ?? 0n);
      if (map === undefined || map.range.start > range.end) break;
      if (overlaps(map.range, range)) found.push(map);
    }
    return found;
  }

  /** Index of the first that starts at that address or later. */
  #indexOf(start: bigint): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((this.#starts[mid] ?? 0n) < start) low = mid + 1;
      else high = mid;
    }
    return low;
  }
}
