import type { Range } from '../../bytes/index.ts';
import { cut } from '../ram.ts';

/** Where PCI devices get their IOVAs first: below 4 GiB (drivers/iommu/dma-iommu.c). */
const LOW_LIMIT = 1n << 32n;

/**
 * IOVAs of a domain, handed out downwards from 4 GiB, then from the end of the aperture; ranges that
 * were given back are used first, by size. Not the tree that Linux has, but the same order.
 */
export class IovaAllocator {
  readonly granule: bigint;
  /** Free stretches in the order they are used, each from its end downwards. */
  #free: { start: bigint; end: bigint }[];
  readonly #released = new Map<bigint, bigint[]>();

  /** @param reserved never handed out; rounded outwards to the granule */
  constructor(aperture: Range, granule: bigint, reserved: readonly Range[]) {
    this.granule = granule;
    // IOVA 0 is never used: drivers take it for an error.
    const first: Range = { start: 0n, end: granule - 1n };
    const holes = [first, ...reserved].map(({ start, end }) => ({
      start: (start / granule) * granule,
      end: (end / granule) * granule + granule - 1n,
    }));
    const split = (range: Range): Range[] => cut(range, holes).toReversed();
    const low = { start: aperture.start, end: min(aperture.end, LOW_LIMIT - 1n) };
    const high = { start: max(aperture.start, LOW_LIMIT), end: aperture.end };
    this.#free = [low, high]
      .filter(({ start, end }) => start <= end)
      .flatMap((range) => split(range).toSorted((a, b) => (a.start < b.start ? 1 : -1)))
      .map((range) => ({ ...range }));
  }

  /** The first IOVA of a free range of that many bytes (rounded up); undefined: none is left. */
  take(bytes: bigint): bigint | undefined {
    const size = this.rounded(bytes);
    const again = this.#released.get(size)?.pop();
    if (again !== undefined) return again;
    for (const range of this.#free) {
      const start = ((range.end + 1n - size) / this.granule) * this.granule;
      if (range.end + 1n < size || start < range.start) continue;
      range.end = start - 1n;
      return start;
    }
    return undefined;
  }

  /** Never hands out the range from now on; what was handed out stays. */
  exclude(range: Range): void {
    const { granule } = this;
    const hole = {
      start: (range.start / granule) * granule,
      end: (range.end / granule) * granule + granule - 1n,
    };
    this.#free = this.#free.flatMap((free) =>
      cut(free, [hole])
        .toReversed()
        .map((rest) => ({ ...rest })),
    );
  }

  give(start: bigint, bytes: bigint): void {
    const size = this.rounded(bytes);
    const list = this.#released.get(size) ?? [];
    list.push(start);
    this.#released.set(size, list);
  }

  rounded(bytes: bigint): bigint {
    return ((bytes + this.granule - 1n) / this.granule) * this.granule;
  }
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
