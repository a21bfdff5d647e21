import { describe, expect, test } from 'vitest';
import { DirectDma, GuestMemory } from '../../../src/memory/index.ts';
import { makeDriverQueue, VirtioCore, type DriverQueue } from '../../../src/virtio/index.ts';
import { EchoDevice } from '../../support/virtio-device.ts';
import { layoutOf } from '../../support/virtio.ts';

const BASE = 0x4000_0000n;
const IN = { hi: 0, lo: 0x4000_1000, length: 3 };
const OUT = { hi: 0, lo: 0x4000_2000, length: 8 };
const VERSION_1 = 1n << 32n;
const PACKED = 1n << 34n;
const EVENT_IDX = 1n << 29n;

class WatchedDevice extends EchoDevice {
  readonly watched: readonly number[] = [0];
}

function running(features: bigint): { core: VirtioCore; device: EchoDevice; driver: DriverQueue } {
  const memory = new GuestMemory([{ gpa: BASE, bytes: new Uint8Array(0x4000) }]);
  const device = new WatchedDevice();
  const ringFeatures = VERSION_1 | PACKED | EVENT_IDX;
  const core = new VirtioCore(device, { dma: new DirectDma(memory), ringFeatures });
  for (const step of [1, 3]) core.writeStatus(step);
  core.choose(0, Number(features & 0xffff_ffffn));
  core.choose(1, Number(features >> 32n));
  core.writeStatus(0xb);
  const driver = makeDriverQueue({ memory, area: BASE, size: 4, features });
  const { size, descHi, descLo, driverHi, driverLo, deviceHi, deviceLo } = layoutOf(driver);
  const [slot] = core.queues;
  if (slot === undefined) throw new Error('no queue');
  Object.assign(slot, { size, descHi, descLo, driverHi, driverLo, deviceHi, deviceLo });
  core.enableQueue(0);
  core.writeStatus(0xf);
  return { core, device, driver };
}

describe.each([
  ['split', VERSION_1],
  ['split with EVENT_IDX', VERSION_1 | EVENT_IDX],
  ['packed', VERSION_1 | PACKED],
  ['packed with EVENT_IDX', VERSION_1 | PACKED | EVENT_IDX],
])('a watched queue, %s', (_, features) => {
  test('its driver need not notify; afterwards it must again, and nothing is lost between', () => {
    const { core, driver } = running(features);
    expect(core.look()).toBe(false);
    driver.add([IN], [OUT]);
    expect(driver.kickNeeded()).toBe(true);
    core.watch(true);
    core.notify(0);
    expect(driver.poll()).toBeDefined();
    for (let lap = 0; lap < 10; lap++) {
      expect(core.hasMore).toBe(false);
      driver.add([IN], [OUT]);
      expect(driver.kickNeeded()).toBe(false);
      expect(core.hasMore).toBe(true);
      expect(core.look()).toBe(true);
      expect(core.look()).toBe(false);
      expect(driver.poll()).toBeDefined();
    }
    // It comes in the last moment: nobody notifies.
    driver.add([IN], [OUT]);
    expect(driver.kickNeeded()).toBe(false);
    core.watch(false);
    expect(core.look()).toBe(true);
    expect(driver.poll()).toBeDefined();
    driver.add([IN], [OUT]);
    expect(driver.kickNeeded()).toBe(true);
  });

  test('a device that takes nothing is not looked at without end, nor one that was reset', () => {
    const { core, device, driver } = running(features);
    driver.add([IN], [OUT]);
    device.kick = () => undefined;
    expect(core.look()).toBe(false);
    core.writeStatus(0);
    core.watch(true);
    expect(core.hasMore).toBe(false);
    expect(core.look()).toBe(false);
  });
});

test('a ring that cannot be read has nothing, and is not broken by looking', () => {
  const { core } = running(VERSION_1);
  const [slot] = core.queues;
  if (slot?.queue === undefined) throw new Error('no queue');
  Object.assign(slot.queue, { layout: { ...slot.queue.layout, driverHi: 7 } });
  expect(core.hasMore).toBe(false);
  expect(slot.queue.error).toBeUndefined();
});

test('a device with nothing to watch is left in peace', () => {
  const memory = new GuestMemory([{ gpa: BASE, bytes: new Uint8Array(0x4000) }]);
  const core = new VirtioCore(new EchoDevice(), {
    dma: new DirectDma(memory),
    ringFeatures: VERSION_1,
  });
  core.watch(true);
  expect(core.hasMore).toBe(false);
  expect(core.look()).toBe(false);
});
