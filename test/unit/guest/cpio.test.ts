import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { FormatError } from '../../../src/bytes/index.ts';
import { type CpioEntry, readCpio, writeCpio } from '../../../src/guest/index.ts';

const path = fc
  .array(fc.stringMatching(/^[a-z0-9._-]{1,12}$/u), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join('/'));
const mode = fc.integer({ min: 0, max: 0o7777 });
const entry: fc.Arbitrary<CpioEntry> = fc.oneof(
  fc.record({ kind: fc.constant('directory' as const), path, mode }),
  fc.record({ kind: fc.constant('file' as const), path, mode, data: fc.uint8Array() }),
  fc.record({ kind: fc.constant('link' as const), path, target: path }),
  fc.record({
    kind: fc.constant('char' as const),
    path,
    mode,
    major: fc.nat(255),
    minor: fc.nat(255),
  }),
);

function plain(list: readonly CpioEntry[]): unknown[] {
  return list.map((one) => (one.kind === 'file' ? { ...one, data: [...one.data] } : one));
}

describe('cpio newc', () => {
  test('one file, byte by byte', () => {
    const bytes = writeCpio([{ kind: 'file', path: 'ab', mode: 0o644, data: Buffer.from('xyz') }]);
    const zero = '00000000';
    const expected =
      '070701' + // magic
      '00000001' + // c_ino
      '000081A4' + // c_mode: S_IFREG, 0644
      zero + // c_uid
      zero + // c_gid
      '00000001' + // c_nlink
      zero + // c_mtime
      '00000003' + // c_filesize
      zero.repeat(4) + // devices
      '00000003' + // c_namesize, with its NUL
      zero + // c_chksum, unused in newc
      'ab\0\0\0\0' + // name, padded from 113 to 116
      'xyz\0' + // data, padded to 4
      '070701' +
      zero.repeat(4) +
      '00000001' +
      zero.repeat(6) +
      '0000000B' +
      zero +
      'TRAILER!!!\0\0\0\0';
    expect(Buffer.from(bytes).toString('latin1')).toBe(expected);
  });

  test('what is written is read again', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 8 }), (entries) => {
        const read = readCpio(writeCpio(entries));
        expect(plain(read)).toEqual(plain(entries));
      }),
    );
  });

  test('damaged archives get a FormatError and nothing else', () => {
    const good = writeCpio([
      { kind: 'directory', path: 'dev' },
      { kind: 'file', path: 'dev/x', data: Buffer.from('hello') },
    ]);
    let refused = 0;
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), (at, byte, cut) => {
        const bad = good.slice(0, Math.max(cut, at + 1));
        bad[at] = byte;
        try {
          readCpio(bad);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
          refused += 1;
        }
      }),
      { numRuns: 2000 },
    );
    expect(refused).toBeGreaterThan(100);
  });

  test('a cut archive says where', () => {
    const good = writeCpio([{ kind: 'directory', path: 'dev' }]);
    expect(() => readCpio(good.slice(0, 60))).toThrow(
      expect.objectContaining({ code: 'cpio/truncated' }),
    );
  });
});
