import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import {
  ByteSink,
  ByteView,
  FormatError,
  checksumByte,
  contains,
  covers,
  hex,
  intersection,
  overlaps,
  showRange,
  sizeOf,
  struct,
  structBytes,
  sum8,
} from '../../../src/bytes/index.ts';

const layout = struct('sample', 15, { a: 'u8', b: 'u16', c: 'u32', d: 'u64' });

describe('struct', () => {
  test('offsets follow from the order of fields', () => {
    expect(layout.offsets).toEqual({ a: 0, b: 1, c: 3, d: 7 });
  });

  test('golden bytes, little- and big-endian', () => {
    const value = { a: 0x01, b: 0x0203, c: 0x04050607, d: 0x08090a0b0c0d0e0fn };
    expect(Buffer.from(structBytes(layout, 'be', value)).toString('hex')).toBe(
      '0102030405060708090a0b0c0d0e0f',
    );
    expect(Buffer.from(structBytes(layout, 'le', value)).toString('hex')).toBe(
      '010302070605040f0e0d0c0b0a0908',
    );
  });

  test('a table that does not add up to the stated size is refused at once', () => {
    expect(() => struct('bad', 4, { a: 'u8', b: 'u16' })).toThrow(/add up to 3.*says 4/);
  });

  test('values that do not fit are refused, with the name of the field', () => {
    expect(() => structBytes(layout, 'le', { b: 0x10000 })).toThrow(/sample\.b: 65536/);
    expect(() => structBytes(layout, 'le', { d: 1n << 64n })).toThrow(/sample\.d/);
    expect(() => structBytes(layout, 'le', { d: -1n })).toThrow(/sample\.d/);
    expect(() => structBytes(layout, 'le', { a: 1.5 })).toThrow(/sample\.a/);
    const fixed = struct('fixed', 2, { pad: ['bytes', 2] });
    expect(() => structBytes(fixed, 'le', { pad: new Uint8Array(3) })).toThrow(
      /3 bytes, must be 2/,
    );
  });

  test('what is written is read', () => {
    fc.assert(
      fc.property(
        fc.record({
          a: fc.nat(0xff),
          b: fc.nat(0xffff),
          c: fc.nat(0xffffffff),
          d: fc.bigInt(0n, (1n << 64n) - 1n),
        }),
        fc.constantFrom('le' as const, 'be' as const),
        fc.nat(9),
        (value, endian, offset) => {
          const sink = new ByteSink(endian).zeros(offset);
          layout.write(sink, value);
          const view = new ByteView(sink.bytes(), endian, 'sample');
          expect(layout.read(view, offset)).toEqual(value);
        },
      ),
    );
  });
});

describe('ByteView', () => {
  test('a read past the end is a FormatError with the format and the offset', () => {
    const view = new ByteView(new Uint8Array(6), 'le', 'fdt');
    const reads = [
      () => view.u8(6),
      () => view.u16(5),
      () => view.u32(3),
      () => view.u64(0),
      () => view.slice(4, 3),
      () => view.u8(-1),
      () => view.u8(Number.NaN),
      () => view.latin1(0, 7),
    ];
    for (const read of reads) {
      expect(read).toThrow(FormatError);
      expect(read).toThrow(expect.objectContaining({ code: 'fdt/truncated' }));
    }
    expect(() => view.u32(3, 'node length')).toThrow(
      /node length: 4 bytes needed, the input has 6 \(at offset 0x3\)/,
    );
  });

  test('a view of a part of a larger buffer stays inside it', () => {
    const view = new ByteView(new Uint8Array([1, 2, 3, 4]).subarray(1, 3), 'be', 'x');
    expect(view.u16(0)).toBe(0x0203);
    expect(() => view.u8(2)).toThrow(FormatError);
  });
});

describe('ByteSink', () => {
  test('grows, aligns and patches', () => {
    const sink = new ByteSink('be', 16);
    sink.u8(1).align(4).u32(0).latin1('ab').raw(new Uint8Array(40).fill(7));
    sink.patchU32(4, 0xcafebabe);
    const bytes = sink.bytes();
    expect(bytes.length).toBe(50);
    expect(Buffer.from(bytes.subarray(0, 11)).toString('hex')).toBe('01000000cafebabe616207');
    expect(() => sink.patchU32(47, 1)).toThrow(RangeError);
  });

  test('bytes() is a copy', () => {
    const sink = new ByteSink('le').u8(1);
    sink.bytes()[0] = 9;
    expect(sink.bytes()[0]).toBe(1);
  });
});

describe('ranges include their end', () => {
  const top = (1n << 64n) - 1n;

  test('edges', () => {
    expect(overlaps({ start: 0, end: 4 }, { start: 4, end: 9 })).toBe(true);
    expect(overlaps({ start: 0, end: 4 }, { start: 5, end: 9 })).toBe(false);
    expect(covers({ start: 0n, end: top }, { start: top, end: top })).toBe(true);
    expect(contains({ start: 1, end: 2 }, 3)).toBe(false);
    expect(sizeOf({ start: 0n, end: top })).toBe(1n << 64n);
    expect(showRange({ start: 0x8000000, end: 0x80fffff })).toBe('0x8000000-0x80fffff');
  });

  test('intersection is what both contain', () => {
    const range = fc
      .tuple(fc.nat(30), fc.nat(30))
      .map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) }));
    fc.assert(
      fc.property(range, range, fc.nat(30), (a, b, value) => {
        const both = intersection(a, b);
        expect(both !== undefined && contains(both, value)).toBe(
          contains(a, value) && contains(b, value),
        );
        expect(both !== undefined).toBe(overlaps(a, b));
      }),
    );
  });
});

test('checksumByte makes the sum zero, whatever stood there', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 10, maxLength: 64 }), (bytes) => {
      bytes[9] = checksumByte(bytes, bytes[9] ?? 0);
      expect(sum8(bytes)).toBe(0);
    }),
  );
});

test('hex', () => {
  expect(hex(255)).toBe('0xff');
  expect(hex(5n, 4)).toBe('0x0005');
  expect(hex(-16)).toBe('-0x10');
});
