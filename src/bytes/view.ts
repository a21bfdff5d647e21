import { FormatError } from './errors.ts';

/** Byte order of multi-byte fields: little- or big-endian. */
export type Endian = 'le' | 'be';

/**
 * Bounds-checked, read-only look at a byte string in one byte order.
 *
 * Offsets are bytes from the start of the string. A read past its end throws a
 * {@link FormatError} with code `<format>/truncated`; nothing else is thrown.
 */
export class ByteView {
  readonly bytes: Uint8Array;
  readonly endian: Endian;
  readonly format: string;
  readonly #data: DataView;

  constructor(bytes: Uint8Array, endian: Endian, format: string) {
    this.bytes = bytes;
    this.endian = endian;
    this.format = format;
    this.#data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.bytes.length;
  }

  /** Throws unless `[offset, offset + size)` lies inside the string. */
  need(offset: number, size: number, what: string): void {
    if (!Number.isSafeInteger(offset) || offset < 0 || size < 0 || offset + size > this.length) {
      throw new FormatError(
        `${this.format}/truncated`,
        Math.min(Math.max(0, offset), this.length),
        `${what}: ${size} bytes needed, the input has ${this.length}`,
      );
    }
  }

  u8(offset: number, what = 'u8'): number {
    this.need(offset, 1, what);
    return this.#data.getUint8(offset);
  }

  u16(offset: number, what = 'u16'): number {
    this.need(offset, 2, what);
    return this.#data.getUint16(offset, this.endian === 'le');
  }

  u32(offset: number, what = 'u32'): number {
    this.need(offset, 4, what);
    return this.#data.getUint32(offset, this.endian === 'le');
  }

  u64(offset: number, what = 'u64'): bigint {
    this.need(offset, 8, what);
    return this.#data.getBigUint64(offset, this.endian === 'le');
  }

  /** A view (not a copy) of `size` bytes. */
  slice(offset: number, size: number, what = 'bytes'): Uint8Array {
    this.need(offset, size, what);
    return this.bytes.subarray(offset, offset + size);
  }

  /** Latin-1 text of exactly `size` bytes, NULs included. */
  latin1(offset: number, size: number, what = 'text'): string {
    return Buffer.from(this.slice(offset, size, what)).toString('latin1');
  }
}
