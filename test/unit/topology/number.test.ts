import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { jsonSchema } from '../../../src/topology/index.ts';
import { readBdf, readBdfRange } from '../../../src/topology/schema/address.ts';
import { readNumber, readRange } from '../../../src/topology/schema/number.ts';

describe('numbers', () => {
  test.each([
    [10n, 10n],
    ['10', 10n],
    ['0x8020000', 0x8020000n],
    ['0XfF', 255n],
    ['0xffff_f000', 0xffff_f000n],
    ['1_000', 1000n],
    ['64K', 65536n],
    ['64k', 65536n],
    ['512M', 512n << 20n],
    ['512m', 512n << 20n],
    ['2G', 2n << 30n],
    ['1T', 1n << 40n],
    ['0x10K', 0x4000n],
    [' 7 ', 7n],
    ['0xffff_ffff_ffff_ffff', 0xffff_ffff_ffff_ffffn],
    [9007199254740993n, 9007199254740993n],
  ])('%s is %s', (written, value) => {
    expect(readNumber(written)).toEqual({ value });
  });

  test.each([
    ['', 'is not a number'],
    ['0x', 'is not a number'],
    ['0xfg', 'is not a number'],
    ['1__0', 'is not a number'],
    ['_1', 'is not a number'],
    ['1_', 'is not a number'],
    ['1.5', 'is not a number'],
    ['64Q', 'is not a number'],
    ['010', 'begins with 0'],
    [-1n, 'is negative'],
    [1n << 64n, 'does not fit 64 bits'],
    ['0x1_0000_0000_0000_0000', 'does not fit 64 bits'],
    ['16777216T', 'does not fit 64 bits'],
    [true, 'is not a number'],
    [null, 'an empty value'],
    [['1'], 'a list'],
  ])('%s: %s', (written, error) => {
    expect(readNumber(written)).toEqual({ error: expect.stringContaining(error) });
  });
});

describe('ranges', () => {
  test.each([
    ['0x0-0xffff', 0n, 0xffffn],
    ['0x0 - 64K', 0n, 65536n],
    ['5', 5n, 5n],
    [5n, 5n, 5n],
    ['0-0', 0n, 0n],
    ['0x0-0xffff_ffff_ffff_ffff', 0n, 0xffff_ffff_ffff_ffffn],
  ])('%s', (written, start, end) => {
    expect(readRange(written)).toEqual({ value: { start, end } });
  });

  test.each([
    ['0xffff-0x0', 'ends before it starts'],
    ['-5', 'is not a number'],
    ['5-', 'is not a number'],
    ['1-2-3', 'is not a number'],
    ['00-0f', 'begins with 0'],
  ])('%s: %s', (written, error) => {
    expect(readRange(written)).toEqual({ error: expect.stringContaining(error) });
  });
});

describe('PCI addresses', () => {
  test('a function, with and without segment', () => {
    expect(readBdf('00:03.0')).toEqual({ value: { rid: 0x18 } });
    expect(readBdf('fF:1f.7')).toEqual({ value: { rid: 0xffff } });
    expect(readBdf('0001:02:00.0')).toEqual({ value: { segment: 1, rid: 0x200 } });
    expect(readBdf('0:1.2')).toEqual({ value: { rid: 0xa } });
  });

  test('a range of functions', () => {
    const range = { start: 0x40, end: 0x7f, single: false };
    expect(readBdfRange('00:08.0-00:0f.7')).toEqual({ value: range });
    expect(readBdfRange('0002:00:08.0-00:0f.7')).toEqual({ value: { ...range, segment: 2 } });
    expect(readBdfRange('00:08.0')).toEqual({ value: { start: 0x40, end: 0x40, single: true } });
  });

  test.each([
    ['00:20.0', 'device 0x20 is above 0x1f'],
    ['00:00.8', 'function 8 is above 7'],
    ['100:00.0', 'is not a PCI address'],
    ['00:00', 'is not a PCI address'],
    ['0x0:00.0', 'is not a PCI address'],
    [12n, 'is not a PCI address'],
  ])('%s: %s', (written, error) => {
    expect(readBdf(written)).toEqual({ error: expect.stringContaining(error) });
  });

  test.each([
    ['00:0f.7-00:08.0', 'ends before it starts'],
    ['0001:00:00.0-0002:00:00.0', 'crosses segments'],
    ['00:00.0-00:01.0-00:02.0', 'is not a PCI address'],
  ])('%s: %s', (written, error) => {
    expect(readBdfRange(written)).toEqual({ error: expect.stringContaining(error) });
  });
});

test('small letters of units are documented, and in the schema', () => {
  const page = readFileSync('docs/reference/topology.md', 'utf8');
  expect(page).toContain('`512m` is the same as `512M`');
  const patterns = JSON.stringify(jsonSchema()).match(/"pattern":"[^"]*\[K[^"]*"/g) ?? [];
  expect(patterns.length).toBeGreaterThan(5);
  for (const pattern of patterns) {
    const { pattern: text } = JSON.parse(`{${pattern}}`) as { pattern: string };
    expect(new RegExp(text).test('512m')).toBe(true);
  }
});
