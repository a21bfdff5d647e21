import { addressOf, HALF } from './address.ts';

/** Kinds of access, as bits; the same numbers as VIRTIO_IOMMU_MAP_F_READ and _WRITE. */
export const ACCESS_READ = 1;
export const ACCESS_WRITE = 2;

/** What a typed read answers when the address cannot be read: no u8, u16 or u32 is negative. */
export const DMA_FAILED = -1;

/** A stretch of host memory that guest addresses lead to. */
export interface HostWindow {
  readonly bytes: Uint8Array;
  /** The same bytes. */
  readonly data: DataView;
  /** The same bytes in pairs, where the host allows ordered access to them; else undefined. */
  readonly words: Uint16Array | undefined;
}

/** Where an access stopped. */
export interface DmaFault {
  /** First address that could not be accessed. */
  readonly address: bigint;
  readonly access: number;
}

/**
 * Memory as a device (or a guest's CPU) sees it.
 *
 * An address is `(hi, lo)`, two unsigned 32-bit halves; `lo` may be larger, up to 2^52, and then
 * carries into `hi`, so `(hi, lo + offset)` needs no care. Nothing here throws on an address: a typed
 * read answers {@link DMA_FAILED}, a typed write false, a copy the number of bytes done before the
 * first address that failed, which `fault()` then names. All values are little-endian.
 */
export interface DmaSpace {
  /** Grows whenever a piece given by `resolve` may no longer be used. */
  readonly epoch: number;

  /** Host memory of the piece that the last successful `resolve` found. */
  readonly piece: HostWindow;
  /** Offset of the piece in `piece.bytes`. */
  readonly pieceAt: number;
  /** Its length in bytes: at least 1, at most the length asked for. */
  readonly pieceLength: number;

  /**
   * Finds the first contiguous piece of `[address, address + length)`. Callers loop over the rest.
   * A piece is good until `epoch` changes or the caller returns to the event loop: an endpoint that
   * finishes later copies, and resolves again when it is done, so that UNMAP is final.
   *
   * @param length at least 1
   */
  resolve(hi: number, lo: number, length: number, access: number): boolean;

  readU8(hi: number, lo: number): number;
  readU16(hi: number, lo: number): number;
  readU32(hi: number, lo: number): number;
  /** On true the halves are in `valueHi` and `valueLo`. */
  readU64(hi: number, lo: number): boolean;
  readonly valueHi: number;
  readonly valueLo: number;

  writeU8(hi: number, lo: number, value: number): boolean;
  writeU16(hi: number, lo: number, value: number): boolean;
  /** May also ring an MSI doorbell, which is no memory. */
  writeU32(hi: number, lo: number, value: number): boolean;
  writeU64(hi: number, lo: number, valueHi: number, valueLo: number): boolean;

  /** As `readU16`, ordered before every later access: ring indexes, flags. */
  loadU16(hi: number, lo: number): number;
  /** As `writeU16`, ordered after every earlier access. */
  storeU16(hi: number, lo: number, value: number): boolean;

  /** Copies into `into[at .. at + length)`; answers how many bytes were done. */
  read(hi: number, lo: number, into: Uint8Array, at?: number, length?: number): number;
  /** Copies from `from[at .. at + length)`; answers how many bytes were done. */
  write(hi: number, lo: number, from: Uint8Array, at?: number, length?: number): number;
  /** Writes `length` times the byte; answers how many were done. */
  fill(hi: number, lo: number, length: number, byte: number): number;

  /** Where the last access that failed stopped. */
  fault(): DmaFault;
}

const NO_BYTES = new Uint8Array(0);
const NOTHING: HostWindow = {
  bytes: NO_BYTES,
  data: new DataView(NO_BYTES.buffer),
  words: undefined,
};

/** Everything of a {@link DmaSpace} that follows from `resolve`. */
export abstract class ResolvedSpace implements DmaSpace {
  piece: HostWindow = NOTHING;
  pieceAt = 0;
  pieceLength = 0;
  valueHi = 0;
  valueLo = 0;
  #faultHi = 0;
  #faultLo = 0;
  #faultAccess = 0;

  abstract get epoch(): number;
  abstract resolve(hi: number, lo: number, length: number, access: number): boolean;

  readU8(hi: number, lo: number): number {
    if (!this.resolve(hi, lo, 1, ACCESS_READ)) return DMA_FAILED;
    return this.piece.data.getUint8(this.pieceAt);
  }

  readU16(hi: number, lo: number): number {
    if (!this.resolve(hi, lo, 2, ACCESS_READ)) return DMA_FAILED;
    if (this.pieceLength >= 2) return this.piece.data.getUint16(this.pieceAt, true);
    const low = this.piece.data.getUint8(this.pieceAt);
    const high = this.readU8(hi, lo + 1);
    return high < 0 ? DMA_FAILED : high * 0x100 + low;
  }

  readU32(hi: number, lo: number): number {
    if (!this.resolve(hi, lo, 4, ACCESS_READ)) return DMA_FAILED;
    if (this.pieceLength >= 4) return this.piece.data.getUint32(this.pieceAt, true);
    const low = this.readU16(hi, lo);
    const high = low < 0 ? DMA_FAILED : this.readU16(hi, lo + 2);
    return high < 0 ? DMA_FAILED : high * 0x1_0000 + low;
  }

