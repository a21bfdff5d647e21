import { describe, expect, test } from 'vitest';
import { RING_FEATURES } from '../../src/virtio/index.ts';
import {
  attachBytes,
  FILLER,
  INVAL,
  mapBytes,
  NOENT,
  OK,
  probeBytes,
  RANGE,
  Rig,
} from '../support/iommu-rig.ts';

const TOP = (1n << 64n) - 1n;
const region = { range: { start: 0x8000n, end: 0x8fffn }, type: 'reserved' } as const;

const attached = (options: ConstructorParameters<typeof Rig>[0] = {}): Rig => {
  const rig = new Rig({ bootBypass: false, ...options });
  rig.attach(1, 1);
  rig.map(1, 0x1000n, 0x1fffn, 0x2000n);
  return rig;
};

const domainOf = (rig: Rig, endpoint: number): number | undefined =>
  rig.device.state.endpoints.get(endpoint)?.domain?.id;

/**
 * Each of these is something that at least one known implementation gets wrong. The rules' own
 * tests go further; here is one for one what to look at first.
 */
describe('what others get wrong', () => {
  test('check 1: ATTACH with reserved set is INVAL and moves nothing', () => {
    const rig = attached();
    expect(rig.attach(2, 1, { reserved: Uint8Array.of(0, 0, 0, 9) })).toBe(INVAL);
    expect(rig.read(1, 0x1000n)).toBe(0);
  });

  test('check 2: ATTACH with a wrong bypass flag is INVAL and keeps the old attachment', () => {
    const rig = attached();
    rig.attach(2, 2, { flags: 1 });
    expect(rig.attach(2, 1)).toBe(INVAL);
    expect(rig.read(1, 0x1000n)).toBe(0);
  });

  test('check 3: ATTACH of an unknown endpoint is NOENT, beyond 16 bits too', () => {
    const rig = attached();
    expect([rig.attach(1, 3), rig.attach(1, 0x1_0001)]).toEqual([NOENT, NOENT]);
  });

  test('check 4: ATTACH to the same domain keeps its mappings', () => {
    const rig = attached();
    expect(rig.attach(1, 1)).toBe(OK);
    expect(rig.read(1, 0x1000n)).toBe(0);
  });

  test('check 5: DETACH from the wrong domain leaves the endpoint attached', () => {
    const rig = attached();
    rig.attach(2, 2);
    rig.detach(2, 1);
    expect(domainOf(rig, 1)).toBe(1);
    expect(domainOf(rig, 2)).toBe(2);
  });

  test('check 6: a split in the last of three mappings removes none', () => {
    const rig = attached();
    rig.map(1, 0x2000n, 0x2fffn, 0x3000n);
    rig.map(1, 0x3000n, 0x4fffn, 0x4000n);
    expect(rig.unmap(1, 0x1000n, 0x3fffn)).toBe(RANGE);
    expect([0x1000n, 0x2000n, 0x3000n].map((at) => rig.read(1, at))).toEqual([0, 0, 0]);
  });

  test('check 7: MAP misaligned, outside input_range, over a reserved region', () => {
    const rig = attached({
      inputRange: { start: 0n, end: 0xf_ffffn },
      endpoints: [{ id: 1, reserved: [region] }],
    });
    expect(rig.map(1, 0x3001n, 0x3fffn, 0n)).toBe(RANGE);
    expect(rig.map(1, 0x10_0000n, 0x10_0fffn, 0n)).toBe(RANGE);
    expect(rig.map(1, 0x8000n, 0x8fffn, 0n)).toBe(INVAL);
  });

  test('check 8: a read-only mapping blocks writes', () => {
    const rig = attached();
    rig.map(1, 0x5000n, 0x5fffn, 0x6000n, 1);
    expect([rig.read(1, 0x5000n), rig.write(1, 0x5000n)]).toEqual([0, false]);
  });

  test('check 9: a write-only mapping blocks reads, unless made lenient', () => {
    const rig = attached();
    rig.map(1, 0x5000n, 0x5fffn, 0x6000n, 2);
    expect([rig.read(1, 0x5000n), rig.write(1, 0x5000n)]).toEqual([undefined, true]);
  });

  test('check 10: the byte below a mapping faults, the last of one is not its neighbour`s', () => {
    const rig = attached();
    rig.map(1, 0x2000n, 0x2fffn, 0x9000n);
    rig.ram[0x2fff] = 1;
    rig.ram[0x8fff] = 2;
    expect(rig.read(1, 0xfffn)).toBe(undefined);
    expect(rig.read(1, 0x1fffn)).toBe(1);
    expect(rig.read(1, 0x3000n)).toBe(undefined);
  });

  test('check 11: one-byte descriptors, and all of it in an indirect table', () => {
    const rig = new Rig({ ring: RING_FEATURES });
    expect(rig.send(attachBytes(1, 1), 4, { cut: 1 }).status).toBe(OK);
    const indirect = { cut: 1, indirect: true };
    expect(rig.send(mapBytes(1, 0n, 0xfffn, 0n), 4, indirect).status).toBe(OK);
    expect(rig.send(mapBytes(1, 0n, 0xfffn, 0n), 4, { indirect: true }).status).toBe(INVAL);
  });

  test('check 12: an error reply is as long as any other', () => {
    const rig = attached();
    expect(rig.send(mapBytes(9, 0n, 0xfffn, 0n)).used).toBe(4);
    expect(rig.probe(9).used).toBe(516);
  });

  test('check 13: an unknown type leaves the buffer untouched', () => {
    const answer = attached().send(new Uint8Array(64).fill(9), 64);
    expect(answer.used).toBe(0);
    expect(answer.bytes.every((byte) => byte === FILLER)).toBe(true);
  });

  test('check 14: a short PROBE buffer is INVAL, at its end, without a property', () => {
    const rig = attached({ endpoints: [{ id: 1, reserved: [region] }] });
    const { bytes, used } = rig.send(probeBytes(1), 104);
    expect(used).toBe(104);
    expect([...bytes]).toEqual([...new Uint8Array(100), INVAL, 0, 0, 0]);
  });

  test('check 15: MAP, UNMAP and accesses up to 2^64 - 1', () => {
    const rig = attached();
    expect(rig.map(1, TOP - 0xfffn, TOP, 0x7000n)).toBe(OK);
    expect(rig.read(1, TOP)).toBe(0);
    expect(rig.unmap(1, TOP - 0xfffn, TOP)).toBe(OK);
    expect(rig.read(1, TOP)).toBe(undefined);
  });

  test('check 16: a device reset drops domains and keeps bypass, a system reset restores it', () => {
    const rig = attached();
    rig.setBypass(1);
    rig.core.writeStatus(0);
    expect(rig.device.state.domains.size).toBe(0);
    expect(rig.device.config[36]).toBe(1);
    rig.core.systemReset();
    expect(rig.device.config[36]).toBe(0);
  });

  test('check 17: bypass before negotiation agrees with the value that can be read', () => {
    for (const bootBypass of [true, false]) {
      const rig = new Rig({ bootBypass, asleep: true });
      expect(rig.core.configRead(36, 1)).toBe(bootBypass ? 1 : 0);
      expect(rig.read(1, 0n)).toBe(bootBypass ? 0 : undefined);
    }
  });

  test('check 18: an event without a buffer stalls no request, and later events arrive', () => {
    const rig = attached({ eventBuffers: [] });
    for (let i = 0; i < 1000; i++) rig.read(1, 0n);
    expect(rig.map(1, 0x2000n, 0x2fffn, 0n)).toBe(OK);
    for (let i = 0; i < 4; i++) rig.giveEventBuffer(24, true);
    expect(rig.faults()).toHaveLength(4);
  });

  test('check 19: UNMAP and DETACH complete after accesses in flight, and nothing gets in', () => {
    const rig = attached();
    const { endpoints } = rig.device;
    const first = endpoints.pin(1, 0x1800n, 4n);
    const elsewhere = endpoints.pin(1, 0x9000n, 4n);
    expect(() => rig.unmap(1, 0x1000n, 0x1fffn)).toThrow('no answer');
    expect(rig.write(1, 0x1800n)).toBe(false);
    if (first) endpoints.release(first);
    expect(rig.answer()?.status).toBe(OK);
    expect(elsewhere?.live).toBe(true);
    expect(() => rig.detach(1, 1)).toThrow('no answer');
    if (elsewhere) endpoints.release(elsewhere);
    expect(rig.answer()?.status).toBe(OK);
  });

  test('check 20: a snapshot in the middle has bypass, pending events and the waiting request', () => {
    const rig = attached({ eventBuffers: [] });
    rig.setBypass(1);
    rig.read(1, 0x7777n);
    const pin = rig.device.endpoints.pin(1, 0x1800n, 4n);
    expect(() => rig.unmap(1, 0x1000n, 0x1fffn)).toThrow('no answer');
    const saved = rig.core.snapshot();

    const other = new Rig({ bootBypass: false, asleep: true });
    other.ram.set(rig.ram);
    other.core.restore(saved);
    expect(other.core.snapshot()).toEqual(saved);
    expect(other.device.config[36]).toBe(1);
    expect(other.device.state.faults.list()).toHaveLength(1);
    expect(other.device.isWaiting).toBe(true);
    const again = other.device.endpoints.pinById(pin?.id ?? 0);
    if (again) other.device.endpoints.release(again);
    expect(other.device.isWaiting).toBe(false);
    if (pin) rig.device.endpoints.release(pin);
    // Both guests find the same bytes.
    expect(rig.answer()?.status).toBe(OK);
    expect(Buffer.compare(other.ram, rig.ram)).toBe(0);
    expect(other.core.snapshot()).toEqual(rig.core.snapshot());
  });
});
