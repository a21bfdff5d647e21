import { describe, expect, it } from 'vitest';
import { DirectDma, GuestMemory } from '../../../src/memory/index.ts';
import * as R from '../../../src/spec/virtio-mmio.ts';
import { VIRTIO_F_RING_RESET, VIRTIO_F_VERSION_1 } from '../../../src/spec/virtio.ts';
import {
  DriverSplitQueue,
  featureBits,
  MMIO_REGISTERS,
  MmioTransport,
  RING_FEATURES,
  VirtioCore,
  type VirtioEvent,
  type VirtioOptions,
} from '../../../src/virtio/index.ts';
import { EchoDevice } from '../../support/virtio-device.ts';

const RAM = 0x4000_0000n;

interface Bench {
  readonly memory: GuestMemory;
  readonly device: EchoDevice;
  readonly mmio: MmioTransport;
  readonly line: boolean[];
  readonly events: VirtioEvent[];
}

function bench(options: Partial<VirtioOptions> = {}, version: 1 | 2 = 2): Bench {
  const memory = new GuestMemory([{ gpa: RAM, bytes: new Uint8Array(0x4000) }]);
  const device = new EchoDevice();
  const line: boolean[] = [];
  const events: VirtioEvent[] = [];
  const core = new VirtioCore(device, {
    dma: new DirectDma(memory),
    ringFeatures: featureBits(VIRTIO_F_VERSION_1, VIRTIO_F_RING_RESET),
    onEvent: (event) => events.push(event),
    ...options,
  });
  const mmio = new MmioTransport(core, { line: (level) => line.push(level), version });
  return { memory, device, mmio, line, events };
}

const V1_RESET = featureBits(VIRTIO_F_VERSION_1, VIRTIO_F_RING_RESET);

/** What a driver does up to FEATURES_OK. */
function negotiate(mmio: MmioTransport, features: bigint = V1_RESET | 1n): number {
  mmio.write(R.VIRTIO_MMIO_STATUS, 4, 0);
  mmio.write(R.VIRTIO_MMIO_STATUS, 4, 1);
  mmio.write(R.VIRTIO_MMIO_STATUS, 4, 3);
  for (const select of [0, 1]) {
    mmio.write(R.VIRTIO_MMIO_DRIVER_FEATURES_SEL, 4, select);
    const word = Number((features >> BigInt(32 * select)) & 0xffff_ffffn);
    mmio.write(R.VIRTIO_MMIO_DRIVER_FEATURES, 4, word);
  }
  mmio.write(R.VIRTIO_MMIO_STATUS, 4, 0xb);
  return mmio.read(R.VIRTIO_MMIO_STATUS, 4);
}

function setUp(mmio: MmioTransport, index: number, driver: DriverSplitQueue): void {
  mmio.write(R.VIRTIO_MMIO_QUEUE_SEL, 4, index);
  mmio.write(R.VIRTIO_MMIO_QUEUE_NUM, 4, driver.size);
  const put = (low: number, high: number, address: bigint): void => {
    mmio.write(low, 4, Number(address & 0xffff_ffffn));
    mmio.write(high, 4, Number(address >> 32n));
  };
  put(R.VIRTIO_MMIO_QUEUE_DESC_LOW, R.VIRTIO_MMIO_QUEUE_DESC_HIGH, driver.descArea);
  put(R.VIRTIO_MMIO_QUEUE_AVAIL_LOW, R.VIRTIO_MMIO_QUEUE_AVAIL_HIGH, driver.driverArea);
  put(R.VIRTIO_MMIO_QUEUE_USED_LOW, R.VIRTIO_MMIO_QUEUE_USED_HIGH, driver.deviceArea);
  mmio.write(R.VIRTIO_MMIO_QUEUE_READY, 4, 1);
}

