import type { Endian } from './view.ts';

/** A growing byte string, written front to back in one byte order. */
export class ByteSink {
  readonly endian: Endian;
  #buffer: Uint8Array;
  #data: DataView;
  #length = 0;

  constructor(endian: Endian, capacity = 256) {
    this.endian = endian;
    this.#buffer = new Uint8Array(Math.max(16, capacity));
    this.#data = new DataView(this.#buffer.buffer);
  }

  /** Bytes written so far, which is also the offset of the next one. */
  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const at = this.#grow(1);
    this.#data.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    const at = this.#grow(2);
    this.#data.setUint16(at, value, this.endian === 'le');
    return this;
  }

  u32(value: number): this {
    const at = this.#grow(4);
    this.#data.setUint32(at, value, this.endian === 'le');
    return this;
  }

  u64(value: bigint): this {
    const at = this.#grow(8);
    this.#data.setBigUint64(at, value, this.endian === 'le');
    return this;
  }

  raw(bytes: Uint8Array): this {
    const at = this.#grow(bytes.length);
    this.#buffer.set(bytes, at);
    return this;
  }

  /** Latin-1 text without a terminator. */
  latin1(text: string): this {
    return this.raw(Buffer.from(text, 'latin1'));
  }

  /** Zero bytes up to the next multiple of `alignment` (a power of two). */
  align(alignment: number): this {
    this.#grow(-this.#length & (alignment - 1));
    return this;
  }

  /** `count` zero bytes. */
  zeros(count: number): this {
    this.#grow(count);
    return this;
  }

  /** Overwrites four bytes that were written before, for counts known late. */
  patchU32(offset: number, value: number): this {
    if (offset + 4 > this.#length) throw new RangeError(`patch at ${offset} past the end`);
    this.#data.setUint32(offset, value, this.endian === 'le');
    return this;
  }

  /** A copy of what was written. */
  bytes(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }

  #grow(count: number): number {
    const at = this.#length;
    const needed = at + count;
    if (needed > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(needed, this.#buffer.length * 2));
      larger.set(this.#buffer);
      this.#buffer = larger;
      this.#data = new DataView(larger.buffer);
    }
    this.#length = needed;
    return at;
  }
}
