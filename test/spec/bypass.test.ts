import { describe, expect, test } from 'vitest';
import { translateSpan } from '../../src/iommu/index.ts';
import { ACCESS_READ, ACCESS_WRITE } from '../../src/memory/index.ts';
import { INVAL, OK, Rig } from '../support/iommu-rig.ts';

const ALL = (1n << 64n) - 1n;

/** VIRTIO 1.3, IOMMU Device / Device operations: bypass. */
describe('bypass', () => {
  test('D8: config.bypass lets unattached endpoints through before any driver', () => {
    const rig = new Rig({ asleep: true });
    rig.ram[0x123] = 9;
    expect(rig.read(1, 0x123n)).toBe(9);
    expect(rig.device.config[36]).toBe(1);
    const closed = new Rig({ asleep: true, bootBypass: false });
    expect(closed.read(1, 0x123n)).toBe(undefined);
    expect(closed.device.config[36]).toBe(0);
  });

  test('D8: a driver that does not negotiate BYPASS_CONFIG changes nothing of that', () => {
    const rig = new Rig({ negotiate: 0b100n });
    expect(rig.write(1, 0x123n, 7)).toBe(true);
    expect(rig.ram[0x123]).toBe(7);
    rig.attach(1, 1);
    expect(rig.read(1, 0x123n)).toBe(undefined);
    rig.detach(1, 1);
    expect(rig.read(1, 0x123n)).toBe(7);
  });

  test('D8: writing config.bypass takes effect at once, for cached translations too', () => {
    const rig = new Rig();
    const dma = rig.dma(1);
    expect(dma.readU8(0, 0x123)).toBe(0);
    rig.setBypass(0);
    expect(dma.readU8(0, 0x123)).toBe(-1);
    rig.setBypass(1);
    expect(dma.readU8(0, 0x123)).toBe(0);
  });

  test('D9: an endpoint of a bypass domain bypasses whatever config.bypass says', () => {
    const rig = new Rig({ bootBypass: false });
    expect(rig.read(1, 0x123n)).toBe(undefined);
    expect(rig.attach(3, 1, { flags: 1 })).toBe(OK);
    expect(rig.read(1, 0x123n)).toBe(0);
    expect(rig.read(2, 0x123n)).toBe(undefined);
  });

  test('D10: with BYPASS negotiated unattached endpoints bypass', () => {
    const rig = new Rig({ features: ['MAP_UNMAP', 'BYPASS'] });
    expect(rig.read(1, 0x123n)).toBe(0);
    const without = new Rig({ features: ['MAP_UNMAP', 'BYPASS'], negotiate: 0b100n });
    expect(without.read(1, 0x123n)).toBe(undefined);
    const asleep = new Rig({ features: ['MAP_UNMAP', 'BYPASS'], asleep: true });
    expect(asleep.read(1, 0x123n)).toBe(undefined);
  });

  test('D11: bypass is the identity, for reads and writes, up to 2^64 - 1', () => {
    const rig = new Rig();
    const { state, translation } = rig.device;
    for (const access of [ACCESS_READ, ACCESS_WRITE, ACCESS_READ | ACCESS_WRITE]) {
      expect(translateSpan(state, translation, 1, 0n, ALL + 1n, access)).toEqual({
        pieces: [{ iova: 0n, length: ALL + 1n, physical: 0n, how: 'memory' }],
      });
    }
    expect(translateSpan(state, translation, 1, ALL, 2n, ACCESS_READ)).toEqual({ fault: ALL + 1n });
  });

  test('D12: an unattached endpoint that does not bypass reaches nothing', () => {
    const rig = new Rig({ bootBypass: false });
    rig.probe(1);
    expect(rig.read(1, 0x123n)).toBe(undefined);
    expect(rig.write(1, 0x123n)).toBe(false);
    expect(rig.faults()).toHaveLength(2);
    expect(rig.device.state.counters.faultsDomain).toBe(2);
  });

  test('D12: an endpoint loses its old domain when it is attached elsewhere', () => {
    const rig = new Rig({ bootBypass: false });
    rig.attach(1, 1);
    rig.map(1, 0n, 0xfffn, 0x3000n);
    const dma = rig.dma(1);
    expect(dma.readU8(0, 0)).toBe(0);
    rig.attach(2, 1);
    expect(dma.readU8(0, 0)).toBe(-1);
    expect(rig.attach(2, 1, { flags: 1 })).toBe(INVAL);
  });
});
