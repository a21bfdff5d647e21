import { overlaps, showRange, type Range } from '../bytes/index.ts';
import { HALF, hiOf, loOf } from './address.ts';
import { ACCESS_WRITE, carryOf, ResolvedSpace, type HostWindow } from './space.ts';

/** A run of guest-physical addresses that is backed by host memory. */
export interface GuestWindow {
  /** First guest-physical address. */
  readonly gpa: bigint;
  /** The backing bytes: a buffer, a view into WebAssembly.Memory, a mapped file. Never copied. */
  readonly bytes: Uint8Array;
  /** False for what a guest may only read, such as flash; default true. */
  readonly writable?: boolean;
}

interface Window extends HostWindow {
  readonly range: Range;
  readonly hi: number;
  readonly lo: number;
  readonly size: number;
  readonly writable: boolean;
}

/**
 * Guest-physical memory: windows that may come and go while the guest runs.
 *
 * It is itself a {@link DmaSpace} with guest-physical addresses, for CPUs, loaders and devices that
 * no IOMMU stands before.
 */
export class GuestMemory extends ResolvedSpace {
  #epoch = 0;
  #windows: Window[] = [];
  #last: Window | undefined;

  constructor(windows: readonly GuestWindow[] = []) {
    super();
    for (const window of windows) this.addWindow(window);
  }

  /** Counts the changes of the set of windows. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Makes everybody resolve again what was resolved before, as after a change. */
  forget(): void {
    this.#changed();
  }

  /**
   * Adds a window.
   *
   * @throws RangeError when it is empty, passes 2^64 - 1 or overlaps another: our own mistake, or
   * the VMM's
   */
  addWindow({ gpa, bytes, writable = true }: GuestWindow): void {
    const range = { start: gpa, end: gpa + BigInt(bytes.length) - 1n };
    if (gpa < 0n || bytes.length === 0 || range.end >= 1n << 64n) {
      throw new RangeError(`memory window at ${gpa}: ${bytes.length} bytes do not fit`);
    }
    const other = this.#windows.find((window) => overlaps(window.range, range));
    if (other) {
      throw new RangeError(`memory ${showRange(range)} overlaps ${showRange(other.range)}`);
    }
    const { buffer, byteOffset, byteLength } = bytes;
    this.#windows.push({
      bytes,
      data: new DataView(buffer, byteOffset, byteLength),
      words: orderedWords(bytes),
      range,
      hi: hiOf(gpa),
      lo: loOf(gpa),
      size: byteLength,
      writable,
    });
    this.#windows.sort((a, b) => (a.range.start < b.range.start ? -1 : 1));
    this.#changed();
  }

  /** Removes the window that starts there; false when none does. */
  removeWindow(gpa: bigint): boolean {
    const index = this.#windows.findIndex((window) => window.range.start === gpa);
    if (index < 0) return false;
    this.#windows.splice(index, 1);
    this.#changed();
    return true;
  }

  /** Replaces all windows at once, as one change. */
  setWindows(windows: readonly GuestWindow[]): void {
    this.#windows = [];
    this.#changed();
    for (const window of windows) this.addWindow(window);
  }

  /** The windows, ascending. */
  windows(): GuestWindow[] {
    return this.#windows.map(({ range, bytes, writable }) => ({
      gpa: range.start,
      bytes,
      writable,
    }));
  }

  resolve(hi: number, lo: number, length: number, access: number): boolean {
    let window = this.#last;
    // Beyond 2^53 the difference is rounded, but no window is that large: the answer stays right.
    let offset = window === undefined ? -1 : (hi - window.hi) * HALF + (lo - window.lo);
    if (window === undefined || offset < 0 || offset >= window.size) {
      window = this.#find(hi, lo);
      if (window === undefined) return this.#fail(hi, lo, access);
      this.#last = window;
      offset = (hi - window.hi) * HALF + (lo - window.lo);
    }
    if ((access & ACCESS_WRITE) !== 0 && !window.writable) return this.#fail(hi, lo, access);
    const room = window.size - offset;
    this.piece = window;
    this.pieceAt = offset;
    this.pieceLength = length < room ? length : room;
    return true;
  }

  /** After a successful `resolve`: bytes from the piece to the end of its window. */
  get roomAfter(): number {
    return this.piece.bytes.length - this.pieceAt;
  }

  /** After a successful `resolve`: whether its window may be written. */
  get isWritable(): boolean {
    return this.#last?.writable ?? false;
  }

  #find(hi: number, lo: number): Window | undefined {
    let low = 0;
    let high = this.#windows.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      const window = this.#windows[mid] as Window;
      if ((hi - window.hi) * HALF + (lo - window.lo) >= 0) low = mid + 1;
      else high = mid;
    }
    const window = this.#windows[low - 1];
    if (window === undefined) return undefined;
    return (hi - window.hi) * HALF + (lo - window.lo) < window.size ? window : undefined;
  }

  #fail(hi: number, lo: number, access: number): false {
    const carry = carryOf(lo);
    return this.failAt(hi + carry, lo - carry * HALF, access);
  }

  #changed(): void {
    this.#epoch++;
    this.#last = undefined;
  }
}

const LITTLE_HOST = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** The bytes as 16-bit words for Atomics, where order and alignment of the host are the guest's. */
function orderedWords(bytes: Uint8Array): Uint16Array | undefined {
  if (!LITTLE_HOST || bytes.byteOffset % 2 !== 0 || bytes.length < 2) return undefined;
  return new Uint16Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / 2));
}
