import { FormatError } from './errors.ts';
import { ByteSink } from './sink.ts';
import { ByteView } from './view.ts';

/** What a state is made of: no classes, no functions, no cycles. */
export type Plain =
  | undefined
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly Plain[]
  | { readonly [key: string]: Plain };

const UNDEFINED = 0;
const NULL = 1;
const FALSE = 2;
const TRUE = 3;
/** A whole number from 0 to 2^32 - 1. */
const U32 = 4;
/** Any other number: a double's bits. */
const DOUBLE = 5;
/** From 0 to 2^64 - 1; larger and negative ones as decimal text. */
const U64 = 6;
const BIGINT = 7;
const STRING = 8;
const BYTES = 9;
const ARRAY = 10;
const OBJECT = 11;

/** Deeper than any state of ours, and far from the end of the stack. */
const DEPTH_MAX = 64;
/** Digits of a number outside of 64 bits: making one of a million takes long. */
const DIGITS_MAX = 100;

/**
 * A value as bytes, compact and exact; the same value gives the same bytes.
 *
 * @throws TypeError for what is no plain data, or is nested deeper than 64
 */
export function encodePlain(value: unknown): Uint8Array {
  const sink = new ByteSink('le', 1 << 12);
  encode(sink, value, 0);
  return sink.bytes();
}

function encode(sink: ByteSink, value: unknown, depth: number): void {
  if (depth > DEPTH_MAX) throw new TypeError('plain data nested too deep');
  if (value === undefined) sink.u8(UNDEFINED);
  else if (value === null) sink.u8(NULL);
  else if (typeof value === 'boolean') sink.u8(value ? TRUE : FALSE);
  else if (typeof value === 'number') encodeNumber(sink, value);
  else if (typeof value === 'bigint') encodeBigint(sink, value);
  else if (typeof value === 'string') encodeText(sink.u8(STRING), value);
  else if (value instanceof Uint8Array) sink.u8(BYTES).u32(value.length).raw(value);
  else if (Array.isArray(value)) {
    sink.u8(ARRAY).u32(value.length);
    for (const item of value as readonly unknown[]) encode(sink, item, depth + 1);
  } else if (typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    const entries = Object.entries(value);
    sink.u8(OBJECT).u32(entries.length);
    for (const [key, item] of entries) {
      encodeText(sink, key);
      encode(sink, item, depth + 1);
    }
  } else {
    throw new TypeError(`${typeof value} is no plain data`);
  }
}

function encodeNumber(sink: ByteSink, value: number): void {
  if (value >>> 0 === value && !Object.is(value, -0)) {
    sink.u8(U32).u32(value);
    return;
  }
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value, true);
  sink.u8(DOUBLE).u64(bits.getBigUint64(0, true));
}

function encodeBigint(sink: ByteSink, value: bigint): void {
  if (BigInt.asUintN(64, value) === value) sink.u8(U64).u64(value);
  else {
    const digits = String(value);
    if (digits.length > DIGITS_MAX) throw new TypeError('a number of more than 100 digits');
    encodeText(sink.u8(BIGINT), digits);
  }
}

function encodeText(sink: ByteSink, text: string): void {
  const bytes = Buffer.from(text, 'utf8');
  sink.u32(bytes.length).raw(bytes);
}

/**
 * Reads what {@link encodePlain} wrote. Takes no more memory than some ten times the bytes; byte
 * arrays are views of them.
 *
 * @throws FormatError `plain/…`
 */
export function decodePlain(bytes: Uint8Array): Plain {
  const reader = new PlainReader(bytes);
  const value = reader.value(0);
  if (reader.at !== bytes.length) {
    throw new FormatError('plain/rest', reader.at, 'bytes after the end of the value');
  }
  return value;
}

class PlainReader {
  at = 0;
  readonly #view: ByteView;

  constructor(bytes: Uint8Array) {
    // A Buffer's pieces are Buffers, and a state has none.
    const { buffer, byteOffset, length } = bytes;
    this.#view = new ByteView(new Uint8Array(buffer, byteOffset, length), 'le', 'plain');
  }

  value(depth: number): Plain {
    if (depth > DEPTH_MAX) throw new FormatError('plain/depth', this.at, 'nested too deep');
    const tag = this.#view.u8(this.at++, 'tag');
    switch (tag) {
      case UNDEFINED:
        return undefined;
      case NULL:
        return null;
      case FALSE:
      case TRUE:
        return tag === TRUE;
      case U32:
        return this.#u32('number');
      case DOUBLE:
        return this.#double();
      case U64:
        return this.#u64();
      case BIGINT:
        return this.#bigint();
      case STRING:
        return this.#text();
      case BYTES:
        return this.#bytes('bytes');
      case ARRAY:
        return this.#array(depth);
      case OBJECT:
        return this.#object(depth);
      default:
        throw new FormatError('plain/tag', this.at - 1, `no value begins with ${tag}`);
    }
  }

  #u32(what: string): number {
    const value = this.#view.u32(this.at, what);
    this.at += 4;
    return value;
  }

  #u64(): bigint {
    const value = this.#view.u64(this.at, 'number');
    this.at += 8;
    return value;
  }

  #double(): number {
    const bits = new DataView(new ArrayBuffer(8));
    bits.setBigUint64(0, this.#u64(), true);
    return bits.getFloat64(0, true);
  }

  #bigint(): bigint {
    const at = this.at;
    const digits = this.#text();
    if (digits.length > DIGITS_MAX || !/^-?[1-9][0-9]*$/u.test(digits)) {
      throw new FormatError('plain/bigint', at, 'no number');
    }
    return BigInt(digits);
  }

  #bytes(what: string): Uint8Array {
    const length = this.#u32(`length of ${what}`);
    const bytes = this.#view.slice(this.at, length, what);
    this.at += length;
    return bytes;
  }

  #text(): string {
    return Buffer.from(this.#bytes('text')).toString('utf8');
  }

  /** How many follow; each takes a byte at least. */
  #count(): number {
    const count = this.#u32('count');
    this.#view.need(this.at, count, 'items');
    return count;
  }

  #array(depth: number): Plain {
    const items: Plain[] = [];
    for (let left = this.#count(); left > 0; left--) items.push(this.value(depth + 1));
    return items;
  }

  #object(depth: number): Plain {
    const entries: [string, Plain][] = [];
    for (let left = this.#count(); left > 0; left--) {
      entries.push([this.#text(), this.value(depth + 1)]);
    }
    // Not by assignment: `__proto__` is a key like any other.
    return Object.fromEntries(entries);
  }
}
