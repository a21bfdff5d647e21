import { contains, covers, hex, overlaps, type Range } from '../bytes/index.ts';

/** Access rights of a host mapping, bits as VFIO_DMA_MAP_FLAG_READ and _WRITE. */
export const HOST_READ = 1;
export const HOST_WRITE = 2;

/** The errno of a call that failed, as Linux' VFIO type 1 driver gives it. */
export type HostErrno = 'EINVAL' | 'EEXIST' | 'ENOSPC' | 'ENOMEM' | 'EBUSY' | 'EIO';

/** `undefined`: done. */
export type HostResult = HostErrno | undefined;

export interface ContainerOptions {
  /** Bit n: pages of 2^n bytes. Default 4 KiB, 2 MiB, 1 GiB. */
  readonly pageSizeMask?: bigint;
  /** IOVAs the hardware can translate. Default: 48 bits. */
  readonly aperture?: readonly Range[];
  /** Host windows no mapping may touch, such as its own MSI doorbell. */
  readonly reserved?: readonly HostReserved[];
  /** Mappings at once; Linux' `dma_entry_limit`, 65535 by default. */
  readonly mappings?: number;
}

export interface HostReserved {
  readonly range: Range;
  readonly type: 'reserved' | 'msi';
}

export interface HostMapping {
  readonly iova: Range;
  /** Host virtual address of the first byte. */
  readonly vaddr: bigint;
  /** HOST_READ | HOST_WRITE. */
  readonly access: number;
}

export type HostCall = 'map' | 'unmap' | 'unmap-all';

/** A call that was made, and how it ended. */
export interface HostCallMade {
  readonly call: HostCall;
  /** Absent for `unmap-all`. */
  readonly iova?: Range;
  /** Of a `map`. */
  readonly mapping?: HostMapping;
  readonly result: HostResult;
}

interface Injected {
  readonly call: HostCall;
  readonly errno: HostErrno;
  /** Calls of that kind that still succeed before. */
  after: number;
  /** Calls that fail then. */
  times: number;
}

/**
 * A simulated container of Linux' VFIO type 1 driver, version 2: mappings are disjoint, an unmap
 * takes whole mappings only, and a call that fails has done nothing.
 */
export class HostContainer {
  readonly pageSizeMask: bigint;
  readonly aperture: readonly Range[];
  readonly reserved: readonly HostReserved[];
  /** Grows with each mapping that goes. */
  epoch = 1;
  /** Calls made, by kind. */
  readonly calls: Record<HostCall, number> = { map: 0, unmap: 0, 'unmap-all': 0 };
  /** Told of each call when it is over. */
  onCall: ((made: HostCallMade) => void) | undefined;

  readonly #limit: number;
  readonly #granule: bigint;
  /** Ascending by IOVA. */
  #mappings: HostMapping[] = [];
  #injected: Injected[] = [];

  constructor(options: ContainerOptions = {}) {
    this.pageSizeMask = options.pageSizeMask ?? 0x4020_1000n;
    this.aperture = options.aperture ?? [{ start: 0n, end: (1n << 48n) - 1n }];
    this.reserved = options.reserved ?? [];
    this.#limit = options.mappings ?? 65_535;
    this.#granule = this.pageSizeMask & -this.pageSizeMask;
    if (this.pageSizeMask <= 0n) throw new RangeError(`page sizes ${hex(this.pageSizeMask)}`);
  }

  /** Number of mappings. */
  get size(): number {
    return this.#mappings.length;
  }

  /** The mappings, ascending. */
  list(): readonly HostMapping[] {
    return this.#mappings;
  }

  /** VFIO_IOMMU_MAP_DMA. */
  map(mapping: HostMapping): HostResult {
    const result = this.#map(mapping);
    this.onCall?.({ call: 'map', iova: mapping.iova, mapping, result });
    return result;
  }

