import { ByteSink } from '../bytes/index.ts';
import type { FdtLink, FdtLinked, FdtNode, FdtValue } from './tree.ts';

/** A reference to a node: becomes its phandle when the tree is written. */
export interface FdtRef {
  readonly to: FdtNode | string;
}

/** A u32, or the phandle of a node. */
export type FdtCell = number | FdtRef;

/** The phandle of that node. */
export function ref(node: FdtNode): FdtRef {
  return { to: node };
}

/** The phandle of the node at that absolute path in the tree that is written (after a merge). */
export function refPath(path: string): FdtRef {
  return { to: path };
}

/**
 * `<prop-encoded-array>` of 32-bit cells. Long lists are given as arrays: `cells(rows.flat())`.
 * @throws RangeError for a number that is no u32.
 */
export function cells(...items: readonly (FdtCell | readonly FdtCell[])[]): FdtValue {
  let count = 0;
  for (const item of items) count += isList(item) ? item.length : 1;
  const bytes = new Uint8Array(count * 4);
  const data = new DataView(bytes.buffer);
  const refs: FdtLink[] = [];
  let offset = 0;
  const put = (cell: FdtCell): void => {
    if (typeof cell !== 'number') refs.push({ offset, to: cell.to });
    else if (cell >>> 0 === cell) data.setUint32(offset, cell);
    else throw new RangeError(`cell ${cell} does not fit u32`);
    offset += 4;
  };
  for (const item of items) {
    if (isList(item)) for (const cell of item) put(cell);
    else put(item);
  }
  return refs.length === 0 ? bytes : { bytes, refs };
}

function isList(item: FdtCell | readonly FdtCell[]): item is readonly FdtCell[] {
  return Array.isArray(item);
}

/**
 * 64-bit integers, two cells each (`reg` under `#address-cells = <2>`).
 * @throws RangeError for a number that is no u64.
 */
export function u64cells(...items: readonly bigint[]): Uint8Array {
  const sink = new ByteSink('be', items.length * 8);
  for (const item of items) {
    if (BigInt.asUintN(64, item) !== item) throw new RangeError(`${item} does not fit u64`);
    sink.u64(item);
  }
  return sink.bytes();
}

/**
 * `<string>`: Latin-1 text and its NUL.
 * @throws RangeError for text with a NUL in it or beyond Latin-1.
 */
export function str(text: string): Uint8Array {
  return strlist(text);
}

/** `<stringlist>`: the strings one after another, each with its NUL. Throws as `str` does. */
export function strlist(...texts: readonly string[]): Uint8Array {
  const sink = new ByteSink('be');
  for (const text of texts) {
    // oxlint-disable-next-line no-control-regex -- NUL is what must not be there
    if (!/^[\u0001-\u00ff]*$/.test(text)) {
      throw new RangeError(`${JSON.stringify(text)} cannot be a device tree string`);
    }
    sink.latin1(text).u8(0);
  }
  return sink.bytes();
}

/** `<empty>`: the property's presence says it all. */
export function empty(): Uint8Array {
  return new Uint8Array(0);
}

/** Values one after another, references included: `concat(cells(ref(dev)), u64cells(base, size))`. */
export function concat(...values: readonly FdtValue[]): FdtValue {
  const sink = new ByteSink('be');
  const refs: FdtLink[] = [];
  for (const value of values) {
    const linked: FdtLinked = value instanceof Uint8Array ? { bytes: value, refs: [] } : value;
    for (const link of linked.refs) refs.push({ offset: sink.length + link.offset, to: link.to });
    sink.raw(linked.bytes);
  }
  return refs.length === 0 ? sink.bytes() : { bytes: sink.bytes(), refs };
}

/** The cells of a value, or undefined when its length is not a multiple of 4. */
export function decodeCells(bytes: Uint8Array): number[] | undefined {
  if (bytes.length % 4 !== 0) return undefined;
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / 4 }, (_, index) => data.getUint32(index * 4));
}

/** The value of a property of exactly one cell, else undefined. */
export function decodeU32(bytes: Uint8Array | undefined): number | undefined {
  if (bytes?.length !== 4) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
}

/** The 64-bit integers of a value, or undefined when its length is not a multiple of 8. */
export function decodeU64s(bytes: Uint8Array): bigint[] | undefined {
  if (bytes.length % 8 !== 0) return undefined;
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / 8 }, (_, index) => data.getBigUint64(index * 8));
}

/** The strings of a value, or undefined when it does not end with a NUL. Empty values have none. */
export function decodeStrings(bytes: Uint8Array): string[] | undefined {
  if (bytes.length === 0) return [];
  if (bytes.at(-1) !== 0) return undefined;
  return Buffer.from(bytes.subarray(0, -1)).toString('latin1').split('\0');
}

/** The only string of a value, else undefined. */
export function decodeString(bytes: Uint8Array | undefined): string | undefined {
  const texts = bytes === undefined ? undefined : decodeStrings(bytes);
  return texts?.length === 1 ? texts[0] : undefined;
}
