import { describe, expect, it } from 'vitest';
import {
  cells,
  concat,
  decodeCells,
  decodeString,
  decodeStrings,
  decodeU32,
  decodeU64s,
  empty,
  FdtNode,
  FdtTreeError,
  findPhandle,
  PhandleAllocator,
  ref,
  str,
  strlist,
  u64cells,
} from '../../../src/fdt/index.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe('values', () => {
  it('are big-endian cells, strings with NUL, or nothing', () => {
    expect(cells(1, [2, 0xffff_fffe])).toEqual(bytes(0, 0, 0, 1, 0, 0, 0, 2, 255, 255, 255, 254));
    expect(u64cells(0x1_0203n)).toEqual(bytes(0, 0, 0, 0, 0, 1, 2, 3));
    expect(strlist('a', 'é')).toEqual(bytes(0x61, 0, 0xe9, 0));
    expect(str('')).toEqual(bytes(0));
    expect(empty()).toEqual(bytes());
    expect(concat(str('a'), cells(1), empty())).toEqual(bytes(0x61, 0, 0, 0, 0, 1));
  });

  it('keep the place of a reference when they are joined', () => {
    const node = new FdtNode('n');
    expect(concat(u64cells(0n), cells(5, ref(node)))).toMatchObject({ refs: [{ offset: 12 }] });
  });

  it.each([-1, 2 ** 32, 0.5, NaN])('refuse the cell %s', (cell) => {
    expect(() => cells(cell)).toThrow(RangeError);
  });

  it.each([-1n, 1n << 64n])('refuse the u64 %s', (value) => {
    expect(() => u64cells(value)).toThrow(RangeError);
  });

  it.each(['a\0b', 'Ā', '€'])('refuse the string %j', (text) => {
    expect(() => str(text)).toThrow(RangeError);
  });

  it('are decoded, or said not to be of that kind', () => {
    expect(decodeCells(bytes(0, 0, 1, 0))).toEqual([256]);
    expect(decodeCells(bytes(0, 0, 1))).toBeUndefined();
    expect(decodeU32(bytes(0x80, 0, 0, 0))).toBe(2 ** 31);
    expect(decodeU32(bytes(0, 0, 0, 0, 0, 0, 0, 0))).toBeUndefined();
    expect(decodeU32(undefined)).toBeUndefined();
    expect(decodeU64s(u64cells(1n << 63n))).toEqual([1n << 63n]);
    expect(decodeU64s(bytes(0, 0, 0, 1))).toBeUndefined();
    expect(decodeStrings(strlist('a', '', 'b'))).toEqual(['a', '', 'b']);
    expect(decodeStrings(empty())).toEqual([]);
    expect(decodeStrings(bytes(0x61))).toBeUndefined();
    expect(decodeString(str('one'))).toBe('one');
    expect(decodeString(strlist('one', 'two'))).toBeUndefined();
  });

  it('with references have no bytes yet', () => {
    const node = new FdtNode('n');
    node.set('x', cells(ref(node)));
    expect(() => node.bytes('x')).toThrow(FdtTreeError);
    expect(node.bytes('y')).toBeUndefined();
  });
});

describe('phandles', () => {
  it('are handed out around those taken, up to 0xfffffffe', () => {
    const allocator = new PhandleAllocator([1, 3]);
    expect([allocator.allocate(), allocator.allocate()]).toEqual([2, 4]);
    const last = new PhandleAllocator([], 0xffff_fffe);
    expect(last.allocate()).toBe(0xffff_fffe);
    expect(() => last.allocate()).toThrow(FdtTreeError);
    expect(new PhandleAllocator([], 0).allocate()).toBe(1);
  });

  it('belong to the first node that has one, by either name', () => {
    const [one, two] = [new FdtNode('a'), new FdtNode('b', { phandle: cells(7) })];
    one.set('linux,phandle', cells(7));
    const root = new FdtNode('', {}, [one, two]);
    expect(findPhandle(root, 7)).toBe(one);
    expect(findPhandle(root, 8)).toBeUndefined();
  });
});