/** A live device with queue 0 of 4 descriptors, and its driver's side. */
function live(options: Partial<VirtioOptions> = {}): Bench & { driver: DriverSplitQueue } {
  const made = bench(options);
  expect(negotiate(made.mmio)).toBe(0xb);
  const { memory } = made;
  const driver = new DriverSplitQueue({ memory, area: RAM, size: 4, features: V1_RESET });
  setUp(made.mmio, 0, driver);
  made.mmio.write(R.VIRTIO_MMIO_STATUS, 4, 0xf);
  return { ...made, driver };
}

const IN = { hi: 0, lo: 0x4000_1000, length: 3 };
const OUT = { hi: 0, lo: 0x4000_2000, length: 8 };

describe('register list', () => {
  it('each register is 32 bits wide, aligned and below the configuration', () => {
    for (const { name, offset, size } of MMIO_REGISTERS.registers) {
      expect(size, name).toBe(4);
      expect(offset % 4, name).toBe(0);
      expect(offset, name).toBeLessThan(R.VIRTIO_MMIO_CONFIG);
    }
  });

  it('every constant of the modern interface is a register', () => {
    const legacy = new Set([
      R.VIRTIO_MMIO_GUEST_PAGE_SIZE,
      R.VIRTIO_MMIO_QUEUE_ALIGN,
      R.VIRTIO_MMIO_QUEUE_PFN,
    ]);
    const offsets = new Set(MMIO_REGISTERS.registers.map(({ offset }) => offset));
    const notOffsets = /_(INT_\w+|MAGIC|SIZE|CONFIG)$/;
    for (const [name, value] of Object.entries(R)) {
      if (notOffsets.test(name)) continue;
      expect(offsets.has(value), name).toBe(!legacy.has(value));
    }
  });

  it('other widths and places read zero, write nothing, and throw nothing', () => {
    const { mmio, device } = live();
    const before = mmio.snapshot();
    for (let offset = 0; offset < R.VIRTIO_MMIO_CONFIG; offset++) {
      for (const size of [1, 2, 4, 8]) {
        if (size === 4 && offset % 4 === 0) continue;
        expect(mmio.read(offset, size)).toBe(0);
        mmio.write(offset, size, 0xffff_ffff);
      }
    }
    for (const offset of [0x1_0000, -4]) expect(mmio.read(offset, 4)).toBe(0);
    expect(mmio.snapshot()).toEqual(before);
    expect(device.log).toEqual(['reset', 'start']);
  });

  it('write-only registers read zero, read-only ones ignore writes', () => {
    const { mmio } = bench();
    for (const { name, offset, read, write } of MMIO_REGISTERS.registers) {
      if (!read) expect(mmio.read(offset, 4), name).toBe(0);
      if (!write) {
        const before = mmio.snapshot();
        mmio.write(offset, 4, 0xffff_ffff);
        expect(mmio.snapshot(), name).toEqual(before);
      }
    }
  });
});

