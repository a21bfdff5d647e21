import { describe, expect, test } from 'vitest';
import { doorbellSink, GicV2m, ItsTranslater, X86MsiWindow } from '../../../src/pci/index.ts';

describe('GICv2m', () => {
  const raised: number[][] = [];
  const frame = new GicV2m(0x0802_0000n, { base: 48, count: 64 }, (spi, from) =>
    raised.push([spi, from]),
  );

  test('says its range of interrupt IDs, which begin at 32', () => {
    expect(frame.read(0x008)).toBe((80 << 16) | 64);
    expect(frame.read(0xfe8) >> 4).toBe(1);
    expect(frame.read(0x040)).toBe(0);
  });

  test('raises an SPI for its interrupt ID, and for no other', () => {
    for (const id of [80, 143, 79, 144, 0xffff_ffff]) {
      expect(frame.write(0x0802_0040, id, 9)).toBe(true);
    }
    expect(frame.write(0x0802_0044, 80, 9)).toBe(true);
    expect(frame.write(0x0802_1000, 80, 9)).toBe(false);
    expect(frame.write(0x0801_ffff, 80, 9)).toBe(false);
    expect(raised).toEqual([
      [48, 9],
      [111, 9],
    ]);
  });

  test('cannot have more SPIs than there are', () => {
    expect(() => new GicV2m(0n, { base: 900, count: 100 }, () => undefined)).toThrow(RangeError);
  });
});

test('an ITS is told DeviceID and EventID', () => {
  const told: number[][] = [];
  const its = new ItsTranslater(0x0809_0000n, (device, event) => void told.push([device, event]));
  expect(its.write(0x0809_0040, 5, 0x10018)).toBe(true);
  expect(its.write(0x0809_0044, 6, 1)).toBe(true);
  expect(its.write(0x080a_0040, 6, 1)).toBe(false);
  expect(told).toEqual([[0x10018, 5]]);
});

test('the x86 window takes destination from the address and vector from the data', () => {
  const told: unknown[] = [];
  const window = new X86MsiWindow((message, from) => void told.push([message, from]));
  expect(window.write(0xfee0_3000, 0x4041, 8)).toBe(true);
  expect(window.write(0xfeef_f004, 0x0f, 8)).toBe(true);
  expect(window.write(0xfef0_0000, 0x41, 8)).toBe(false);
  expect(told).toEqual([[{ destination: 3, vector: 0x41, address: 0xfee0_3000, data: 0x4041 }, 8]]);
});

test('a function rings with the requester ID that it has at that moment', () => {
  const told: number[][] = [];
  const its = new ItsTranslater(0x0809_0000n, (device, event) => void told.push([device, event]));
  let rid: number | undefined = 8;
  const sink = doorbellSink([its], () => rid);
  expect(sink(0, 0x0809_0040, 1)).toBe(true);
  rid = 0x108;
  expect(sink(0, 0x0809_0040, 2)).toBe(true);
  expect(sink(1, 0x0809_0040, 3)).toBe(false);
  rid = undefined;
  expect(sink(0, 0x0809_0040, 4)).toBe(false);
  expect(told).toEqual([
    [8, 1],
    [0x108, 2],
  ]);
});
