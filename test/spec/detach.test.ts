import { describe, expect, test } from 'vitest';
import { INVAL, NOENT, OK, Rig } from '../support/iommu-rig.ts';

/** VIRTIO 1.3, IOMMU Device / DETACH request. */
describe('DETACH', () => {
  test('D26: reserved is ignored', () => {
    const rig = new Rig();
    rig.attach(1, 1);
    expect(rig.detach(1, 1, { reserved: new Uint8Array(8).fill(0xff) })).toBe(OK);
    expect(rig.device.state.domains.size).toBe(0);
  });

  test('D27: no such endpoint: NOENT', () => {
    const rig = new Rig();
    rig.attach(1, 1);
    expect(rig.detach(1, 77)).toBe(NOENT);
    expect(rig.detach(1, 0x1_0001)).toBe(NOENT);
  });

  test('D28: another domain, or none: INVAL, and the endpoint stays attached', () => {
    const rig = new Rig();
    rig.attach(1, 1);
    rig.attach(2, 2);
    rig.map(1, 0n, 0xfffn, 0x3000n);
    expect(rig.detach(2, 1)).toBe(INVAL);
    expect(rig.detach(3, 1)).toBe(INVAL);
    expect(rig.read(1, 0n)).toBe(0);
    rig.detach(1, 1);
    expect(rig.detach(1, 1)).toBe(INVAL);
  });

  test('D28: made lenient, it is OK and has no effect', () => {
    const rig = new Rig({ choices: { detachMismatch: 'ok' } });
    rig.attach(1, 1);
    expect(rig.detach(2, 1)).toBe(OK);
    expect(rig.device.state.endpoints.get(1)?.domain?.id).toBe(1);
    expect(rig.detach(1, 77)).toBe(NOENT);
  });

  test('D29: after completion no access goes through, cached or not', () => {
    const rig = new Rig({ bootBypass: false });
    rig.attach(1, 1);
    rig.map(1, 0n, 0xfffn, 0x3000n);
    const dma = rig.dma(1);
    expect(dma.writeU32(0, 0, 1)).toBe(true);
    expect(rig.detach(1, 1)).toBe(OK);
    expect(dma.writeU32(0, 0, 2)).toBe(false);
    expect(rig.ram[0x3000]).toBe(1);
  });

  test('D29: it completes only when accesses in flight are over', () => {
    const rig = new Rig({ bootBypass: false });
    rig.attach(1, 1);
    rig.map(1, 0n, 0xfffn, 0x3000n);
    const pin = rig.device.endpoints.pin(1, 0n, 16n);
    expect(pin?.live).toBe(true);
    expect(() => rig.detach(1, 1)).toThrow('no answer');
    expect(rig.device.isWaiting).toBe(true);
    // Nothing new starts meanwhile.
    expect(rig.read(1, 0n)).toBe(undefined);
    if (pin) rig.device.endpoints.release(pin);
    expect(rig.answer()).toMatchObject({ used: 4, status: OK });
    expect(rig.device.isWaiting).toBe(false);
  });
});