  #map(mapping: HostMapping): HostResult {
    const failure = this.#fails('map');
    if (failure !== undefined) return failure;
    const { iova, vaddr, access } = mapping;
    if ((access & (HOST_READ | HOST_WRITE)) === 0 || !this.#isAligned(iova, vaddr)) return 'EINVAL';
    const inside = this.aperture.some((range) => covers(range, iova));
    if (!inside || this.reserved.some(({ range }) => overlaps(range, iova))) return 'EINVAL';
    const index = this.#indexOf(iova.start);
    const before = this.#mappings[index - 1];
    const after = this.#mappings[index];
    if (before && overlaps(before.iova, iova)) return 'EEXIST';
    if (after && overlaps(after.iova, iova)) return 'EEXIST';
    if (this.size >= this.#limit) return 'ENOSPC';
    this.#mappings.splice(index, 0, mapping);
    return undefined;
  }

  /** VFIO_IOMMU_UNMAP_DMA: nothing there is no error, a mapping cut in two is. */
  unmap(iova: Range): HostResult {
    const result = this.#unmap(iova);
    this.onCall?.({ call: 'unmap', iova, result });
    return result;
  }

  #unmap(iova: Range): HostResult {
    const failure = this.#fails('unmap');
    if (failure !== undefined) return failure;
    if (!this.#isAligned(iova, 0n)) return 'EINVAL';
    let from = this.#indexOf(iova.start);
    const before = this.#mappings[from - 1];
    if (before && overlaps(before.iova, iova)) from--;
    let to = from;
    while (overlapsAt(this.#mappings, to, iova)) to++;
    const gone = this.#mappings.slice(from, to);
    if (gone.some((mapping) => !covers(iova, mapping.iova))) return 'EINVAL';
    if (gone.length === 0) return undefined;
    this.#mappings.splice(from, to - from);
    this.epoch++;
    return undefined;
  }

  /** VFIO_IOMMU_UNMAP_DMA with VFIO_DMA_UNMAP_FLAG_ALL. */
  unmapAll(): HostResult {
    const result = this.#fails('unmap-all');
    if (result === undefined) {
      this.#mappings = [];
      this.epoch++;
    }
    this.onCall?.({ call: 'unmap-all', result });
    return result;
  }

  /** The mapping that has the address. */
  find(iova: bigint): HostMapping | undefined {
    const exact = this.#mappings[this.#indexOf(iova)];
    if (exact && contains(exact.iova, iova)) return exact;
    const before = this.#mappings[this.#indexOf(iova) - 1];
    return before && contains(before.iova, iova) ? before : undefined;
  }

  /** Lets calls fail: `times` of them, once `after` more have succeeded. */
  inject(call: HostCall, errno: HostErrno, after = 0, times = 1): void {
    this.#injected.push({ call, errno, after, times });
  }

  /** Ends all injected failures. */
  heal(): void {
    this.#injected = [];
  }

  #fails(call: HostCall): HostResult {
    this.calls[call]++;
    const injected = this.#injected.find((entry) => entry.call === call);
    if (injected === undefined) return undefined;
    if (injected.after-- > 0) return undefined;
    if (--injected.times === 0) this.#injected = this.#injected.filter((e) => e !== injected);
    return injected.errno;
  }

  #isAligned(iova: Range, vaddr: bigint): boolean {
    return (
      iova.start <= iova.end &&
      ((iova.start | vaddr | (iova.end + 1n)) & (this.#granule - 1n)) === 0n
    );
  }

  /** Index of the first mapping that starts at or after the address. */
  #indexOf(iova: bigint): number {
    let low = 0;
    let high = this.#mappings.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      const mapping = this.#mappings[mid];
      if (mapping && mapping.iova.start < iova) low = mid + 1;
      else high = mid;
    }
    return low;
  }
}

function overlapsAt(mappings: readonly HostMapping[], index: number, iova: Range): boolean {
  const mapping = mappings[index];
  return mapping !== undefined && overlaps(mapping.iova, iova);
}
