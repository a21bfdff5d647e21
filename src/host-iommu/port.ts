import { intersection, type Range } from '../bytes/index.ts';
import type { GuestMemory, GuestWindow } from '../memory/index.ts';
import {
  HOST_READ,
  HOST_WRITE,
  type HostContainer,
  type HostErrno,
  type HostMapping,
  type HostReserved,
  type HostResult,
} from './container.ts';

/** What a port answers; the names are the vIOMMU's. */
export type PortOutcome =
  'ok' | 'no-memory' | 'out-of-range' | 'invalid' | 'busy' | 'io-error' | 'lost';

const OUTCOMES: Readonly<Record<HostErrno, PortOutcome>> = {
  EINVAL: 'out-of-range',
  EEXIST: 'invalid',
  ENOSPC: 'no-memory',
  ENOMEM: 'no-memory',
  EBUSY: 'busy',
  EIO: 'io-error',
};

/** Bit of a mapping's flags that says device memory (VIRTIO_IOMMU_MAP_F_MMIO). */
const MMIO = 4;

/** Where the simulated process has guest memory: GPA 0. */
export const HOST_BASE = 0x7f00_0000_0000n;

/** A stretch of one memory window. */
interface Piece {
  readonly gpa: Range;
  readonly writable: boolean;
}

/**
 * What stands between a vIOMMU and a host container: guest-physical ranges become host virtual
 * ones, window by window. A MAP over several windows takes several calls; when one fails, those
 * before are taken back.
 */
export class HostPort {
  readonly container: HostContainer;
  readonly #memory: GuestMemory;

  constructor(container: HostContainer, memory: GuestMemory) {
    this.container = container;
    this.#memory = memory;
  }

  get pageSizeMask(): bigint {
    return this.container.pageSizeMask;
  }

  get aperture(): readonly Range[] {
    return this.container.aperture;
  }

  get reserved(): readonly HostReserved[] {
    return this.container.reserved;
  }

  map(iova: Range, physical: bigint, flags: number): PortOutcome {
    const access = flags & (HOST_READ | HOST_WRITE);
    // What cannot be accessed need not be mapped; and device memory of others cannot be.
    if (access === 0 || (flags & MMIO) !== 0) return 'ok';
    const wanted = { start: physical, end: physical + (iova.end - iova.start) };
    const pieces = piecesOf(this.#memory.windows(), wanted);
    if (pieces === undefined) return 'out-of-range';
    return this.#mapAll(
      pieces.map(({ gpa, writable }) => ({
        iova: {
          start: iova.start + (gpa.start - physical),
          end: iova.start + (gpa.end - physical),
        },
        vaddr: HOST_BASE + gpa.start,
        access: writable ? access : access & HOST_READ,
      })),
    );
  }

  unmap(iova: Range): PortOutcome {
    return outcomeOf(this.container.unmap(iova));
  }

  unmapAll(): PortOutcome {
    return outcomeOf(this.container.unmapAll());
  }

  mapIdentity(): PortOutcome {
    return this.#mapAll(
      this.#memory.windows().map((window) => {
        const iova = rangeOf(window);
        const access = window.writable === false ? HOST_READ : HOST_READ | HOST_WRITE;
        return { iova, vaddr: HOST_BASE + iova.start, access };
      }),
    );
  }

  #mapAll(mappings: readonly HostMapping[]): PortOutcome {
    for (const [done, mapping] of mappings.entries()) {
      const failure = mapping.access === 0 ? undefined : this.container.map(mapping);
      if (failure === undefined) continue;
      for (const earlier of mappings.slice(0, done)) {
        // A container that keeps what it was told to drop is in no known state.
        if (this.container.unmap(earlier.iova) !== undefined) return 'lost';
      }
      return outcomeOf(failure);
    }
    return 'ok';
  }
}

function outcomeOf(result: HostResult): PortOutcome {
  return result === undefined ? 'ok' : OUTCOMES[result];
}

function rangeOf({ gpa, bytes }: GuestWindow): Range {
  return { start: gpa, end: gpa + BigInt(bytes.length) - 1n };
}

/** The range, cut at the borders of windows; undefined when a part of it is no memory. */
function piecesOf(windows: readonly GuestWindow[], range: Range): Piece[] | undefined {
  const pieces: Piece[] = [];
  let next = range.start;
  for (const window of windows) {
    const gpa = intersection(rangeOf(window), range);
    if (gpa === undefined) continue;
    if (gpa.start !== next) return undefined;
    pieces.push({ gpa, writable: window.writable !== false });
    next = gpa.end + 1n;
  }
  return next === range.end + 1n ? pieces : undefined;
}
