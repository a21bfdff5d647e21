import { showRange, type Range } from '../bytes/index.ts';
import { hiOf, loOf, type DmaSpace } from '../memory/index.ts';

/** The guest cannot go on; Linux would panic. */
export class GuestPanic extends Error {
  override readonly name = 'GuestPanic';
}

/** Bytes at the start of RAM where firmware, and a kernel, would be. */
const KEEP_FREE = 64n << 20n;
const WIDEST_PAGE = 0x1_0000n;

/**
 * Pages of RAM, and access to them. Pages are handed out upwards, those given back first; after a
 * release the same page comes again, so that a run can be repeated.
 */
export class Ram {
  readonly pageSize: bigint;
  readonly #memory: DmaSpace;
  readonly #free: Range[];
  readonly #released = new Map<bigint, bigint[]>();
  #next: bigint;

  /**
   * @param ranges where RAM is
   * @param reserved what in it is not ours
   * @throws GuestPanic when there is none
   */
  constructor(
    memory: DmaSpace,
    ranges: readonly Range[],
    reserved: readonly Range[],
    pageSize: bigint,
  ) {
    this.#memory = memory;
    this.pageSize = pageSize;
    const [first] = ranges.toSorted((a, b) => (a.start < b.start ? -1 : 1));
    if (first === undefined) throw new GuestPanic('no memory in the firmware');
    const size = first.end - first.start + 1n;
    const skip = size > 2n * KEEP_FREE ? KEEP_FREE : (size / 2n / WIDEST_PAGE) * WIDEST_PAGE;
    this.#free = cut({ start: first.start + skip, end: first.end }, reserved);
    this.#next = this.#free[0]?.start ?? 0n;
  }

  /**
   * Contiguous pages, filled with zeros.
   *
   * @throws GuestPanic when RAM is full
   */
  pages(bytes: number): bigint {
    const size = this.#rounded(bytes);
    const again = this.#released.get(size)?.pop();
    const gpa = again ?? this.#fresh(size);
    this.#memory.fill(hiOf(gpa), loOf(gpa), Number(size), 0);
    return gpa;
  }

  release(gpa: bigint, bytes: number): void {
    const size = this.#rounded(bytes);
    const list = this.#released.get(size) ?? [];
    list.push(gpa);
    this.#released.set(size, list);
  }

  write(gpa: bigint, bytes: Uint8Array): void {
    const done = this.#memory.write(hiOf(gpa), loOf(gpa), bytes);
    if (done !== bytes.length)
      throw new RangeError(`no RAM at ${showRange({ start: gpa, end: gpa })}`);
  }

  read(gpa: bigint, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    const done = this.#memory.read(hiOf(gpa), loOf(gpa), bytes);
    if (done !== length) throw new RangeError(`no RAM at ${showRange({ start: gpa, end: gpa })}`);
    return bytes;
  }

  fill(gpa: bigint, length: number, byte: number): void {
    this.#memory.fill(hiOf(gpa), loOf(gpa), length, byte);
  }

  #rounded(bytes: number): bigint {
    return ((BigInt(bytes) + this.pageSize - 1n) / this.pageSize) * this.pageSize;
  }

  #fresh(size: bigint): bigint {
    for (;;) {
      const range = this.#free[0];
      if (range === undefined) throw new GuestPanic('System is deadlocked on memory');
      const at = ((this.#next + this.pageSize - 1n) / this.pageSize) * this.pageSize;
      if (at + size - 1n <= range.end) {
        this.#next = at + size;
        return at;
      }
      this.#free.shift();
      this.#next = this.#free[0]?.start ?? 0n;
    }
  }
}

/** What is left of a range without others. */
export function cut(range: Range, others: readonly Range[]): Range[] {
  let left = [range];
  for (const other of others) {
    left = left.flatMap((one) => {
      if (other.end < one.start || other.start > one.end) return [one];
      const parts: Range[] = [];
      if (other.start > one.start) parts.push({ start: one.start, end: other.start - 1n });
      if (other.end < one.end) parts.push({ start: other.end + 1n, end: one.end });
      return parts;
    });
  }
  return left;
}