describe('virtio-mmio', () => {
  it('says who it is', () => {
    const { mmio } = bench();
    expect(mmio.read(R.VIRTIO_MMIO_MAGIC_VALUE, 4)).toBe(0x74726976);
    expect(mmio.read(R.VIRTIO_MMIO_VERSION, 4)).toBe(2);
    expect(mmio.read(R.VIRTIO_MMIO_DEVICE_ID, 4)).toBe(63);
    expect(mmio.read(R.VIRTIO_MMIO_DEVICE_FEATURES, 4)).toBe(0b101);
    mmio.write(R.VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, 1);
    expect(mmio.read(R.VIRTIO_MMIO_DEVICE_FEATURES, 4)).toBe(0x101);
    mmio.write(R.VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, 0xffff_ffff);
    expect(mmio.read(R.VIRTIO_MMIO_DEVICE_FEATURES, 4)).toBe(0);
    const sizes = [0, 1, 2, 0xffff_ffff].map((index) => {
      mmio.write(R.VIRTIO_MMIO_QUEUE_SEL, 4, index);
      return mmio.read(R.VIRTIO_MMIO_QUEUE_NUM_MAX, 4);
    });
    expect(sizes).toEqual([8, 4, 0, 0]);
    mmio.write(R.VIRTIO_MMIO_SHM_SEL, 4, 0);
    expect(mmio.read(R.VIRTIO_MMIO_SHM_LEN_LOW, 4)).toBe(0xffff_ffff);
    expect(mmio.read(R.VIRTIO_MMIO_SHM_LEN_HIGH, 4)).toBe(0xffff_ffff);
  });

  it('answers a buffer, with the interrupt on until it is acknowledged', () => {
    const { mmio, memory, driver, line, device } = live();
    memory.write(0, IN.lo, Uint8Array.from([1, 2, 3]));
    const id = driver.add([IN], [OUT]);
    expect(driver.kickNeeded()).toBe(true);
    mmio.write(R.VIRTIO_MMIO_QUEUE_NOTIFY, 4, 0);
    expect(driver.poll()).toEqual({ id, length: 3 });
    expect(memory.readU32(0, OUT.lo)).toBe(0x00fc_fdfe);
    expect(line).toEqual([true]);
    expect(mmio.read(R.VIRTIO_MMIO_INTERRUPT_STATUS, 4)).toBe(1);
    mmio.core.configChanged();
    expect(mmio.read(R.VIRTIO_MMIO_INTERRUPT_STATUS, 4)).toBe(3);
    mmio.write(R.VIRTIO_MMIO_INTERRUPT_ACK, 4, 1);
    expect(line).toEqual([true]);
    mmio.write(R.VIRTIO_MMIO_INTERRUPT_ACK, 4, 2);
    expect(line).toEqual([true, false]);
    expect(mmio.read(R.VIRTIO_MMIO_CONFIG_GENERATION, 4)).toBe(1);
    expect(device.log).toEqual(['reset', 'start', 'kick 0']);
  });

  it('does not look at a queue before DRIVER_OK, and does then', () => {
    const { mmio, memory, device } = bench();
    negotiate(mmio);
    const driver = new DriverSplitQueue({ memory, area: RAM, size: 4, features: V1_RESET });
    setUp(mmio, 0, driver);
    driver.add([IN], [OUT]);
    mmio.write(R.VIRTIO_MMIO_QUEUE_NOTIFY, 4, 0);
    expect(device.log).toEqual(['reset']);
    expect(driver.poll()).toBeUndefined();
    mmio.write(R.VIRTIO_MMIO_STATUS, 4, 0xf);
    expect(device.log).toEqual(['reset', 'start', 'kick 0']);
    expect(driver.poll()?.length).toBe(3);
  });

  it.each([
    ['a bit that was not offered', V1_RESET | 2n, 'not-offered'],
    ['a bit beyond 64', V1_RESET | (1n << 63n), 'not-offered'],
    ['no VERSION_1', 1n, 'version-1'],
  ])('refuses FEATURES_OK for %s', (_, features, refusal) => {
    const { mmio, events } = bench();
    expect(negotiate(mmio, features)).toBe(3);
    expect(events).toContainEqual({ kind: 'features', chosen: features, refusal });
    expect(mmio.core.features).toBe(0n);
  });

  it('refuses what the device type refuses', () => {
    const { mmio, events, device } = bench();
    device.refuse = true;
    expect(negotiate(mmio)).toBe(3);
    expect(events).toContainEqual({ kind: 'features', chosen: V1_RESET | 1n, refusal: 'device' });
  });

  it('refuses a driver that would pass untranslated addresses behind an IOMMU', () => {
    const access = featureBits(33);
    const { mmio } = bench({ accessPlatform: 'demanded' });
    expect(negotiate(mmio, V1_RESET)).toBe(3);
    expect(negotiate(mmio, V1_RESET | access)).toBe(0xb);
    expect(negotiate(bench({ accessPlatform: 'offered' }).mmio, V1_RESET)).toBe(0xb);
    expect(negotiate(bench().mmio, V1_RESET | access)).toBe(3);
  });

  it('features are final with FEATURES_OK', () => {
    const { mmio } = bench();
    negotiate(mmio);
    mmio.write(R.VIRTIO_MMIO_DRIVER_FEATURES_SEL, 4, 0);
    mmio.write(R.VIRTIO_MMIO_DRIVER_FEATURES, 4, 4);
    expect(mmio.core.features).toBe(V1_RESET | 1n);
    expect(mmio.core.chosenWord(0)).toBe(1);
  });

  it('a queue in use keeps its place', () => {
    const { mmio } = live();
    const before = mmio.core.queues[0]?.snapshot();
    mmio.write(R.VIRTIO_MMIO_QUEUE_NUM, 4, 2);
    mmio.write(R.VIRTIO_MMIO_QUEUE_DESC_LOW, 4, 0);
    mmio.write(R.VIRTIO_MMIO_QUEUE_READY, 4, 1);
    mmio.write(R.VIRTIO_MMIO_QUEUE_READY, 4, 2);
    expect(mmio.core.queues[0]?.snapshot()).toEqual(before);
    expect(mmio.read(R.VIRTIO_MMIO_QUEUE_READY, 4)).toBe(1);
  });

  it.each([
    ['QueueReset', R.VIRTIO_MMIO_QUEUE_RESET, 1],
    ['QueueReady', R.VIRTIO_MMIO_QUEUE_READY, 0],
  ])('%s takes one queue back, and chains held are void', (_, register, value) => {
    const { mmio, memory, device, driver } = live();
    device.hold = true;
    driver.add([IN], [OUT]);
    mmio.write(R.VIRTIO_MMIO_QUEUE_NOTIFY, 4, 0);
    const queue = mmio.core.queue(0);
    const [chain] = queue?.taken() ?? [];
    mmio.write(register, 4, value);
    expect(mmio.read(register, 4)).toBe(0);
    expect(mmio.read(R.VIRTIO_MMIO_QUEUE_READY, 4)).toBe(0);
    expect(chain && queue?.push(chain, 0)).toBe(false);
    expect(mmio.core.queue(0)).toBeUndefined();
    mmio.write(R.VIRTIO_MMIO_QUEUE_NOTIFY, 4, 0);
    expect(device.log.slice(2)).toEqual(['kick 0', 'held', 'queue reset 0']);
    // It can be set up anew, while the device lives.
    device.hold = false;
    const again = new DriverSplitQueue({ memory, area: RAM, size: 2, features: V1_RESET });
    setUp(mmio, 0, again);
    again.add([IN], [OUT]);
    mmio.write(R.VIRTIO_MMIO_QUEUE_NOTIFY, 4, 0);
    expect(again.poll()?.length).toBe(3);
  });

  it('QueueReset needs VIRTIO_F_RING_RESET', () => {
    const made = bench();
    negotiate(made.mmio, featureBits(VIRTIO_F_VERSION_1));
    const { memory } = made;
    setUp(made.mmio, 0, new DriverSplitQueue({ memory, area: RAM, size: 4, features: 0n }));
    made.mmio.write(R.VIRTIO_MMIO_QUEUE_RESET, 4, 1);
    expect(made.mmio.read(R.VIRTIO_MMIO_QUEUE_READY, 4)).toBe(1);
  });

  it.each([0, 3, 16, 0xffff_ffff])('a queue of %d descriptors needs a reset', (size) => {
    const { mmio, events } = bench();
    negotiate(mmio);
    mmio.write(R.VIRTIO_MMIO_QUEUE_SEL, 4, 0);
    mmio.write(R.VIRTIO_MMIO_QUEUE_NUM, 4, size);
    mmio.write(R.VIRTIO_MMIO_QUEUE_READY, 4, 1);
    mmio.write(R.VIRTIO_MMIO_STATUS, 4, 0xf);
    expect(mmio.read(R.VIRTIO_MMIO_STATUS, 4)).toBe(0x4f);
    expect(events).toContainEqual(
      expect.objectContaining({
        kind: 'needs-reset',
        why: expect.objectContaining({ code: 'ring-size', queue: 0 }),
      }),
    );
  });

  it('a broken ring: DEVICE_NEEDS_RESET, a configuration interrupt, silence, and a reset helps', () => {
    const { mmio, memory, device, line } = live();
    // avail.idx far ahead.
    memory.writeU16(0, Number(RAM) + 0x42, 0x1234);
    mmio.write(R.VIRTIO_MMIO_QUEUE_NOTIFY, 4, 0);
    expect(mmio.read(R.VIRTIO_MMIO_STATUS, 4)).toBe(0x4f);
    expect(mmio.read(R.VIRTIO_MMIO_INTERRUPT_STATUS, 4)).toBe(2);
    expect(line).toEqual([true]);
    mmio.write(R.VIRTIO_MMIO_QUEUE_NOTIFY, 4, 0);
    mmio.core.needsReset('again');
    expect(device.log).toEqual(['reset', 'start', 'kick 0']);
    mmio.write(R.VIRTIO_MMIO_STATUS, 4, 0);
    expect(line).toEqual([true, false]);
    expect(mmio.read(R.VIRTIO_MMIO_STATUS, 4)).toBe(0);
    expect(mmio.core.queues[0]?.enabled).toBe(false);
    expect(negotiate(mmio)).toBe(0xb);
  });

  it('configuration: 8, 16 and 32 bits, aligned; the rest reads zero', () => {
    const { mmio, device } = live();
    expect(mmio.read(0x100, 4)).toBe(0x0403_0201);
    expect(mmio.read(0x102, 2)).toBe(0x0403);
    expect(mmio.read(0x106, 1)).toBe(7);
    expect(mmio.read(0x104, 4)).toBe(0x0007_0605);
    expect(mmio.read(0x101, 2)).toBe(0);
    expect(mmio.read(0x108, 4)).toBe(0);
    mmio.write(0x104, 1, 9);
    mmio.write(0x106, 2, 9);
    mmio.write(0x101, 4, 9);
    expect(device.log.slice(2)).toEqual(['config[4+1] = 9']);
    expect(mmio.read(0x104, 1)).toBe(9);
    mmio.systemReset();
    expect(mmio.read(0x104, 1)).toBe(5);
  });

  it('work per kick is bounded by kickLater', () => {
    let woken = 0;
    const { mmio, device, driver } = live({ wake: () => woken++ });
    device.budget = 1;
    for (let i = 0; i < 2; i++) driver.add([IN], [OUT]);
    mmio.write(R.VIRTIO_MMIO_QUEUE_NOTIFY, 4, 0);
    expect([driver.poll()?.length, driver.poll()]).toEqual([3, undefined]);
    expect(woken).toBe(1);
    expect(mmio.core.runPending()).toBe(true);
    expect(driver.poll()?.length).toBe(3);
    expect(mmio.core.runPending()).toBe(false);
    expect(mmio.core.runPending()).toBe(false);
  });

  it('a notification with data names the queue in its lower half', () => {
    const { mmio, device } = bench({ ringFeatures: RING_FEATURES });
    const features = featureBits(VIRTIO_F_VERSION_1, 38);
    negotiate(mmio, features);
    mmio.write(R.VIRTIO_MMIO_QUEUE_SEL, 4, 1);
    mmio.write(R.VIRTIO_MMIO_QUEUE_DESC_LOW, 4, 0x4000_0000);
    mmio.write(R.VIRTIO_MMIO_QUEUE_AVAIL_LOW, 4, 0x4000_1000);
    mmio.write(R.VIRTIO_MMIO_QUEUE_USED_LOW, 4, 0x4000_2000);
    mmio.write(R.VIRTIO_MMIO_QUEUE_READY, 4, 1);
    mmio.write(R.VIRTIO_MMIO_STATUS, 4, 0xf);
    mmio.write(R.VIRTIO_MMIO_QUEUE_NOTIFY, 4, 0x0007_0001);
    expect(device.log.at(-1)).toBe('kick 1');
  });

  it('goes on after snapshot and restore as if nothing had been', () => {
    const first = live();
    first.device.hold = true;
    first.driver.add([IN], [OUT]);
    first.mmio.write(R.VIRTIO_MMIO_QUEUE_NOTIFY, 4, 0);
    first.mmio.core.configChanged();
    const state = structuredClone(first.mmio.snapshot());
    expect(first.mmio.snapshot()).toEqual(state);

    const line: boolean[] = [];
    const device = new EchoDevice();
    const core = new VirtioCore(device, {
      dma: new DirectDma(first.memory),
      ringFeatures: V1_RESET,
    });
    const mmio = new MmioTransport(core, { line: (level) => line.push(level) });
    mmio.restore(state);
    expect({ ...mmio.snapshot(), core: { ...mmio.core.snapshot(), device: undefined } }).toEqual({
      ...state,
      core: { ...state.core, device: undefined },
    });
    expect(line).toEqual([true]);
    const queue = core.queue(0);
    const [chain] = queue?.taken() ?? [];
    expect(chain && queue?.push(chain, 2)).toBe(true);
    core.signal(0);
    expect(first.driver.poll()?.length).toBe(2);
    expect(mmio.read(R.VIRTIO_MMIO_INTERRUPT_STATUS, 4)).toBe(3);
  });

  it('version 1 exists to be given up: no VERSION_1, no queue', () => {
    const { mmio } = bench({}, 1);
    expect(mmio.read(R.VIRTIO_MMIO_VERSION, 4)).toBe(1);
    mmio.write(R.VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, 1);
    expect(mmio.read(R.VIRTIO_MMIO_DEVICE_FEATURES, 4)).toBe(0);
    mmio.write(R.VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, 0);
    expect(mmio.read(R.VIRTIO_MMIO_DEVICE_FEATURES, 4)).toBe(0b101);
    expect(mmio.read(R.VIRTIO_MMIO_QUEUE_NUM_MAX, 4)).toBe(0);
    expect(negotiate(mmio, 1n)).toBe(3);
    mmio.write(R.VIRTIO_MMIO_QUEUE_PFN, 4, 0x40000);
    expect(mmio.read(R.VIRTIO_MMIO_QUEUE_PFN, 4)).toBe(0);
    expect(mmio.core.queues.every(({ enabled }) => !enabled)).toBe(true);
  });
});

