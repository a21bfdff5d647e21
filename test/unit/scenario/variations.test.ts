import { describe, expect, test } from 'vitest';

import { judge, type MachineRecord, type Observation } from '../../../src/scenario/index.ts';
import type { Model } from '../../../src/topology/index.ts';
import { sampleModel, sampleObservation } from './samples.ts';
import { machineRecord, passingObservation, variedModel, variedObservation } from './varied.ts';

function outcome(id: string, seen: Observation, model: Model = variedModel('strict')): string {
  const found = judge(model, seen).promises.find((promise) => promise.id === id);
  return found?.outcome ?? 'nothing';
}

function withMachine(changes: Partial<MachineRecord>): Observation {
  return variedObservation(changes);
}

describe('what a machine of our own holds', () => {
  const [start] = machineRecord().starts;
  if (start === undefined) throw new Error('no start');

  test('it starts with nothing, and boot-bypass decides', () => {
    expect(outcome('start-state', variedObservation())).toBe('pass');
    for (const wrong of [{ domains: 1 }, { passing: [] }, { passing: [0x10] }]) {
      expect(outcome('start-state', withMachine({ starts: [{ ...start, ...wrong }] }))).toBe(
        'fail',
      );
    }
    const model = variedModel('strict');
    const off = { ...model, viommus: model.viommus.map((one) => ({ ...one, bootBypass: false })) };
    expect(outcome('start-state', variedObservation(), off)).toBe('fail');
    const none = withMachine({ starts: [{ ...start, passing: [] }] });
    expect(outcome('start-state', none, off)).toBe('pass');
  });

  test('an UNMAP after which something can be reached', () => {
    expect(outcome('unmap-leaves-nothing', variedObservation())).toBe('pass');
    const { unmaps } = machineRecord();
    const virt = { start: 0n, end: 0xfffn };
    const event = { order: 1, kind: 'unmap', domain: 0, virt } as const;
    const left = [{ event, why: 'endpoint 16 still reaches 0x0' }];
    const seen = withMachine({ unmaps: { ...unmaps, left, leftCount: 1 } });
    expect(outcome('unmap-leaves-nothing', seen)).toBe('fail');
    const none = withMachine({ unmaps: { ...unmaps, count: 0 } });
    expect(outcome('unmap-leaves-nothing', none)).toBe('nothing');
  });

  test('notifications of UNMAPs, strict and lazy', () => {
    const { unmaps } = machineRecord();
    const batch = (largestBatch: number): Observation =>
      withMachine({ unmaps: { ...unmaps, largestBatch } });
    expect(outcome('unmap-timing', batch(1))).toBe('pass');
    expect(outcome('unmap-timing', batch(2))).toBe('fail');
    expect(outcome('unmap-timing', batch(2), variedModel('lazy'))).toBe('pass');
    expect(outcome('unmap-timing', batch(1), variedModel('lazy'))).toBe('fail');
    expect(outcome('unmap-timing', sampleObservation())).toBe('not-observable');
    expect(outcome('unmap-timing', batch(1), sampleModel())).toBe('nothing');
  });

  test('what a driver leaves behind', () => {
    const [unbind] = machineRecord().unbinds;
    if (unbind === undefined) throw new Error('no unbind');
    const virt = { start: 0xffff_f000n, end: 0xffff_ffffn };
    const left = (phys: bigint, changes = {}): Observation =>
      withMachine({
        unbinds: [{ ...unbind, mappings: [{ virt, phys }], count: 1, counted: 1, ...changes }],
      });
    expect(outcome('unbind-leaves-nothing', left(0x4000_0000n))).toBe('fail');
    // Linux never unmaps a doorbell that it maps by itself.
    expect(outcome('unbind-leaves-nothing', left(0x809_0000n))).toBe('pass');
    // The requests say otherwise than the device.
    expect(outcome('unbind-leaves-nothing', left(0x809_0000n, { counted: 2 }))).toBe('fail');
    // Another driver of the domain is still there.
    const busy = left(0x4000_0000n, { others: [0x100] });
    expect(outcome('unbind-leaves-nothing', busy)).toBe('nothing');
  });
});

describe('what is tried beyond a boot', () => {
  test.each(['rebind-works', 'hotplug-works', 'reboots'])('%s', (id) => {
    expect(outcome(id, variedObservation())).toBe('pass');
    expect(outcome(id, variedObservation(), sampleModel())).toBe('nothing');
    const { before: _, ...once } = variedObservation({}, { rebinds: [], plugs: [] });
    expect(outcome(id, once)).toBe('fail');
    const skipped = { ...once, skipped: ['rebind', 'hotplug', 'reboot'] as const };
    expect(outcome(id, skipped)).toBe('not-observable');
  });

  test('a driver that does not come back, a device in no group', () => {
    const error = { device: '0000:00:02.0', error: 'write error: No such device' };
    expect(outcome('rebind-works', variedObservation({}, { rebinds: [error] }))).toBe('fail');
    const lonely = { device: '0000:01:00.0', driver: 'virtio-pci' };
    expect(outcome('hotplug-works', variedObservation({}, { plugs: [lonely] }))).toBe('fail');
  });

  test('what broke in the first of two boots fails the verdict, and says so', () => {
    const good = variedObservation();
    const bad = variedObservation({ starts: [] }, { completed: false });
    const { before: _, ...first } = bad;
    const verdict = judge(variedModel('strict'), { ...good, before: first });
    const completed = verdict.promises.find(({ id }) => id === 'guest-completed');
    expect(completed?.items.map(({ subject, outcome: of }) => [subject, of])).toEqual([
      ['first boot: guest', 'fail'],
      ['guest', 'pass'],
    ]);
    expect(verdict.outcome).toBe('fail');
    expect(verdict.causes).not.toEqual([]);
  });

  test('identity domains have the flag, and no mapping', () => {
    const model = variedModel('identity');
    expect(outcome('identity-passes', passingObservation(), model)).toBe('pass');
    expect(outcome('identity-passes', passingObservation(false), model)).toBe('fail');
    expect(outcome('identity-passes', passingObservation(true, true), model)).toBe('fail');
    expect(outcome('identity-passes', passingObservation())).toBe('nothing');
  });

  test('a second MAP is refused, and that is no failed request', () => {
    const virt = { start: 0n, end: 0xfffn };
    const overlap = (status: number): Observation =>
      variedObservation({}, { overlaps: [{ device: '0000:00:04.0', virt, status }] });
    expect(outcome('overlap-refused', overlap(4))).toBe('pass');
    expect(outcome('overlap-refused', overlap(0))).toBe('fail');
    const refused = sampleObservation({
      events: [{ order: 0, kind: 'map', domain: 0, virt, phys: 0n, flags: 3, status: 4 }],
    });
    expect(outcome('no-failed-request', refused)).toBe('fail');
    const { overlaps } = overlap(4).guest;
    const meant = { ...refused, guest: { ...refused.guest, overlaps } };
    expect(outcome('no-failed-request', meant)).toBe('pass');
  });
});
