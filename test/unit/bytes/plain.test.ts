import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { decodePlain, encodePlain, FormatError } from '../../../src/bytes/index.ts';

const plain = fc.letrec((tie) => ({
  leaf: fc.oneof(
    fc.constantFrom(undefined, null, true, false, -0, Infinity, NaN),
    fc.integer(),
    fc.double(),
    fc.bigInt({ min: -(1n << 70n), max: 1n << 70n }),
    fc.string({ unit: 'grapheme' }),
    fc.uint8Array(),
  ),
  value: fc.oneof(
    { depthSize: 'small' },
    tie('leaf'),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(fc.string(), tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ),
})).value;

describe('plain data', () => {
  test('comes back as it was, and the same gives the same', () => {
    fc.assert(
      fc.property(plain, (value) => {
        const bytes = encodePlain(value);
        expect(decodePlain(bytes)).toStrictEqual(value);
        expect(encodePlain(decodePlain(Buffer.from(bytes)))).toEqual(bytes);
      }),
    );
  });

  test('`__proto__` is a key', () => {
    const value: unknown = JSON.parse('{"__proto__": {"a": 1}}');
    const back = decodePlain(encodePlain(value));
    expect(Object.keys(back as object)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
  });

  test('what is none is refused', () => {
    for (const value of [new Map(), () => 0, Symbol('a'), new Date(0), new Uint16Array(1)]) {
      expect(() => encodePlain({ value })).toThrow(TypeError);
    }
    let deep: unknown[] = [];
    for (let depth = 0; depth < 100; depth++) deep = [deep];
    expect(() => encodePlain(deep)).toThrow(TypeError);
    expect(() => encodePlain(10n ** 200n)).toThrow(TypeError);
  });

  test('bytes that are none are refused, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodePlain(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('cut, longer, too deep, with counts that cannot be', () => {
    const whole = encodePlain({ a: [1, 2n, 'three', Uint8Array.of(4)] });
    for (let length = 0; length < whole.length; length++) {
      expect(() => decodePlain(whole.subarray(0, length))).toThrow(FormatError);
    }
    const codeOf = (bytes: Uint8Array): string => {
      try {
        decodePlain(bytes);
      } catch (error) {
        if (error instanceof FormatError) return error.code;
        throw error;
      }
      return 'none';
    };
    expect(codeOf(Uint8Array.of(...whole, 0))).toBe('plain/rest');
    expect(codeOf(Uint8Array.of(99))).toBe('plain/tag');
    // An array of 2^32 - 1 items, in five bytes.
    expect(codeOf(Uint8Array.of(10, 0xff, 0xff, 0xff, 0xff))).toBe('plain/truncated');
    const nested = Array.from({ length: 1000 }, () => [10, 1, 0, 0, 0]).flat();
    expect(codeOf(Uint8Array.from(nested))).toBe('plain/depth');
    const digits = Buffer.from('1'.repeat(200));
    expect(codeOf(Uint8Array.of(7, digits.length, 0, 0, 0, ...digits))).toBe('plain/bigint');
  });
});
