import { describe, expect, test } from 'vitest';
import { RING_FEATURES } from '../../src/virtio/index.ts';
import {
  attachBytes,
  detachBytes,
  FILLER,
  INVAL,
  mapBytes,
  NOENT,
  OK,
  probeBytes,
  RANGE,
  Rig,
  unmapBytes,
  words,
} from '../support/iommu-rig.ts';

const untouched = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === FILLER);
const PACKED = 1n << 34n;
const INDIRECT = 1n << 28n;
const VERSION_1 = 1n << 32n;
const RINGS = [
  ['split', VERSION_1],
  ['packed', VERSION_1 | PACKED],
  ['split, indirect', VERSION_1 | INDIRECT],
  ['packed, indirect', VERSION_1 | PACKED | INDIRECT],
  ['everything', RING_FEATURES],
] as const;

/** VIRTIO 1.3, IOMMU Device / Device operations, and the rules of virtqueues that matter here. */
describe('requests', () => {
  test('D13: a request that was done has status OK', () => {
    const rig = new Rig();
    expect(rig.attach(1, 1)).toBe(OK);
    expect(rig.map(1, 0n, 0xfffn, 0n)).toBe(OK);
    expect(rig.unmap(1, 0n, 0xfffn)).toBe(OK);
    expect(rig.detach(1, 1)).toBe(OK);
    expect(rig.probe(1).status).toBe(OK);
  });

  test.each([0, 6, 7, 8, 100, 255])('D14: type %i is unknown: nothing written, used 0', (type) => {
    const rig = new Rig();
    const answer = rig.send(new Uint8Array(80).fill(type, 0, 1), 600);
    expect(answer.used).toBe(0);
    expect(untouched(answer.bytes)).toBe(true);
    // The queue goes on.
    expect(rig.attach(1, 1)).toBe(OK);
  });

  test('D14: MAP and UNMAP are unknown without MAP_UNMAP', () => {
    const rig = new Rig({ features: ['BYPASS_CONFIG'] });
    expect(rig.attach(1, 1)).toBe(OK);
    expect(rig.send(mapBytes(1, 0n, 0xfffn, 0n)).used).toBe(0);
    expect(rig.send(unmapBytes(1, 0n, 0xfffn)).used).toBe(0);
  });

  test('D15: head.reserved is ignored, tail.reserved is zero', () => {
    const rig = new Rig();
    const request = attachBytes(1, 1, { head_reserved: Uint8Array.of(1, 2, 255) });
    expect([...rig.send(request).bytes]).toEqual([OK, 0, 0, 0]);
    expect([...rig.send(mapBytes(1, 1n, 1n, 0n)).bytes]).toEqual([RANGE, 0, 0, 0]);
    expect(Array.from(rig.send(probeBytes(1), 516).bytes.slice(512))).toEqual([OK, 0, 0, 0]);
  });

  test.each([
    ['attach', attachBytes(1, 1)],
    ['detach', detachBytes(1, 1)],
    ['map', mapBytes(1, 0n, 0xfffn, 0n)],
    ['unmap', unmapBytes(1, 0n, 0xfffn)],
    ['probe', probeBytes(1)],
  ])('D16: a %s that is too short, at every length, comes back unwritten', (_name, request) => {
    const rig = new Rig();
    rig.attach(1, 1);
    for (let length = 1; length < request.length; length++) {
      const answer = rig.send(request.slice(0, length), 516);
      expect(answer.used).toBe(0);
      expect(untouched(answer.bytes)).toBe(true);
    }
    expect(rig.device.state.endpoints.get(1)?.domain?.id).toBe(1);
    expect(rig.device.state.domains.get(1)?.mappings.size).toBe(0);
    // Longer than needed is nobody's mistake.
    const longer = new Uint8Array(request.length + 5);
    longer.set(request);
    expect(rig.send(longer, 516).status).toBe(OK);
  });

  test.each([0, 1, 2, 3])('D16: no room for a tail (%i bytes): unwritten, nothing done', (room) => {
    const rig = new Rig();
    const answer = rig.send(attachBytes(1, 1), room);
    expect(answer.used).toBe(0);
    expect(untouched(answer.bytes)).toBe(true);
    expect(rig.device.state.domains.size).toBe(0);
  });

  test('D16: a request in memory that is not there comes back unwritten', () => {
    const rig = new Rig();
    rig.request.add([{ hi: 5, lo: 0, length: 20 }], [{ hi: 0, lo: 0x9_0000, length: 4 }]);
    rig.core.notify(0);
    expect(rig.answer()?.used).toBe(0);
    expect(rig.attach(1, 1)).toBe(OK);
  });

  test.each(RINGS)('D60: any framing does, %s', (_name, ring) => {
    const rig = new Rig({ ring, endpoints: [{ id: 1 }] });
    const indirect = (ring & INDIRECT) !== 0n;
    for (const cut of [1, 2, 3, 5, 7, 16, 1000]) {
      const framing = { cut: indirect ? cut : Math.max(cut, 2), indirect };
      expect(rig.send(attachBytes(1, 1), 4, framing)).toMatchObject({ used: 4, status: OK });
      expect(rig.send(mapBytes(1, 0x1000n, 0x1fffn, 0x2000n), 4, framing).status).toBe(OK);
      expect(rig.send(unmapBytes(1, 0n, 0xffffn), 4, framing).status).toBe(OK);
      expect(rig.send(detachBytes(1, 1), 4, framing).status).toBe(OK);
    }
  });

  test('D60: a PROBE reply goes wherever its descriptors say', () => {
    const region = { range: { start: 0x1000n, end: 0x1fffn }, type: 'reserved' } as const;
    const rig = new Rig({ probeSize: 32, endpoints: [{ id: 1, reserved: [region] }] });
    const whole = rig.send(probeBytes(1), 36);
    expect(rig.send(probeBytes(1), 36, { cut: 3 })).toEqual(whole);
  });

  test('D61: the used length counts from the start of the writable part', () => {
    const rig = new Rig({ probeSize: 64 });
    // Bytes past the tail are not counted and not touched.
    const longer = rig.send(attachBytes(1, 1), 20);
    expect(longer.used).toBe(4);
    expect(untouched(longer.bytes.slice(4))).toBe(true);
    const probe = rig.send(probeBytes(1), 100);
    expect(probe.used).toBe(68);
    expect(untouched(probe.bytes.slice(68))).toBe(true);
  });

  test('D62: indirect tables are understood when offered, and break the queue when not', () => {
    const rig = new Rig({ ring: VERSION_1 | INDIRECT });
    expect(rig.send(attachBytes(1, 1), 4, { cut: 4, indirect: true }).status).toBe(OK);
    // The same descriptor flag without the feature: the device asks for a reset.
    const without = new Rig();
    without.request.add([{ hi: 0, lo: 0x8_0000, length: 20 }], []);
    const at = Number(without.request.descArea);
    const view = new DataView(without.ram.buffer);
    for (let i = 0; i < 64; i++) view.setUint16(at + 16 * i + 12, 4, true);
    without.core.notify(0);
    expect(without.core.status & 0x40).toBe(0x40);
    without.boot();
    expect(without.attach(1, 1)).toBe(OK);
  });

  test('D62: with EVENT_IDX used_event says when to interrupt', () => {
    const rig = new Rig({ ring: VERSION_1 | (1n << 29n) });
    rig.request.enableInterrupts(false);
    const before = rig.interrupts;
    rig.attach(1, 1);
    rig.request.enableInterrupts(true);
    rig.attach(1, 2);
    expect(rig.interrupts - before).toBeLessThanOrEqual(1);
    expect(rig.interrupts - before).toBeGreaterThan(0);
  });

  test('D63: VERSION_1 is offered and FEATURES_OK refused without it', () => {
    const rig = new Rig({ asleep: true });
    expect(rig.core.offered & VERSION_1).toBe(VERSION_1);
    rig.core.writeStatus(3);
    rig.core.choose(0, 4);
    rig.core.writeStatus(0xb);
    expect(rig.core.status & 8).toBe(0);
  });

  test('D64: an error has the same used length as success', () => {
    const rig = new Rig({ probeSize: 48 });
    expect(rig.send(attachBytes(1, 77))).toMatchObject({ used: 4, status: NOENT });
    expect(rig.send(mapBytes(9, 0n, 0xfffn, 0n))).toMatchObject({ used: 4, status: NOENT });
    expect(rig.send(unmapBytes(9, 0n, 0xfffn))).toMatchObject({ used: 4, status: NOENT });
    expect(rig.send(detachBytes(9, 77))).toMatchObject({ used: 4, status: NOENT });
    expect(rig.send(probeBytes(77), 52)).toMatchObject({ used: 52, status: NOENT });
    // Even where there is less room than the format has, all of it is used.
    expect(rig.send(probeBytes(1), 20)).toMatchObject({ used: 20, status: INVAL });
  });

  test('D64: a reply that cannot be written is as long as what was written', () => {
    const rig = new Rig();
    rig.ram.set(attachBytes(1, 1), 0x8_0000);
    rig.request.add([{ hi: 0, lo: 0x8_0000, length: 20 }], [{ hi: 9, lo: 0, length: 4 }]);
    rig.core.notify(0);
    expect(rig.request.poll()?.length).toBe(0);
  });

  test('D14: words of garbage never stop the queue', () => {
    const rig = new Rig();
    for (let i = 0; i < 300; i++) {
      rig.send(words(i * 0x9e37_79b9, ~i, i << 24, i), i % 40 || 1);
    }
    expect(rig.attach(1, 1)).toBe(OK);
  });
});
