import { describe, expect, test } from 'vitest';
import type { Pin } from '../../../src/iommu/index.ts';
import { attachBytes, detachBytes, OK, Rig, unmapBytes } from '../../support/iommu-rig.ts';

const RING_RESET = (1n << 32n) | (1n << 40n);

const attached = (options: ConstructorParameters<typeof Rig>[0] = {}): Rig => {
  const rig = new Rig({ bootBypass: false, ...options });
  rig.attach(1, 1);
  rig.map(1, 0x1000n, 0x1fffn, 0x2000n);
  return rig;
};

const pinned = (rig: Rig): Pin => {
  const pin = rig.device.endpoints.pin(1, 0x1000n, 1n);
  if (pin === undefined) throw new Error('no pin');
  return pin;
};

describe('accesses in flight', () => {
  test('never hang a reset, nor the removal of the endpoint', () => {
    const rig = attached();
    const pin = rig.device.endpoints.pin(1, 0x1000n, 1n);
    rig.submit(unmapBytes(1, 0x1000n, 0x1fffn));
    rig.boot();
    expect(pin?.live).toBe(false);
    expect(rig.device.isWaiting).toBe(false);
    rig.attach(1, 1);
    rig.map(1, 0x1000n, 0x1fffn, 0x2000n);
    // Releasing what is void has no effect.
    if (pin) rig.device.endpoints.release(pin);
    const other = rig.device.endpoints.pin(1, 0x1000n, 1n);
    rig.submit(unmapBytes(1, 0x1000n, 0x1fffn));
    expect(rig.device.isWaiting).toBe(true);
    rig.device.removeEndpoint(1);
    expect(other?.live).toBe(false);
    expect(rig.answer()?.status).toBe(OK);
  });

  test('a reset of the request queue alone lets go of the waiting request, not of the access', () => {
    const rig = attached({ ring: RING_RESET });
    const pin = pinned(rig);
    rig.submit(unmapBytes(1, 0x1000n, 0x1fffn));
    rig.core.resetQueue(0);
    expect(rig.device.isWaiting).toBe(false);
    expect(rig.events.at(-1)).toMatchObject({ kind: 'request', name: 'unmap', used: 0 });
    // The mapping has gone, the access has not: the same UNMAP again must not complete before it.
    rig.reopen();
    rig.submit(unmapBytes(1, 0x1000n, 0x1fffn));
    expect(rig.answer()).toBe(undefined);
    rig.device.endpoints.release(pin);
    expect(rig.answer()?.status).toBe(OK);
    expect(rig.device.isWaiting).toBe(false);
  });

  test('through a domain that the endpoint has left hold up UNMAP there, and the next ATTACH', () => {
    for (const late of ['unmap', 'attach'] as const) {
      const rig = attached({ ring: RING_RESET });
      rig.attach(1, 2);
      const pin = pinned(rig);
      rig.submit(detachBytes(1, 1));
      expect(rig.device.isWaiting).toBe(true);
      rig.core.resetQueue(0);
      rig.reopen();
      // Over a migration too.
      rig.migrate();
      rig.submit(late === 'unmap' ? unmapBytes(1, 0x1000n, 0x1fffn) : attachBytes(2, 1));
      expect(rig.answer()).toBe(undefined);
      const now = rig.device.endpoints.pinById(pin.id);
      if (now) rig.device.endpoints.release(now);
      expect(rig.answer()?.status).toBe(OK);
    }
  });

  test('through a domain that is no more do not hold up UNMAP in a new one with its ID', () => {
    for (const migrates of [false, true]) {
      const rig = attached({ ring: RING_RESET });
      pinned(rig);
      rig.submit(detachBytes(1, 1));
      rig.core.resetQueue(0);
      rig.reopen();
      rig.attach(1, 2);
      rig.map(1, 0x1000n, 0x1fffn, 0x2000n);
      const saved = rig.core.snapshot();
      if (migrates) rig.migrate();
      expect(rig.core.snapshot()).toEqual(saved);
      expect(rig.unmap(1, 0x1000n, 0x1fffn)).toBe(OK);
    }
  });

  test('of an unattached endpoint that bypasses hold up its ATTACH', () => {
    const rig = new Rig({ bootBypass: true });
    const pin = pinned(rig);
    rig.submit(attachBytes(1, 1));
    expect(rig.answer()).toBe(undefined);
    rig.migrate();
    const now = rig.device.endpoints.pinById(pin.id);
    expect(now?.domain).toBe(undefined);
    if (now) rig.device.endpoints.release(now);
    expect(rig.answer()?.status).toBe(OK);
  });

  test('that end after DEVICE_NEEDS_RESET lead to no answer; a snapshot holds no waiting request', () => {
    const rig = attached();
    const pin = pinned(rig);
    rig.submit(unmapBytes(1, 0x1000n, 0x1fffn));
    rig.core.needsReset('for a test');
    const saved = rig.core.snapshot();
    expect(saved.device).toMatchObject({ parked: undefined, pins: [{ waitedFor: false }] });
    const { device } = rig;
    rig.migrate();
    expect(rig.core.snapshot()).toEqual(saved);
    const before = rig.ram.slice();
    device.endpoints.release(pin);
    expect(rig.events.at(-1)).toMatchObject({ kind: 'request', name: 'unmap', used: 0 });
    expect(device.isWaiting).toBe(false);
    expect(Buffer.compare(rig.ram, before)).toBe(0);
  });

  test('two of them: the answer comes with the end of the last', () => {
    const rig = attached();
    const [first, second] = [pinned(rig), pinned(rig)];
    const elsewhere = rig.device.endpoints.pin(1, 0x7000n, 1n);
    rig.submit(unmapBytes(1, 0x1000n, 0x1fffn));
    if (elsewhere) rig.device.endpoints.release(elsewhere);
    rig.device.endpoints.release(first);
    rig.core.notify(0);
    expect(rig.answer()).toBe(undefined);
    rig.device.endpoints.release(second);
    expect(rig.answer()?.status).toBe(OK);
  });

  test('are bounded, and need an endpoint and a range', () => {
    const rig = attached({ limits: { pins: 2 } });
    const { endpoints } = rig.device;
    expect(endpoints.pin(9, 0n, 1n)).toBe(undefined);
    expect(endpoints.pin(1, 5n, 0n)).toBe(undefined);
    expect(endpoints.pin(1, (1n << 64n) - 1n, 99n)?.endLo).toBe(0xffff_ffff);
    expect(endpoints.pin(1, 0n, 1n)).toBeDefined();
    expect(endpoints.pin(1, 0n, 1n)).toBe(undefined);
  });

  test('of other endpoints, domains and ranges are not waited for', () => {
    const rig = attached();
    rig.attach(2, 2);
    rig.map(2, 0x1000n, 0x1fffn, 0x2000n);
    rig.map(1, 0x2000n, 0x2fffn, 0x3000n);
    rig.device.endpoints.pin(2, 0x1000n, 0x1000n);
    rig.device.endpoints.pin(1, 0x2000n, 0x1000n);
    expect(rig.unmap(1, 0x1000n, 0x1fffn)).toBe(OK);
    expect(rig.unmap(1, 0x3000n, 0x3fffn)).toBe(OK);
    expect(rig.attach(1, 1)).toBe(OK);
  });
});
