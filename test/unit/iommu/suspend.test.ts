import { describe, expect, test } from 'vitest';
import type { IommuEvent } from '../../../src/iommu/index.ts';
import { VIRTIO_IOMMU_T_MAP } from '../../../src/spec/virtio-iommu.ts';
import { attachBytes, mapBytes, OK, Rig } from '../../support/iommu-rig.ts';

const READABLE = 0x8_0000;
const WRITABLE = 0x9_0000;

/** Puts requests into the ring, each in a place of its own, and notifies once. */
function batch(rig: Rig, requests: readonly Uint8Array[]): void {
  for (const [index, request] of requests.entries()) {
    rig.ram.set(request, READABLE + index * 128);
    const id = rig.request.add(
      [{ hi: 0, lo: READABLE + index * 128, length: request.length }],
      [{ hi: 0, lo: WRITABLE + index * 128, length: 4 }],
      false,
    );
    expect(id).toBeDefined();
  }
  rig.core.notify(0);
}

function answers(rig: Rig): number {
  let count = 0;
  while (rig.request.poll() !== undefined) count++;
  return count;
}

const MAPS = Array.from({ length: 5 }, (_, page) =>
  mapBytes(1, BigInt(page) << 12n, (BigInt(page) << 12n) + 0xfffn, 0n),
);
const BATCH = [attachBytes(1, 1), ...MAPS];

function suspendAt(rig: Rig, map: number): void {
  let seen = 0;
  rig.device.stream.subscribe((event) => {
    if (event.kind === 'request' && event.name === 'map' && ++seen === map) rig.device.suspend();
  });
}

describe('a vIOMMU that is suspended from within an event', () => {
  test('takes no request after it, and raises no interrupt', () => {
    const rig = new Rig();
    suspendAt(rig, 2);
    batch(rig, BATCH);
    expect(rig.device.state.counters.requests).toBe(3);
    expect(rig.device.state.mappings).toBe(2);
    expect(rig.interrupts).toBe(0);
    expect(answers(rig)).toBe(3);
    rig.device.proceed();
    expect(rig.device.state.mappings).toBe(5);
    expect(answers(rig)).toBe(3);
  });

  test('ends as one that was not', () => {
    const told = (rig: Rig): readonly IommuEvent[] => rig.events;
    const free = new Rig();
    batch(free, BATCH);
    const rig = new Rig();
    suspendAt(rig, 2);
    batch(rig, BATCH);
    rig.device.proceed();
    expect(told(rig)).toEqual(told(free));
    expect(rig.device.state.counters).toEqual(free.device.state.counters);
    expect(rig.interrupts).toBe(free.interrupts);
  });

  test('may be suspended again, and notified meanwhile', () => {
    const rig = new Rig();
    rig.device.stream.subscribe((event) => {
      if (event.kind === 'request') rig.device.suspend();
    });
    batch(rig, BATCH);
    for (let done = 1; done <= BATCH.length; done++) {
      expect(rig.device.state.counters.requests).toBe(done);
      rig.device.proceed();
    }
    expect(rig.interrupts).toBe(1);
    rig.device.suspend();
    batch(rig, [mapBytes(1, 0x10_000n, 0x10_fffn, 0n)]);
    expect(rig.device.state.mappings).toBe(5);
    rig.device.proceed();
    expect(rig.device.state.mappings).toBe(6);
  });

  test('a kick of the event queue waits as well', () => {
    const rig = new Rig({ eventBuffers: [] });
    rig.attach(1, 1);
    expect(rig.read(1, 0n)).toBeUndefined();
    rig.device.suspend();
    rig.giveEventBuffer(24, true);
    expect(rig.faults()).toHaveLength(0);
    rig.device.proceed();
    expect(rig.faults()).toHaveLength(1);
  });

  test('a reset forgets what was owed', () => {
    const rig = new Rig();
    suspendAt(rig, 1);
    batch(rig, BATCH);
    rig.boot();
    rig.device.proceed();
    expect(rig.device.state.mappings).toBe(0);
  });
});

test('a request that is refused on purpose is not looked at', () => {
  const rig = new Rig();
  rig.attach(1, 1);
  rig.device.state.refuse = ({ type }, { domain }) =>
    type === VIRTIO_IOMMU_T_MAP && domain === 1 ? 1 : undefined;
  expect(rig.map(1, 0n, 0xfffn, 0n)).toBe(1);
  expect(rig.device.state.mappings).toBe(0);
  expect(rig.attach(2, 2)).toBe(OK);
  expect(rig.map(2, 0n, 0xfffn, 0n)).toBe(OK);
  rig.device.state.refuse = undefined;
  expect(rig.map(1, 0n, 0xfffn, 0n)).toBe(OK);
});
