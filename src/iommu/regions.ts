import { overlaps, showRange, type Range } from '../bytes/index.ts';
import {
  VIRTIO_IOMMU_RESV_MEM_T_MSI,
  VIRTIO_IOMMU_RESV_MEM_T_RESERVED,
} from '../spec/virtio-iommu.ts';
import { LAST_ADDRESS, less, lower, upper } from './wide.ts';

/** IOVAs of an endpoint that no MAP may use (VIRTIO 1.3, PROBE / RESV_MEM property). */
export interface ReservedRegion {
  readonly range: Range;
  /** `msi`: the doorbell window, where writes are interrupts. */
  readonly type: 'reserved' | 'msi';
}

export const SUBTYPE = {
  reserved: VIRTIO_IOMMU_RESV_MEM_T_RESERVED,
  msi: VIRTIO_IOMMU_RESV_MEM_T_MSI,
} as const;

const WORDS = 4;

/** The reserved regions of an endpoint, ascending and disjoint, with lookups that allocate nothing. */
export class RegionSet {
  readonly list: readonly ReservedRegion[];
  readonly #bounds: Uint32Array;

  /** @throws RangeError when two overlap, one is empty, or there are two MSI windows */
  constructor(regions: readonly ReservedRegion[] = []) {
    this.list = regions.toSorted((a, b) => (a.range.start < b.range.start ? -1 : 1));
    for (const [i, { range }] of this.list.entries()) {
      if (range.start < 0n || range.start > range.end || range.end > LAST_ADDRESS) {
        throw new RangeError(`reserved region ${showRange(range)} is no range`);
      }
      const next = this.list[i + 1];
      if (next && overlaps(range, next.range)) {
        throw new RangeError(
          `reserved regions ${showRange(range)} and ${showRange(next.range)} overlap`,
        );
      }
    }
    if (this.list.filter(({ type }) => type === 'msi').length > 1) {
      throw new RangeError('an endpoint has at most one MSI region');
    }
    this.#bounds = Uint32Array.from(
      this.list.flatMap(({ range: { start, end } }) => [
        upper(start),
        lower(start),
        upper(end),
        lower(end),
      ]),
    );
  }

  get size(): number {
    return this.list.length;
  }

  /** Index of the first region whose end is at or after the address; `size` when none is. */
  after(hi: number, lo: number): number {
    const bounds = this.#bounds;
    let low = 0;
    let high = this.list.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      const at = mid * WORDS;
      if (less(bounds[at + 2] as number, bounds[at + 3] as number, hi, lo)) low = mid + 1;
      else high = mid;
    }
    return low;
  }

  startHi(index: number): number {
    return this.#bounds[index * WORDS] as number;
  }

  startLo(index: number): number {
    return this.#bounds[index * WORDS + 1] as number;
  }

  endHi(index: number): number {
    return this.#bounds[index * WORDS + 2] as number;
  }

  endLo(index: number): number {
    return this.#bounds[index * WORDS + 3] as number;
  }

  isMsi(index: number): boolean {
    return this.list[index]?.type === 'msi';
  }

  /** Whether region `index` contains the address; false past the last. */
  contains(index: number, hi: number, lo: number): boolean {
    return index < this.list.length && !less(hi, lo, this.startHi(index), this.startLo(index));
  }

  /** Whether any region has an address of the range. */
  meets(startHi: number, startLo: number, endHi: number, endLo: number): boolean {
    const index = this.after(startHi, startLo);
    return (
      index < this.list.length && !less(endHi, endLo, this.startHi(index), this.startLo(index))
    );
  }
}

/**
 * The endpoint's own regions with those of its host (the pIOMMU's windows, and holes of its
 * aperture) around them: the host's are cut where they meet the own ones, and joined where they
 * touch each other. A host's MSI window is as unusable as any other region, but only one may be
 * called MSI, and the own one wins.
 */
export function mergeRegions(
  own: readonly ReservedRegion[],
  host: readonly ReservedRegion[],
): ReservedRegion[] {
  const merged: ReservedRegion[] = [...own];
  let hasMsi = own.some(({ type }) => type === 'msi');
  for (const region of host) {
    const type = region.type === 'msi' && !hasMsi ? 'msi' : 'reserved';
    const parts = without(region.range, merged);
    // Cut in two, an MSI window would be two; the parts are then plain reserved regions.
    const kind = parts.length === 1 ? type : 'reserved';
    hasMsi ||= kind === 'msi';
    merged.push(...parts.map((range): ReservedRegion => ({ range, type: kind })));
  }
  return merged;
}

function without(range: Range, taken: readonly ReservedRegion[]): Range[] {
  let parts: Range[] = [range];
  for (const { range: cut } of taken) {
    parts = parts.flatMap((part) => {
      if (!overlaps(part, cut)) return [part];
      const rest: Range[] = [];
      if (part.start < cut.start) rest.push({ start: part.start, end: cut.start - 1n });
      if (part.end > cut.end) rest.push({ start: cut.end + 1n, end: part.end });
      return rest;
    });
  }
  return parts;
}

/** What lies between and around the usable ranges of a host's aperture. */
export function holesOf(aperture: readonly Range[]): ReservedRegion[] {
  const holes: ReservedRegion[] = [];
  let next = 0n;
  for (const { start, end } of aperture.toSorted((a, b) => (a.start < b.start ? -1 : 1))) {
    if (start > next) holes.push({ range: { start: next, end: start - 1n }, type: 'reserved' });
    if (end + 1n > next) next = end + 1n;
  }
  if (next <= LAST_ADDRESS) {
    holes.push({ range: { start: next, end: LAST_ADDRESS }, type: 'reserved' });
  }
  return holes;
}
