import { describe, expect, test } from 'vitest';
import { mapBytes, INVAL, NOENT, OK, RANGE, FAULT, NOMEM, Rig } from '../support/iommu-rig.ts';

const TOP = (1n << 64n) - 1n;

function attached(options: ConstructorParameters<typeof Rig>[0] = {}): Rig {
  const rig = new Rig(options);
  rig.attach(1, 1);
  return rig;
}

/** VIRTIO 1.3, IOMMU Device / MAP request. */
describe('MAP', () => {
  test.each([
    ['virt_start', 0x1001n, 0x1fffn, 0x2000n],
    ['virt_end', 0x1000n, 0x1ffen, 0x2000n],
    ['virt_end', 0x1000n, 0x2000n, 0x2000n],
    ['phys_start', 0x1000n, 0x1fffn, 0x2800n],
    ['virt_start, in the upper half', 0x1_0000_0000_0800n, 0x1_0000_0000_0fffn, 0n],
  ])('D30: misaligned %s: RANGE', (_what, start, end, phys) => {
    const rig = attached();
    expect(rig.map(1, start, end, phys)).toBe(RANGE);
    expect(rig.device.state.mappings).toBe(0);
  });

  test('D30: a byte granule takes any range, a large one only its multiples', () => {
    const bytes = attached({ pageSizeMask: 1n });
    expect(bytes.map(1, 5n, 5n, 0x3003n)).toBe(OK);
    bytes.ram[0x3003] = 8;
    expect([bytes.read(1, 4n), bytes.read(1, 5n), bytes.read(1, 6n)]).toEqual([
      undefined,
      8,
      undefined,
    ]);
    const large = attached({ pageSizeMask: 1n << 34n });
    expect(large.map(1, 1n << 34n, (1n << 35n) - 1n, 0n)).toBe(OK);
    expect(large.map(1, 1n << 33n, (1n << 34n) - 1n, 0n)).toBe(RANGE);
    expect(large.map(1, 0n, (1n << 34n) - 1n, 1n << 33n)).toBe(RANGE);
  });

  test('D31: a range that meets a mapping: INVAL, and the old one stays', () => {
    const rig = attached();
    rig.map(1, 0x2000n, 0x4fffn, 0x8000n);
    for (const [start, end] of [
      [0x2000n, 0x4fffn],
      [0x1000n, 0x2fffn],
      [0x4000n, 0x5fffn],
      [0x3000n, 0x3fffn],
      [0n, TOP],
    ] as const) {
      expect(rig.map(1, start, end, 0n)).toBe(INVAL);
    }
    expect(rig.map(1, 0x1000n, 0x1fffn, 0n)).toBe(OK);
    expect(rig.map(1, 0x5000n, 0x5fffn, 0n)).toBe(OK);
  });

  test('D32: an unknown flag: INVAL; MMIO is one when not negotiated', () => {
    const rig = attached();
    for (const flags of [8, 16, 0x8000_0000]) expect(rig.map(1, 0n, 0xfffn, 0n, flags)).toBe(INVAL);
    expect(rig.map(1, 0n, 0xfffn, 0n, 7)).toBe(OK);
    const without = attached({ negotiate: 0b1010111n });
    expect(without.map(1, 0n, 0xfffn, 0n, 4)).toBe(INVAL);
    expect(without.map(1, 0n, 0xfffn, 0n, 3)).toBe(OK);
  });

  test('D33: no such domain: NOENT', () => {
    const rig = attached();
    expect(rig.map(2, 0n, 0xfffn, 0n)).toBe(NOENT);
    expect(rig.map(0x1_0001, 0n, 0xfffn, 0n)).toBe(NOENT);
  });

  test('D34: a bypass domain: INVAL', () => {
    const rig = new Rig();
    rig.attach(1, 1, { flags: 1 });
    expect(rig.map(1, 0n, 0xfffn, 0n)).toBe(INVAL);
  });

  test('D35: no write without WRITE, no read without READ', () => {
    const rig = attached({ bootBypass: false });
    rig.map(1, 0x1000n, 0x1fffn, 0x5000n, 1);
    rig.map(1, 0x2000n, 0x2fffn, 0x6000n, 2);
    rig.map(1, 0x3000n, 0x3fffn, 0x7000n, 0);
    const can = (at: bigint): unknown => [rig.read(1, at) !== undefined, rig.write(1, at)];
    expect(can(0x1000n)).toEqual([true, false]);
    expect(can(0x2000n)).toEqual([false, true]);
    expect(can(0x3000n)).toEqual([false, false]);
    expect(rig.ram[0x5000]).toBe(0);
    // A cached read does not open the way for a write.
    const dma = rig.dma(1);
    expect(dma.readU8(0, 0x1000)).toBe(0);
    expect(dma.writeU8(0, 0x1000, 1)).toBe(false);
  });

  test('D35: a device may allow reads of write-only mappings', () => {
    const rig = attached({ choices: { writeOnlyReads: 'allow' } });
    rig.map(1, 0x2000n, 0x2fffn, 0x6000n, 2);
    expect(rig.read(1, 0x2000n)).toBe(0);
    rig.map(1, 0x3000n, 0x3fffn, 0x6000n, 1);
    expect(rig.write(1, 0x3000n)).toBe(false);
  });

  test('D36: a range that meets a reserved region of any endpoint of the domain: INVAL', () => {
    const at = (start: bigint, end: bigint, type: 'reserved' | 'msi'): unknown => ({
      range: { start, end },
      type,
    });
    const rig = new Rig({
      endpoints: [
        { id: 1, reserved: [at(0x8000n, 0x8fffn, 'reserved')] },
        { id: 2, reserved: [at(0xfee0_0000n, 0xfeef_ffffn, 'msi')] },
      ] as never,
    });
    rig.attach(1, 1);
    expect(rig.map(1, 0x7000n, 0x8fffn, 0n)).toBe(INVAL);
    expect(rig.map(1, 0n, TOP, 0n)).toBe(INVAL);
    expect(rig.map(1, 0xfee0_0000n, 0xfee0_0fffn, 0n)).toBe(OK);
    rig.unmap(1, 0xfee0_0000n, 0xfee0_0fffn);
    rig.attach(1, 2);
    expect(rig.map(1, 0xfee0_0000n, 0xfee0_0fffn, 0n)).toBe(INVAL);
    rig.detach(1, 2);
    expect(rig.map(1, 0xfee0_0000n, 0xfee0_0fffn, 0n)).toBe(OK);
    expect(rig.map(1, 0x9000n, 0x9fffn, 0n)).toBe(OK);
  });

  test('the last byte of the 64-bit space can be mapped, alone and with all the rest', () => {
    const rig = attached();
    expect(rig.map(1, TOP - 0xfffn, TOP, 0x4000n)).toBe(OK);
    rig.ram[0x4fff] = 3;
    expect(rig.read(1, TOP)).toBe(3);
    expect(rig.read(1, TOP - 0x1000n)).toBe(undefined);
    expect(rig.unmap(1, TOP - 0xfffn, TOP)).toBe(OK);
    expect(rig.map(1, 0n, TOP, 0n)).toBe(OK);
    expect(rig.read(1, 0x4fffn)).toBe(3);
  });

  test.each([
    ['reversed', {}, [0x3000n, 0x1fffn, 0n], INVAL],
    ['reversed, RANGE chosen', { reversed: 'range' }, [0x3000n, 0x1fffn, 0n], RANGE],
    ['physical range past 2^64', {}, [0n, 0x1fffn, TOP - 0xfffn], FAULT],
    ['the same, RANGE chosen', { physicalOutside: 'range' }, [0n, 0x1fffn, TOP - 0xfffn], RANGE],
  ] as const)(
    'where the specification is silent: %s',
    (_name, choices, [start, end, phys], status) => {
      expect(attached({ choices }).map(1, start, end, phys)).toBe(status);
    },
  );

  test('physical addresses beyond the guest are refused, if it is known where they end', () => {
    const rig = attached({ physicalRange: { start: 0x1000n, end: 0xf_ffffn } });
    expect(rig.map(1, 0n, 0xfffn, 0n)).toBe(FAULT);
    expect(rig.map(1, 0n, 0xfffn, 0x10_0000n)).toBe(FAULT);
    expect(rig.map(1, 0n, 0x1fffn, 0xf_f000n)).toBe(FAULT);
    expect(rig.map(1, 0n, 0xfffn, 0xf_f000n)).toBe(OK);
  });

  test('which status comes first', () => {
    const rig = new Rig({ inputRange: { start: 0n, end: 0xffffn } });
    rig.attach(1, 1, { flags: 1 });
    rig.attach(2, 2);
    rig.map(2, 0n, 0xfffn, 0n);
    expect(rig.map(9, 1n, 0n, 0n, 8)).toBe(INVAL);
    expect(rig.map(9, 1n, 0n, 0n)).toBe(NOENT);
    expect(rig.map(1, 1n, 0x99_9999n, 0n)).toBe(INVAL);
    expect(rig.map(2, 0n, 0x1_0000n, 0n)).toBe(RANGE);
    expect(rig.map(2, 0n, 0xfffn, 0n)).toBe(INVAL);
  });

  test('mappings are bounded, per domain and in all: NOMEM; overlap is found before', () => {
    const rig = attached({ limits: { mappingsPerDomain: 2, mappings: 3 } });
    rig.attach(2, 2);
    const page = (domain: number, i: bigint): number | undefined =>
      rig.map(domain, i * 0x1000n, i * 0x1000n + 0xfffn, 0n);
    expect([page(1, 0n), page(1, 1n), page(1, 2n), page(1, 1n)]).toEqual([OK, OK, NOMEM, INVAL]);
    expect([page(2, 0n), page(2, 1n)]).toEqual([OK, NOMEM]);
    rig.unmap(1, 0n, 0xfffn);
    expect(page(2, 1n)).toBe(OK);
  });

  test('an access goes on from one mapping into the next, piece by piece', () => {
    const rig = attached({ pageSizeMask: 1n });
    rig.send(mapBytes(1, 0x100n, 0x109n, 0x5000n));
    rig.send(mapBytes(1, 0x10an, 0x10bn, 0x7000n));
    rig.send(mapBytes(1, 0x10cn, 0x1ffn, 0x6000n));
    const bytes = Uint8Array.from({ length: 20 }, (_, i) => i + 1);
    expect(rig.dma(1).write(0, 0x100, bytes)).toBe(20);
    expect(Array.from(rig.ram.slice(0x5000, 0x500a))).toEqual(Array.from(bytes.slice(0, 10)));
    expect(Array.from(rig.ram.slice(0x7000, 0x7002))).toEqual([11, 12]);
    expect(Array.from(rig.ram.slice(0x6000, 0x6008))).toEqual(Array.from(bytes.slice(12)));
    // The byte below, and what comes after a hole.
    expect(rig.read(1, 0xffn)).toBe(undefined);
    expect(rig.dma(1).read(0, 0x1f0, new Uint8Array(32))).toBe(16);
  });
});
