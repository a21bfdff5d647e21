import { createHash } from 'node:crypto';

import { FormatError } from '../bytes/index.ts';

/** Bytes that a boot put into RAM before the first instruction. */
export interface Placed {
  /** Offset in RAM. */
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** What a boot put into RAM; it is remembered, and must not change. */
export class PlacedRam {
  readonly #ram: Uint8Array;
  readonly #pieces: Placed[] = [];
  #sha256: string | undefined;

  constructor(ram: Uint8Array) {
    this.#ram = ram;
  }

  get pieces(): readonly Placed[] {
    return this.#pieces;
  }

  /** Of places and bytes of all of it (hex). */
  get sha256(): string {
    if (this.#sha256 !== undefined) return this.#sha256;
    const hash = createHash('sha256');
    for (const { at, bytes } of this.#pieces) hash.update(`${at} ${bytes.length} `).update(bytes);
    return (this.#sha256 = hash.digest('hex'));
  }

  /** @param at offset in RAM */
  put(at: number, bytes: Uint8Array): void {
    this.#ram.set(bytes, at);
    this.#pieces.push({ at, bytes });
    this.#sha256 = undefined;
  }

  /** Before another boot. */
  clear(): void {
    this.#pieces.length = 0;
    this.#sha256 = undefined;
  }
}

/** The pages of RAM that differ from what was placed there, or from zero. */
export interface RamPages {
  /** Page numbers, ascending, 32 bits each, little-endian. */
  readonly numbers: Uint8Array;
  /** Their contents, one after the other. */
  readonly bytes: Uint8Array;
}

const PAGE = 4096;
/** RAM is a multiple of it, and most of it is zero: looked at in larger pieces first. */
const BLOCK = 0x1_0000;
const ZEROS = new Uint8Array(BLOCK);

/** What RAM holds beyond what was placed; later pieces lie over earlier ones. */
export function changedPages(ram: Uint8Array, placed: readonly Placed[]): RamPages {
  const numbers: number[] = [];
  const parts: Uint8Array[] = [];
  for (let block = 0; block < ram.length; block += BLOCK) {
    const near = placed.filter(({ at, bytes }) => at < block + BLOCK && at + bytes.length > block);
    if (near.length === 0 && isSame(ram.subarray(block, block + BLOCK), ZEROS)) continue;
    for (let at = block; at < block + BLOCK; at += PAGE) {
      const page = ram.subarray(at, at + PAGE);
      if (isSame(page, placedAt(at, near))) continue;
      numbers.push(at / PAGE);
      parts.push(page);
    }
  }
  const list = new Uint8Array(numbers.length * 4);
  const view = new DataView(list.buffer);
  for (const [index, number] of numbers.entries()) view.setUint32(index * 4, number, true);
  return { numbers: list, bytes: concat(parts) };
}

/**
 * Makes RAM what it was.
 *
 * @param fresh RAM holds what was placed and zeros: nothing else need be looked at
 * @throws FormatError `snapshot/pages` before anything is written
 */
export function restorePages(
  ram: Uint8Array,
  placed: readonly Placed[],
  pages: RamPages,
  fresh: boolean,
): void {
  const offsets = offsetsOf(ram.length, pages);
  if (!fresh) {
    ram.fill(0);
    for (const { at, bytes } of placed) ram.set(bytes, at);
  }
  for (const [index, at] of offsets.entries()) {
    ram.set(pages.bytes.subarray(index * PAGE, (index + 1) * PAGE), at);
  }
}

function offsetsOf(size: number, { numbers, bytes }: RamPages): number[] {
  const count = numbers.length / 4;
  const damaged = (what: string): FormatError => new FormatError('snapshot/pages', 0, what);
  if (!Number.isInteger(count) || bytes.length !== count * PAGE) {
    throw damaged(`${bytes.length} bytes for ${count} pages`);
  }
  const view = new DataView(numbers.buffer, numbers.byteOffset, numbers.length);
  let before = -1;
  return Array.from({ length: count }, (_, index) => {
    const number = view.getUint32(index * 4, true);
    if (number <= before || (number + 1) * PAGE > size) throw damaged(`page ${number}`);
    before = number;
    return number * PAGE;
  });
}

/** What a page held before the first instruction. */
function placedAt(page: number, near: readonly Placed[]): Uint8Array {
  const over = near.filter(({ at, bytes }) => at < page + PAGE && at + bytes.length > page);
  const [only] = over;
  if (only === undefined) return ZEROS.subarray(0, PAGE);
  if (over.length === 1 && only.at <= page && only.at + only.bytes.length >= page + PAGE) {
    return only.bytes.subarray(page - only.at, page - only.at + PAGE);
  }
  const whole = new Uint8Array(PAGE);
  for (const { at, bytes } of over) {
    const from = Math.max(page, at);
    const to = Math.min(page + PAGE, at + bytes.length);
    whole.set(bytes.subarray(from - at, to - at), from - page);
  }
  return whole;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.length * PAGE);
  for (const [index, part] of parts.entries()) whole.set(part, index * PAGE);
  return whole;
}
