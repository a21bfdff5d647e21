import { describe, expect, test } from 'vitest';
import { translateSpan, type ReservedRegion } from '../../../src/iommu/index.ts';
import { GuestMemory } from '../../../src/memory/index.ts';
import { OK, Rig } from '../../support/iommu-rig.ts';

const TOP = (1n << 64n) - 1n;

describe('bypass around reserved regions', () => {
  /** Regions whose neighbours lie in another upper half than their own borders. */
  const reserved: readonly ReservedRegion[] = [
    { range: { start: 0x1_0000_0000n, end: 0x1_ffff_ffffn }, type: 'reserved' },
    { range: { start: 0x3_0000_1000n, end: 0x3_0000_1fffn }, type: 'reserved' },
  ];
  const rig = new Rig({ endpoints: [{ id: 1, reserved }] });
  rig.attach(1, 1, { flags: 1 });
  const { state, translation } = rig.device;

  test.each([
    ['before the first', 0n, 0xffff_ffffn],
    ['between two', 0x2_0000_0000n, 0x3_0000_0fffn],
    ['after the last', 0x3_0000_2000n, TOP],
  ])('%s: the identity, exactly up to the border', (_, start, end) => {
    for (const at of [start, end]) {
      expect(translateSpan(state, translation, 1, at, 1n, 3)).toEqual({
        pieces: [{ iova: at, length: 1n, physical: at, how: 'memory' }],
      });
    }
    const whole = translateSpan(state, translation, 1, start, end - start + 1n, 3);
    expect(whole).toMatchObject({ pieces: [{ length: end - start + 1n }] });
    const further = translateSpan(state, translation, 1, end, 2n, 3);
    expect(further).toEqual({ fault: end + 1n });
  });
});

describe('what listeners are told of an access', () => {
  test('translated, bypassed, or an interrupt', () => {
    const msi = { range: { start: 0xfee0_0000n, end: 0xfeef_ffffn }, type: 'msi' } as const;
    const rig = new Rig({ endpoints: [{ id: 1, reserved: [msi] }, { id: 2 }, { id: 3 }] });
    rig.attach(1, 1);
    rig.map(1, 0x1000n, 0x1fffn, 0x2000n);
    rig.attach(2, 2, { flags: 1 });
    const how: string[] = [];
    rig.device.stream.subscribe(
      (event) => {
        if (event.kind === 'translation') how.push(`${event.endpoint} ${event.how}`);
      },
      ['translation'],
    );
    rig.read(1, 0x1000n);
    rig.read(2, 0x1000n);
    rig.read(3, 0x1000n);
    rig.write(1, 0xfee0_0000n);
    expect(how).toEqual(['1 translated', '2 bypassed', '3 bypassed', '1 msi']);
    const { state, translation } = rig.device;
    expect(translateSpan(state, translation, 1, 0xfee0_0000n, 4n, 2)).toMatchObject({
      pieces: [{ how: 'msi', physical: 0xfee0_0000n }],
    });
  });

  test('of an access over several mappings, the part that each covers', () => {
    const rig = new Rig();
    rig.attach(1, 1);
    rig.map(1, 0xffff_f000n, 0xffff_ffffn, 0x2000n);
    rig.map(1, 0x1_0000_0000n, 0x1_0000_0fffn, 0x5000n);
    const told: string[] = [];
    rig.device.stream.subscribe(
      (event) => {
        if (event.kind === 'translation') told.push(`${event.iova.toString(16)}+${event.length}`);
      },
      ['translation'],
    );
    expect(rig.dma(1).read(0, 0xffff_ff00, new Uint8Array(0x300))).toBe(0x300);
    expect(told).toEqual(['ffffff00+256', '100000000+512']);
  });

  test('a mapping to where no memory is: counted, told, and no fault record', () => {
    const rig = new Rig({ memory: new GuestMemory() });
    rig.attach(1, 1);
    expect(rig.map(1, 0x1000n, 0x1fffn, 0x8000_0000n)).toBe(OK);
    expect(rig.read(1, 0x1004n)).toBe(undefined);
    expect(rig.events.at(-1)).toEqual({
      kind: 'fault',
      reason: 'unknown',
      endpoint: 1,
      access: 1,
      address: 0x1004n,
      report: 'silent',
    });
    expect(rig.device.state.counters.unanswerable).toBe(1);
    expect(rig.faults()).toEqual([]);
  });

  test('a fault is counted and reported when nobody listens', () => {
    const rig = new Rig({ quiet: true, bootBypass: false });
    expect(rig.read(1, 0x1000n)).toBe(undefined);
    expect(rig.device.state.counters.faultsDomain).toBe(1);
    rig.probe(1);
    expect(rig.faults()).toHaveLength(1);
  });
});

describe('planted bugs', () => {
  /** Each is visible here, so that a simulation that misses one is itself at fault. */
  const mapped = (): Rig => {
    const rig = new Rig({ bootBypass: false });
    rig.attach(1, 1);
    rig.map(1, 0x1000n, 0x1fffn, 0x2000n, 1);
    return rig;
  };

  test.each(['unmap-keeps-translation', 'detach-keeps-epoch'] as const)('%s', (canary) => {
    for (const planted of [false, true]) {
      const rig = mapped();
      const dma = rig.dma(1);
      expect(dma.readU8(0, 0x1000)).toBe(0);
      if (planted) rig.device.state.canary = canary;
      if (canary === 'detach-keeps-epoch') rig.detach(1, 1);
      else rig.unmap(1, 0x1000n, 0x1fffn);
      expect(dma.readU8(0, 0x1000)).toBe(planted ? 0 : -1);
    }
  });

  test('write-ignores-flags', () => {
    const rig = mapped();
    expect(rig.write(1, 0x1000n)).toBe(false);
    rig.device.state.canary = 'write-ignores-flags';
    expect(rig.write(1, 0x1000n)).toBe(true);
  });
});
