import { crc32 } from 'node:zlib';

/** Bytes that wait to be sent or acknowledged, from the first that is not acknowledged on. */
export interface OutStream {
  readonly length: number;
  /** Bytes from there on; the caller's to keep. */
  read(at: number, count: number): Uint8Array;
  /** Forgets the first bytes. */
  drop(count: number): void;
  snapshot(): OutState;
}

export type OutState =
  { readonly bytes: Uint8Array } | { readonly at: number; readonly left: number };

/** Bytes that somebody gave. */
export class BytesOut implements OutStream {
  #bytes: Uint8Array;

  constructor({ bytes }: { readonly bytes: Uint8Array } = { bytes: new Uint8Array(0) }) {
    this.#bytes = bytes.slice();
  }

  get length(): number {
    return this.#bytes.length;
  }

  append(data: Uint8Array): void {
    this.#bytes = new Uint8Array(Buffer.concat([this.#bytes, data]));
  }

  read(at: number, count: number): Uint8Array {
    return this.#bytes.slice(at, at + count);
  }

  drop(count: number): void {
    this.#bytes = this.#bytes.slice(count);
  }

  snapshot(): OutState {
    return { bytes: this.#bytes.slice() };
  }
}

/** A prime, so that no power of two meets the same bytes again. */
const PERIOD = 65_521;
let block: Uint8Array | undefined;

/** Two periods of the pattern: a read of up to one period is one piece. */
function pattern(): Uint8Array {
  if (block !== undefined) return block;
  block = new Uint8Array(2 * PERIOD);
  let state = 0x2545_f491;
  for (let i = 0; i < PERIOD; i++) {
    // Marsaglia's xorshift32.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    block[i] = block[i + PERIOD] = state & 0xff;
  }
  return block;
}

/** Bytes `at` to `at + count` of the pattern. */
export function patternBytes(at: number, count: number): Uint8Array {
  const out = new Uint8Array(count);
  for (let done = 0; done < count;) {
    const from = (at + done) % PERIOD;
    const piece = pattern().subarray(from, from + Math.min(PERIOD, count - done));
    out.set(piece, done);
    done += piece.length;
  }
  return out;
}

/** CRC-32 of the first bytes of the pattern, in hexadecimal. */
export function patternCrc32(count: bigint): string {
  let sum = 0;
  for (let left = count; left > 0n; left -= BigInt(PERIOD)) {
    const piece = left < PERIOD ? Number(left) : PERIOD;
    sum = crc32(pattern().subarray(0, piece), sum);
  }
  return sum.toString(16).padStart(8, '0');
}

/** A long stretch of a pattern, which is nowhere kept. */
export class PatternOut implements OutStream {
  #at: number;
  #left: number;

  constructor({ at, left }: { readonly at: number; readonly left: number }) {
    this.#at = at;
    this.#left = left;
  }

  get length(): number {
    return this.#left;
  }

  read(at: number, count: number): Uint8Array {
    return patternBytes(this.#at + at, Math.min(count, this.#left - at));
  }

  drop(count: number): void {
    this.#at += count;
    this.#left -= count;
  }

  snapshot(): OutState {
    return { at: this.#at, left: this.#left };
  }
}
