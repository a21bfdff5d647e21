import { describe, expect, it } from 'vitest';
import {
  ACCESS_READ,
  ACCESS_WRITE,
  addressOf,
  DMA_FAILED,
  GuestMemory,
  hiOf,
  loOf,
  piecesOf,
} from '../../../src/memory/index.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe('addresses as halves', () => {
  it.each([0n, 1n, 0xffff_ffffn, 0x1_0000_0000n, 0x1234_5678_9abc_def0n, (1n << 64n) - 1n])(
    '%s is exact',
    (address) => {
      expect(addressOf(hiOf(address), loOf(address))).toBe(address);
    },
  );

  it('a lower half that carries', () => {
    expect(addressOf(1, 0x1_0000_0005)).toBe(0x2_0000_0005n);
  });
});

describe('guest memory', () => {
  /** 8 bytes below 4 GiB, 8 above: one run of addresses in two windows. */
  const make = (): GuestMemory =>
    new GuestMemory([
      { gpa: 0x1_0000_0000n, bytes: bytes(8, 9, 10, 11, 12, 13, 14, 15) },
      { gpa: 0xffff_fff8n, bytes: bytes(0, 1, 2, 3, 4, 5, 6, 7) },
    ]);

  it('reads little-endian inside a window and across two', () => {
    const memory = make();
    expect(memory.readU8(0, 0xffff_ffff)).toBe(7);
    expect(memory.readU16(0, 0xffff_fff8)).toBe(0x0100);
    expect(memory.readU16(0, 0xffff_ffff)).toBe(0x0807);
    expect(memory.readU32(0, 0xffff_fffd)).toBe(0x0807_0605);
    expect(memory.readU32(0, 0xffff_ffff)).toBe(0x0a09_0807);
    expect(memory.readU64(0, 0xffff_fffc)).toBe(true);
    expect([memory.valueHi, memory.valueLo]).toEqual([0x0b0a_0908, 0x0706_0504]);
    expect(memory.loadU16(0, 0xffff_fff8)).toBe(0x0100);
    expect(memory.loadU16(0, 0xffff_fff9)).toBe(0x0201);
    expect(memory.loadU16(0, 0xffff_ffff)).toBe(0x0807);
  });

  it('takes an offset that carries into the upper half', () => {
    const memory = make();
    expect(memory.readU16(0, 0xffff_fff8 + 9)).toBe(0x0a09);
    expect(memory.readU16(0, 0x1_0000_0000)).toBe(memory.readU16(1, 0));
  });

  it('writes what it reads, of every width at every place', () => {
    for (let at = 0; at <= 8; at++) {
      const memory = make();
      const lo = 0xffff_fff8 + at;
      expect(memory.writeU64(0, lo, 0x8899_aabb, 0xccdd_eeff)).toBe(true);
      expect(memory.readU64(0, lo)).toBe(true);
      expect([memory.valueHi, memory.valueLo]).toEqual([0x8899_aabb, 0xccdd_eeff]);
      expect(memory.writeU32(0, lo + 2, 0xfedc_ba98)).toBe(true);
      expect(memory.readU32(0, lo + 2)).toBe(0xfedc_ba98);
      expect(memory.storeU16(0, lo + 1, 0xffee)).toBe(true);
      expect(memory.loadU16(0, lo + 1)).toBe(0xffee);
      expect(memory.writeU8(0, lo + 7, 0x1ff)).toBe(true);
      expect(memory.readU8(0, lo + 7)).toBe(0xff);
    }
  });

  it('copies across windows and says how far it came', () => {
    const memory = make();
    const into = new Uint8Array(16);
    expect(memory.read(0, 0xffff_fffc, into, 2, 8)).toBe(8);
    expect([...into.subarray(0, 11)]).toEqual([0, 0, 4, 5, 6, 7, 8, 9, 10, 11, 0]);
    expect(memory.read(1, 4, into)).toBe(4);
    expect(memory.fault()).toEqual({ address: 0x1_0000_0008n, access: ACCESS_READ });
    expect(memory.write(0, 0xffff_fffe, bytes(0xa, 0xb, 0xc, 0xd))).toBe(4);
    expect(memory.readU32(0, 0xffff_fffe)).toBe(0x0d0c_0b0a);
    expect(memory.fill(1, 6, 5, 0x55)).toBe(2);
    expect(memory.readU16(1, 6)).toBe(0x5555);
  });

  it('answers failure outside, and never throws', () => {
    const memory = make();
    for (const [hi, lo] of [
      [0, 0],
      [0, 0xffff_fff7],
      [1, 8],
      [0xffff_ffff, 0xffff_ffff],
      [0xffff_ffff, 0x1_0000_0000],
    ] as const) {
      expect(memory.readU8(hi, lo)).toBe(DMA_FAILED);
      expect(memory.readU16(hi, lo)).toBe(DMA_FAILED);
      expect(memory.readU32(hi, lo)).toBe(DMA_FAILED);
      expect(memory.readU64(hi, lo)).toBe(false);
      expect(memory.loadU16(hi, lo)).toBe(DMA_FAILED);
      expect(memory.writeU8(hi, lo, 0)).toBe(false);
      expect(memory.writeU16(hi, lo, 0)).toBe(false);
      expect(memory.writeU32(hi, lo, 0)).toBe(false);
      expect(memory.writeU64(hi, lo, 0, 0)).toBe(false);
      expect(memory.storeU16(hi, lo, 0)).toBe(false);
      expect(memory.read(hi, lo, new Uint8Array(3))).toBe(0);
      expect(memory.fault().address).toBe(addressOf(hi, lo));
    }
    // Half in, half out.
    expect(memory.readU32(1, 6)).toBe(DMA_FAILED);
    expect(memory.fault().address).toBe(0x1_0000_0008n);
  });

  it('the last byte of the address space is memory like any other', () => {
    const memory = new GuestMemory([{ gpa: (1n << 64n) - 2n, bytes: bytes(1, 2) }]);
    expect(memory.readU16(0xffff_ffff, 0xffff_fffe)).toBe(0x0201);
    expect(memory.readU16(0xffff_ffff, 0xffff_ffff)).toBe(DMA_FAILED);
    expect(memory.fault().address).toBe(0n);
  });

  it('gives pieces without copying', () => {
    const memory = make();
    const pieces = piecesOf(memory, 0, 0xffff_fffc, 8, ACCESS_WRITE);
    expect(pieces?.map((piece) => [...piece])).toEqual([
      [4, 5, 6, 7],
      [8, 9, 10, 11],
    ]);
    pieces?.[1]?.set([99]);
    expect(memory.readU8(1, 0)).toBe(99);
    expect(piecesOf(memory, 1, 4, 5, ACCESS_READ)).toBeUndefined();
  });

  it('windows come and go, and the epoch tells', () => {
    const memory = make();
    const { epoch } = memory;
    expect(memory.readU8(1, 0)).toBe(8);
    expect(memory.removeWindow(0x1_0000_0000n)).toBe(true);
    expect(memory.epoch).toBeGreaterThan(epoch);
    expect(memory.readU8(1, 0)).toBe(DMA_FAILED);
    expect(memory.removeWindow(0x1_0000_0000n)).toBe(false);
    memory.addWindow({ gpa: 0x1_0000_0002n, bytes: bytes(42) });
    expect(memory.readU8(1, 2)).toBe(42);
    expect(memory.windows().map(({ gpa }) => gpa)).toEqual([0xffff_fff8n, 0x1_0000_0002n]);
    memory.setWindows([{ gpa: 0n, bytes: bytes(7) }]);
    expect(memory.readU8(0, 0)).toBe(7);
    expect(memory.readU8(1, 2)).toBe(DMA_FAILED);
  });

  it('a window may be read-only', () => {
    const memory = new GuestMemory([{ gpa: 0n, bytes: bytes(1, 2, 3, 4), writable: false }]);
    expect(memory.readU32(0, 0)).toBe(0x0403_0201);
    expect(memory.writeU8(0, 0, 9)).toBe(false);
    expect(memory.fault()).toEqual({ address: 0n, access: ACCESS_WRITE });
  });

  it('refuses windows that cannot be', () => {
    const memory = make();
    const add = (gpa: bigint, length: number) => (): void =>
      memory.addWindow({ gpa, bytes: new Uint8Array(length) });
    expect(add(0xffff_fff0n, 9)).toThrow('0xfffffff0-0xfffffff8 overlaps 0xfffffff8-0xffffffff');
    expect(add(0n, 0)).toThrow(RangeError);
    expect(add((1n << 64n) - 1n, 2)).toThrow(RangeError);
    expect(add(-1n, 1)).toThrow(RangeError);
    expect(add((1n << 64n) - 1n, 1)).not.toThrow();
  });

  it('is a view: what another party writes is seen, at odd places too', () => {
    const backing = new Uint8Array(17);
    const memory = new GuestMemory([{ gpa: 0n, bytes: backing.subarray(1) }]);
    backing[3] = 0x34;
    backing[4] = 0x12;
    expect(memory.loadU16(0, 2)).toBe(0x1234);
    expect(memory.storeU16(0, 2, 0xabcd)).toBe(true);
    expect([backing[3], backing[4]]).toEqual([0xcd, 0xab]);
  });
});

describe('values that end outside memory', () => {
  it('are not read, whichever part is missing', () => {
    for (let size = 1; size < 8; size++) {
      // Two windows, so that no value lies in one piece.
      const memory = new GuestMemory([{ gpa: 0n, bytes: bytes(1) }]);
      if (size > 1) memory.addWindow({ gpa: 1n, bytes: new Uint8Array(size - 1) });
      expect(memory.readU16(0, 0) >= 0).toBe(size >= 2);
      expect(memory.readU32(0, 0) >= 0).toBe(size >= 4);
      expect(memory.readU64(0, 0)).toBe(false);
      expect(memory.fault().address).toBe(BigInt(size));
    }
  });

  it('nothing is writable before something was resolved', () => {
    expect(new GuestMemory().isWritable).toBe(false);
  });
});
