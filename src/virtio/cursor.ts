import { ACCESS_READ, ACCESS_WRITE, DMA_FAILED, piecesOf, type DmaSpace } from '../memory/index.ts';
import type { Chain } from './chain.ts';

/**
 * A place in the device-readable or device-writable bytes of a chain, whatever descriptors they are
 * spread over (VIRTIO 1.3, "Message Framing").
 */
abstract class ChainCursor {
  protected readonly space: DmaSpace;
  protected readonly chain: Chain;
  /** Offset from the start of this part of the chain, in bytes. */
  position = 0;
  /** Whether an access failed, as against an end of the chain. Cleared by nothing but a new chain. */
  failed = false;
  /** Segment of `position`, an index of the chain's segments, and the offset inside it. */
  #segment = 0;
  #offset = 0;

  constructor(space: DmaSpace, chain: Chain) {
    this.space = space;
    this.chain = chain;
  }

  /** Bytes of this part in all. */
  abstract get length(): number;
  protected abstract get firstSegment(): number;

  /** Bytes from here to the end. */
  get left(): number {
    return this.length - this.position;
  }

  /** For the queue, when the chain is a new one. */
  rewind(): void {
    this.position = 0;
    this.failed = false;
    this.#segment = this.firstSegment;
    this.#offset = 0;
  }

  /** Goes to a position, at most the end. */
  seek(position: number): void {
    if (position < this.position) {
      this.position = 0;
      this.#segment = this.firstSegment;
      this.#offset = 0;
    }
    this.skip(position - this.position);
  }

  /** Goes forward, at most to the end; answers how far. */
  skip(count: number): number {
    const wanted = Math.min(count, this.left);
    let rest = wanted;
    while (rest > 0) rest -= this.#advance(rest);
    return wanted;
  }

  /** Runs `transfer` on each stretch of the next bytes until all are done or one falls short. */
  protected each(
    count: number,
    transfer: (hi: number, lo: number, length: number, done: number) => number,
  ): number {
    const wanted = Math.min(count, this.left);
    let done = 0;
    while (done < wanted) {
      this.#skipEmpty();
      const { chain } = this;
      const segment = this.#segment;
      const length = Math.min(wanted - done, chain.segmentLength(segment) - this.#offset);
      const lo = chain.segmentLo(segment) + this.#offset;
      const moved = transfer(chain.segmentHi(segment), lo, length, done);
      done += moved;
      this.#advance(moved);
      if (moved < length) {
        this.failed = true;
        break;
      }
    }
    return done;
  }

  /**
   * Host memory of the next bytes, and goes past them; undefined when there are fewer, or some
   * cannot be accessed. Not to be kept beyond the space's epoch.
   */
  protected take(count: number, access: number): Uint8Array[] | undefined {
    if (count > this.left) return undefined;
    const all: Uint8Array[] = [];
    const done = this.each(count, (hi, lo, length) => {
      const pieces = piecesOf(this.space, hi, lo, length, access);
      if (pieces === undefined) return 0;
      all.push(...pieces);
      return length;
    });
    return done === count ? all : undefined;
  }

  /** Whether the next bytes lie in one segment; if so the fields `hi` and `lo` hold their address. */
  protected within(count: number): boolean {
    if (count === 0 || count > this.left) return false;
    this.#skipEmpty();
    const segment = this.#segment;
    if (this.chain.segmentLength(segment) - this.#offset < count) return false;
    this.hi = this.chain.segmentHi(segment);
    this.lo = this.chain.segmentLo(segment) + this.#offset;
    return true;
  }
  protected hi = 0;
  protected lo = 0;

  /** Descriptors of length 0 are legal and hold nothing. Needs at least one byte left. */
  #skipEmpty(): void {
    while (this.#offset >= this.chain.segmentLength(this.#segment)) {
      this.#segment++;
      this.#offset = 0;
    }
  }

  #advance(count: number): number {
    if (count === 0) return 0;
    this.#skipEmpty();
    const step = Math.min(count, this.chain.segmentLength(this.#segment) - this.#offset);
    this.#offset += step;
    this.position += step;
    return step;
  }
}

/** Reads the device-readable part, front to back. */
export class ChainReader extends ChainCursor {
  readonly #bytes = new Uint8Array(4);

  get length(): number {
    return this.chain.readableLength;
  }

  protected get firstSegment(): number {
    return 0;
  }

  /** Copies; answers how many bytes there were and could be read. */
  read(into: Uint8Array, at = 0, length: number = into.length - at): number {
    if (this.within(length)) {
      const done = this.space.read(this.hi, this.lo, into, at, length);
      if (done < length) this.failed = true;
      this.skip(done);
      return done;
    }
    return this.each(length, (hi, lo, count, done) =>
      this.space.read(hi, lo, into, at + done, count),
    );
  }

  /** DMA_FAILED when there is none left or it cannot be read; so below. */
  readU8(): number {
    return this.#number(1);
  }

  readU16(): number {
    return this.#number(2);
  }

  readU32(): number {
    return this.#number(4);
  }

  /** See {@link piecesOf}; undefined too when fewer bytes are left. */
  pieces(count: number): Uint8Array[] | undefined {
    return this.take(count, ACCESS_READ);
  }

  #number(size: 1 | 2 | 4): number {
    if (this.left < size || this.read(this.#bytes, 0, size) < size) return DMA_FAILED;
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 0x100 + (this.#bytes[i] as number);
    return value;
  }
}

/** Writes the device-writable part, at any position. */
export class ChainWriter extends ChainCursor {
  readonly #bytes = new Uint8Array(4);

  get length(): number {
    return this.chain.writableLength;
  }

  protected get firstSegment(): number {
    return this.chain.readableCount;
  }

  /** Copies; answers how many bytes had room and could be written. */
  write(from: Uint8Array, at = 0, length: number = from.length - at): number {
    if (this.within(length)) {
      const done = this.space.write(this.hi, this.lo, from, at, length);
      if (done < length) this.failed = true;
      this.skip(done);
      return done;
    }
    return this.each(length, (hi, lo, count, done) =>
      this.space.write(hi, lo, from, at + done, count),
    );
  }

  /** Writes that many times the byte; answers how often. */
  fill(count: number, byte: number): number {
    return this.each(count, (hi, lo, length) => this.space.fill(hi, lo, length, byte));
  }

  /** False when there is no room or it cannot be written; so below. */
  writeU8(value: number): boolean {
    return this.#number(1, value);
  }

  writeU16(value: number): boolean {
    return this.#number(2, value);
  }

  writeU32(value: number): boolean {
    return this.#number(4, value);
  }

  /** See {@link piecesOf}; undefined too when there is less room. */
  pieces(count: number): Uint8Array[] | undefined {
    return this.take(count, ACCESS_WRITE);
  }

  #number(size: 1 | 2 | 4, value: number): boolean {
    for (let i = 0; i < size; i++) this.#bytes[i] = value >>> (8 * i);
    return this.left >= size && this.write(this.#bytes, 0, size) === size;
  }
}
