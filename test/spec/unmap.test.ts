import { describe, expect, test } from 'vitest';
import { INVAL, NOENT, OK, RANGE, Rig } from '../support/iommu-rig.ts';

const TOP = (1n << 64n) - 1n;

function byteRig(options: ConstructorParameters<typeof Rig>[0] = {}): Rig {
  const rig = new Rig({ pageSizeMask: 1n, ...options });
  rig.attach(1, 1);
  return rig;
}

const sizes = (rig: Rig): number => rig.device.state.mappings;

/** VIRTIO 1.3, IOMMU Device / UNMAP request. */
describe('UNMAP', () => {
  test('D37: reserved set: INVAL and nothing removed, or done if made so', () => {
    const reserved = Uint8Array.of(0, 0, 0, 1);
    const rig = byteRig();
    rig.map(1, 0n, 9n, 0n);
    expect(rig.unmap(1, 0n, 9n, { reserved })).toBe(INVAL);
    expect(sizes(rig)).toBe(1);
    const lenient = byteRig({ choices: { unmapReserved: 'ignore' } });
    lenient.map(1, 0n, 9n, 0n);
    expect(lenient.unmap(1, 0n, 9n, { reserved })).toBe(OK);
    expect(sizes(lenient)).toBe(0);
  });

  test('D38: no such domain: NOENT', () => {
    expect(byteRig().unmap(2, 0n, 9n)).toBe(NOENT);
  });

  test('D39: a bypass domain: INVAL', () => {
    const rig = new Rig();
    rig.attach(1, 1, { flags: 1 });
    expect(rig.unmap(1, 0n, 9n)).toBe(INVAL);
  });

  test('D40: a mapping would be split: RANGE, and none is removed', () => {
    const rig = byteRig();
    rig.map(1, 0n, 9n, 0x100n);
    rig.map(1, 20n, 29n, 0x200n);
    rig.map(1, 30n, 39n, 0x300n);
    for (const [start, end] of [
      [0n, 35n],
      [5n, 39n],
      [5n, 5n],
      [31n, 38n],
      [9n, TOP],
    ] as const) {
      expect(rig.unmap(1, start, end)).toBe(RANGE);
      expect(sizes(rig)).toBe(3);
    }
    expect(rig.read(1, 0n)).toBe(0);
  });

  test('D41: every covered mapping goes, holes and an empty range are OK', () => {
    const rig = byteRig();
    expect(rig.unmap(1, 0n, TOP)).toBe(OK);
    rig.map(1, 5n, 9n, 0n);
    rig.map(1, TOP - 3n, TOP, 0n);
    expect(rig.unmap(1, 0n, TOP)).toBe(OK);
    expect(sizes(rig)).toBe(0);
    expect(rig.read(1, 7n)).toBe(undefined);
    // There is no rule of alignment.
    const pages = new Rig();
    pages.attach(1, 1);
    pages.map(1, 0x1000n, 0x1fffn, 0n);
    expect(pages.unmap(1, 0x123n, 0x2001n)).toBe(OK);
    expect(sizes(pages)).toBe(0);
  });

  test.each([
    [1, [], [0n, 4n], OK, 0],
    [2, [[0n, 9n]], [0n, 9n], OK, 0],
    [
      3,
      [
        [0n, 4n],
        [5n, 9n],
      ],
      [0n, 9n],
      OK,
      0,
    ],
    [4, [[0n, 9n]], [0n, 4n], RANGE, 1],
    [
      5,
      [
        [0n, 4n],
        [5n, 9n],
      ],
      [0n, 4n],
      OK,
      1,
    ],
    [6, [[0n, 4n]], [0n, 9n], OK, 0],
    [
      7,
      [
        [0n, 4n],
        [10n, 14n],
      ],
      [0n, 14n],
      OK,
      0,
    ],
  ] as const)(
    'D40, D41: example %i of the specification',
    (_n, maps, [start, end], status, left) => {
      const rig = byteRig();
      for (const [s, e] of maps) expect(rig.map(1, s, e, 0n)).toBe(OK);
      expect(rig.unmap(1, start, end)).toBe(status);
      expect(sizes(rig)).toBe(left);
    },
  );

  test('where the specification is silent: reversed INVAL; outside input_range OK, or RANGE', () => {
    const inputRange = { start: 0x100n, end: 0x1ffn };
    const rig = byteRig({ inputRange });
    rig.map(1, 0x100n, 0x10fn, 0n);
    expect(rig.unmap(1, 0x110n, 0x10fn)).toBe(INVAL);
    expect(rig.unmap(1, 0n, 0x3ffn)).toBe(OK);
    expect(sizes(rig)).toBe(0);
    const strict = byteRig({ inputRange, choices: { unmapOutside: 'range' } });
    expect(strict.unmap(1, 0n, 0x1ffn)).toBe(RANGE);
    expect(strict.unmap(1, 0x100n, 0x200n)).toBe(RANGE);
    expect(strict.unmap(1, 0x100n, 0x1ffn)).toBe(OK);
  });

  test('cached translations are void at once', () => {
    const rig = byteRig({ bootBypass: false });
    rig.map(1, 0n, 99n, 0x4000n);
    const dma = rig.dma(1);
    expect(dma.writeU8(0, 5, 1)).toBe(true);
    rig.unmap(1, 0n, 99n);
    expect(dma.writeU8(0, 5, 2)).toBe(false);
    expect(rig.ram[0x4005]).toBe(1);
  });
});