describe('registers of what is not there', () => {
  it('QueueReady of a queue that does not exist is 0; the vendor is named', () => {
    const { mmio } = bench();
    mmio.write(R.VIRTIO_MMIO_QUEUE_SEL, 4, 9);
    mmio.write(R.VIRTIO_MMIO_QUEUE_READY, 4, 1);
    expect(mmio.read(R.VIRTIO_MMIO_QUEUE_READY, 4)).toBe(0);
    expect(mmio.read(R.VIRTIO_MMIO_VENDOR_ID, 4)).toBe(mmio.vendorId);
  });

  it('a legacy driver can write all of its registers and still has no queue', () => {
    const { mmio } = bench({}, 1);
    const before = mmio.snapshot();
    for (const at of [
      R.VIRTIO_MMIO_GUEST_PAGE_SIZE,
      R.VIRTIO_MMIO_QUEUE_SEL,
      R.VIRTIO_MMIO_QUEUE_NUM,
      R.VIRTIO_MMIO_QUEUE_ALIGN,
      R.VIRTIO_MMIO_QUEUE_PFN,
      R.VIRTIO_MMIO_QUEUE_NOTIFY,
    ]) {
      mmio.write(at, 4, 0);
    }
    expect(mmio.snapshot()).toEqual(before);
    expect(mmio.read(R.VIRTIO_MMIO_QUEUE_PFN, 4)).toBe(0);
  });
});
