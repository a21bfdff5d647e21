import { hex } from '../bytes/index.ts';

/**
 * A run of CPU addresses that one device answers to. Loads and stores are 1, 2 or 4 bytes, may be
 * unaligned, and may pass the end by up to 3 bytes; nothing may throw.
 */
export interface BusRegion {
  /** For people. */
  readonly name: string;
  /** First address, and how many bytes; both below 2^53. */
  readonly base: number;
  readonly size: number;
  read(offset: number, size: number): number;
  write(offset: number, size: number, value: number): void;
}

/** What a load gives that nobody answers. */
function ones(size: number): number {
  return 2 ** (8 * size) - 1;
}

/**
 * Memory-mapped I/O as a CPU does it: address, width, value. RAM is not here.
 *
 * Looking up is a comparison when the access is where the last one was, else a binary search.
 */
export class MmioBus {
  #regions: readonly BusRegion[] = [];
  #last: BusRegion | undefined;
  /** Accesses that nobody answered: loads gave ones, stores were lost. */
  unclaimed = 0;

  /** The regions, ascending. */
  get regions(): readonly BusRegion[] {
    return this.#regions;
  }

  /**
   * Adds a region.
   *
   * @throws RangeError when it is empty, passes 2^53 or overlaps another: our own mistake
   */
  add(region: BusRegion): void {
    const { base, size, name } = region;
    const limit = base + size;
    if (size < 1 || base < 0 || limit > Number.MAX_SAFE_INTEGER) {
      throw new RangeError(`${name}: ${size} bytes at ${hex(base)} do not fit`);
    }
    const other = this.#regions.find((one) => base < one.base + one.size && one.base < limit);
    if (other) throw new RangeError(`${name} at ${hex(base)} overlaps ${other.name}`);
    this.#regions = [...this.#regions, region].toSorted((a, b) => a.base - b.base);
    this.#last = undefined;
  }

  /** Removes the region that starts there; false when none does. */
  remove(base: number): boolean {
    const rest = this.#regions.filter((region) => region.base !== base);
    const done = rest.length < this.#regions.length;
    this.#regions = rest;
    this.#last = undefined;
    return done;
  }

  /** Who answers to an address. */
  find(address: number): BusRegion | undefined {
    const last = this.#last;
    if (last !== undefined && address >= last.base && address < last.base + last.size) return last;
    let low = 0;
    let high = this.#regions.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((this.#regions[mid]?.base ?? Infinity) <= address) low = mid + 1;
      else high = mid;
    }
    const region = this.#regions[low - 1];
    if (region === undefined || address >= region.base + region.size) return undefined;
    this.#last = region;
    return region;
  }

  /** A load of 1, 2 or 4 bytes; ones where nobody answers. */
  read(address: number, size: number): number {
    const region = this.find(address);
    if (region !== undefined) return region.read(address - region.base, size) >>> 0;
    this.unclaimed++;
    return ones(size);
  }

  /** A store of 1, 2 or 4 bytes; lost where nobody answers. */
  write(address: number, size: number, value: number): void {
    const region = this.find(address);
    if (region === undefined) this.unclaimed++;
    else region.write(address - region.base, size, value >>> 0);
  }
}