  readU64(hi: number, lo: number): boolean {
    if (!this.resolve(hi, lo, 8, ACCESS_READ)) return false;
    if (this.pieceLength >= 8) {
      this.valueLo = this.piece.data.getUint32(this.pieceAt, true);
      this.valueHi = this.piece.data.getUint32(this.pieceAt + 4, true);
      return true;
    }
    const low = this.readU32(hi, lo);
    if (low < 0) return false;
    const high = this.readU32(hi, lo + 4);
    if (high < 0) return false;
    this.valueHi = high;
    this.valueLo = low;
    return true;
  }

  writeU8(hi: number, lo: number, value: number): boolean {
    if (!this.resolve(hi, lo, 1, ACCESS_WRITE)) return false;
    this.piece.data.setUint8(this.pieceAt, value);
    return true;
  }

  writeU16(hi: number, lo: number, value: number): boolean {
    if (!this.resolve(hi, lo, 2, ACCESS_WRITE)) return false;
    if (this.pieceLength < 2) {
      return this.writeU8(hi, lo, value) && this.writeU8(hi, lo + 1, value >>> 8);
    }
    this.piece.data.setUint16(this.pieceAt, value, true);
    return true;
  }

  writeU32(hi: number, lo: number, value: number): boolean {
    return this.resolve(hi, lo, 4, ACCESS_WRITE) && this.writeResolvedU32(hi, lo, value);
  }

  /** The second half of `writeU32`, once `resolve` found the start. */
  protected writeResolvedU32(hi: number, lo: number, value: number): boolean {
    if (this.pieceLength < 4) {
      return this.writeU16(hi, lo, value) && this.writeU16(hi, lo + 2, value >>> 16);
    }
    this.piece.data.setUint32(this.pieceAt, value, true);
    return true;
  }

  writeU64(hi: number, lo: number, valueHi: number, valueLo: number): boolean {
    if (!this.resolve(hi, lo, 8, ACCESS_WRITE)) return false;
    if (this.pieceLength < 8) {
      return this.writeU32(hi, lo, valueLo) && this.writeU32(hi, lo + 4, valueHi);
    }
    this.piece.data.setUint32(this.pieceAt, valueLo, true);
    this.piece.data.setUint32(this.pieceAt + 4, valueHi, true);
    return true;
  }

  loadU16(hi: number, lo: number): number {
    if (!this.resolve(hi, lo, 2, ACCESS_READ)) return DMA_FAILED;
    const { words } = this.piece;
    if (words === undefined || this.pieceLength < 2 || this.pieceAt % 2 !== 0) {
      return this.readU16(hi, lo);
    }
    return Atomics.load(words, this.pieceAt / 2);
  }

  storeU16(hi: number, lo: number, value: number): boolean {
    if (!this.resolve(hi, lo, 2, ACCESS_WRITE)) return false;
    const { words } = this.piece;
    if (words === undefined || this.pieceLength < 2 || this.pieceAt % 2 !== 0) {
      return this.writeU16(hi, lo, value);
    }
    Atomics.store(words, this.pieceAt / 2, value);
    return true;
  }

  read(hi: number, lo: number, into: Uint8Array, at = 0, length = into.length - at): number {
    let done = 0;
    while (done < length && this.resolve(hi, lo + done, length - done, ACCESS_READ)) {
      copy(this.piece.bytes, this.pieceAt, into, at + done, this.pieceLength);
      done += this.pieceLength;
    }
    return done;
  }

  write(hi: number, lo: number, from: Uint8Array, at = 0, length = from.length - at): number {
    let done = 0;
    while (done < length && this.resolve(hi, lo + done, length - done, ACCESS_WRITE)) {
      copy(from, at + done, this.piece.bytes, this.pieceAt, this.pieceLength);
      done += this.pieceLength;
    }
    return done;
  }

  fill(hi: number, lo: number, length: number, byte: number): number {
    let done = 0;
    while (done < length && this.resolve(hi, lo + done, length - done, ACCESS_WRITE)) {
      this.piece.bytes.fill(byte, this.pieceAt, this.pieceAt + this.pieceLength);
      done += this.pieceLength;
    }
    return done;
  }

  fault(): DmaFault {
    return { address: addressOf(this.#faultHi, this.#faultLo), access: this.#faultAccess };
  }

  /** Remembers where an access failed; false, for the caller to return. */
  protected failAt(hi: number, lo: number, access: number): false {
    this.#faultHi = hi;
    this.#faultLo = lo;
    this.#faultAccess = access;
    return false;
  }
}

/** Below this many bytes a loop beats the making of a subarray. */
const LOOP_LIMIT = 48;

function copy(from: Uint8Array, at: number, into: Uint8Array, to: number, length: number): void {
  if (length > LOOP_LIMIT) into.set(from.subarray(at, at + length), to);
  else for (let i = 0; i < length; i++) into[to + i] = from[at + i] as number;
}

/**
 * All pieces of a range, as views of host memory that must not outlive the space's epoch;
 * undefined when some address of it cannot be accessed (`space.fault()` says which).
 */
export function piecesOf(
  space: DmaSpace,
  hi: number,
  lo: number,
  length: number,
  access: number,
): Uint8Array[] | undefined {
  const pieces: Uint8Array[] = [];
  for (let done = 0; done < length; done += space.pieceLength) {
    if (!space.resolve(hi, lo + done, length - done, access)) return undefined;
    const at = space.pieceAt;
    pieces.push(space.piece.bytes.subarray(at, at + space.pieceLength));
  }
  return pieces;
}

/** How many times 2^32 `lo` holds; 0 nearly always. */
export function carryOf(lo: number): number {
  return lo < HALF ? 0 : Math.floor(lo / HALF);
}
