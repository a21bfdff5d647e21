import { describe, expect, it } from 'vitest';
import { DirectDma, GuestMemory, hiOf, loOf } from '../../../src/memory/index.ts';
import { VIRTIO_F_RING_PACKED, VIRTIO_F_VERSION_1 } from '../../../src/spec/virtio.ts';
import {
  featureBits,
  hasFeature,
  makeDeviceQueue,
  makeDriverQueue,
  RING_FEATURES,
  VirtioCore,
  type DriverQueue,
  type VirtioEvent,
  type VirtioOptions,
} from '../../../src/virtio/index.ts';
import { EchoDevice } from '../../support/virtio-device.ts';
import { layoutOf, queuePair, RAM } from '../../support/virtio.ts';

const BASE = 0x4000_0000n;
const IN = { hi: 0, lo: 0x4000_1000, length: 3 };
const OUT = { hi: 0, lo: 0x4000_2000, length: 8 };

interface Bench {
  readonly memory: GuestMemory;
  readonly device: EchoDevice;
  readonly core: VirtioCore;
  readonly interrupts: string[];
  readonly events: VirtioEvent[];
}

function bench(options: Partial<VirtioOptions> = {}, ram?: GuestMemory): Bench {
  const memory = ram ?? new GuestMemory([{ gpa: BASE, bytes: new Uint8Array(0x4000) }]);
  const device = new EchoDevice();
  const interrupts: string[] = [];
  const events: VirtioEvent[] = [];
  const onEvent = (event: VirtioEvent): void => void events.push(event);
  const core = new VirtioCore(device, { dma: new DirectDma(memory), onEvent, ...options });
  core.sink = {
    config: () => interrupts.push('config'),
    queue: (index) => interrupts.push(`queue ${index}`),
  };
  return { memory, device, core, interrupts, events };
}

/** Steps of a driver up to the status named. */
function upTo(core: VirtioCore, status: number, features: bigint = 1n << 32n): void {
  for (const step of [1, 3]) core.writeStatus(step);
  for (const select of [0, 1, 2, 3]) {
    core.choose(select, Number((features >> BigInt(32 * select)) & 0xffff_ffffn));
  }
  for (const step of [0xb, 0xf]) if (step <= status) core.writeStatus(step);
}

function place(core: VirtioCore, index: number, driver: DriverQueue): void {
  const { size, descHi, descLo, driverHi, driverLo, deviceHi, deviceLo } = layoutOf(driver);
  const slot = core.queues[index];
  if (!slot) throw new Error('no such queue');
  Object.assign(slot, { size, descHi, descLo, driverHi, driverLo, deviceHi, deviceLo });
  core.enableQueue(index);
}

describe('the core of a device', () => {
  it('D63: offers VERSION_1, with INDIRECT_DESC and EVENT_IDX unless told otherwise', () => {
    const { core } = bench();
    expect(core.offered).toBe(0b101n | featureBits(VIRTIO_F_VERSION_1, 28, 29));
    expect(hasFeature(RING_FEATURES, VIRTIO_F_VERSION_1)).toBe(true);
    expect([0, 1, 2, 4].map((select) => core.offeredWord(select))).toEqual([0x3000_0005, 1, 0, 0]);
  });

  it('a choice of bits beyond 127 is nobody’s', () => {
    const { core } = bench();
    core.choose(4, 1);
    core.choose(0xffff_ffff, 1);
    upTo(core, 0xb);
    expect(core.status).toBe(0xb);
    expect(core.chosenWord(1)).toBe(1);
  });

  it('D59: a device that cannot go on says so; with DRIVER_OK it interrupts', () => {
    const before = bench();
    before.core.needsReset('disk gone');
    expect(before.core.status).toBe(0x40);
    expect(before.interrupts).toEqual([]);
    upTo(before.core, 0xf);
    expect([before.core.status, before.core.live]).toEqual([0x4f, false]);
    expect(before.device.log).toEqual([]);

    const { core, interrupts, events } = bench();
    upTo(core, 0xf);
    core.needsReset('disk gone');
    core.needsReset('again');
    expect(interrupts).toEqual(['config']);
    expect(events.slice(-2)).toEqual([
      { kind: 'needs-reset', why: 'disk gone' },
      { kind: 'status', from: 0xf, to: 0x4f },
    ]);
    core.kickLater(0);
    expect(core.runPending()).toBe(false);
  });

  it('a change of the configuration before DRIVER_OK counts, and does not interrupt', () => {
    const { core, interrupts } = bench();
    core.configChanged();
    expect([core.generation, interrupts]).toEqual([1, []]);
    core.systemReset();
    expect(core.generation).toBe(0);
  });

  it('early notifications and pending kicks survive a snapshot', () => {
    const first = bench();
    upTo(first.core, 0xb);
    const driver = makeDriverQueue({
      memory: first.memory,
      area: BASE,
      size: 4,
      features: 1n << 32n,
    });
    place(first.core, 0, driver);
    driver.add([IN], [OUT]);
    driver.add([IN], [OUT]);
    first.core.notify(0);
    first.core.notify(1);
    const early = structuredClone(first.core.snapshot());
    expect(early.early).toEqual([0]);

    const second = bench({}, first.memory);
    second.device.budget = 1;
    second.core.restore(early);
    second.core.writeStatus(0xf);
    expect(second.device.log.slice(1)).toEqual(['start', 'kick 0']);
    const pending = structuredClone(second.core.snapshot());
    expect(pending.pending).toEqual([0]);

    let woken = 0;
    const third = bench({ wake: () => woken++ }, first.memory);
    third.core.restore(pending);
    expect(woken).toBe(1);
    third.core.runPending();
    expect([driver.poll(), driver.poll()].map((used) => used?.length)).toEqual([3, 3]);
  });

  it('a queue enabled twice, or that is not there, is no matter', () => {
    const { core, memory } = bench();
    upTo(core, 0xf);
    const driver = makeDriverQueue({ memory, area: BASE, size: 4, features: 0n });
    place(core, 0, driver);
    const queue = core.queue(0);
    core.enableQueue(0);
    expect(core.queue(0)).toBe(queue);
    core.enableQueue(9);
    expect(core.disableQueue(9)).toBe(false);
    expect(core.disableQueue(1)).toBe(true);
    core.disableQueue(0);
    expect(queue?.isClosed).toBe(true);
    expect(queue?.pop()).toBeUndefined();
    expect(queue?.shouldSignal()).toBe(false);
    core.signal(0);
    core.signal(9);
  });

  it('a queue that is reset is not kicked for what it asked before; one never open is no news', () => {
    const { core, memory, device } = bench();
    upTo(core, 0xf);
    place(core, 0, makeDriverQueue({ memory, area: BASE, size: 4, features: 0n }));
    core.kickLater(0);
    core.disableQueue(0);
    core.disableQueue(1);
    expect(core.runPending()).toBe(false);
    expect(device.log).toEqual(['start', 'queue reset 0']);
  });

  it('a queue larger than offered breaks, even when its size is legal', () => {
    const { core, memory, events } = bench();
    upTo(core, 0xb);
    place(core, 1, makeDriverQueue({ memory, area: BASE, size: 8, features: 0n }));
    core.writeStatus(0xf);
    expect(core.status).toBe(0x4f);
    expect(events.at(-1)).toMatchObject({ kind: 'status', to: 0x4f });
  });

  it('a broken queue stays broken over a snapshot, and is not told of again', () => {
    const { core, memory } = bench();
    upTo(core, 0xf);
    place(core, 0, makeDriverQueue({ memory, area: BASE, size: 4, features: 0n }));
    memory.writeU16(0, Number(BASE) + 0x42, 9);
    core.notify(0);
    const state = structuredClone(core.snapshot());
    expect(state.queues[0]?.queue?.error?.code).toBe('avail-index');
    const again = bench({}, memory);
    again.core.restore(state);
    expect(again.core.queues[0]?.queue?.error?.code).toBe('avail-index');
    expect(again.events).toEqual([]);
    expect(again.core.snapshot().queues).toEqual(state.queues);
  });
});

describe('what holds of every queue', () => {
  const formats = [
    ['split', featureBits(VIRTIO_F_VERSION_1)],
    ['packed', featureBits(VIRTIO_F_VERSION_1, VIRTIO_F_RING_PACKED)],
  ] as const;

  it.each(formats)(
    'D60: %s, one byte a descriptor is the same as one descriptor',
    (_, features) => {
      const { driver, device, memory, segment } = queuePair({ size: 32, features });
      memory.write(hiOf(RAM + 0x2000n), loOf(RAM + 0x2000n), Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
      const bytes = (gpa: bigint, length: number): ReturnType<typeof segment>[] =>
        Array.from({ length }, (_unused, i) => segment(gpa + BigInt(i), 1));
      driver.add([segment(RAM + 0x2000n, 8)], [segment(RAM + 0x2100n, 4)]);
      driver.add(bytes(RAM + 0x2000n, 8), bytes(RAM + 0x2200n, 4));
      const seen = [device.pop(), device.pop()].map((chain) => {
        const read = new Uint8Array(8);
        const done = [chain?.reader.read(read), chain?.writer.writeU32(0xdead_beef)];
        return [chain?.readableLength, chain?.writableLength, ...done, [...read]];
      });
      expect(seen[1]).toEqual(seen[0]);
      expect(seen[0]).toEqual([8, 4, 8, true, [1, 2, 3, 4, 5, 6, 7, 8]]);
      for (const at of [0x2100n, 0x2200n]) {
        expect(memory.readU32(hiOf(RAM + at), loOf(RAM + at))).toBe(0xdead_beef);
      }
    },
  );

  it.each(formats)('D61: %s, the used length is what the device says it wrote', (_, features) => {
    const { driver, device, segment } = queuePair({ size: 4, features });
    const lengths = [0, 1, 516, 520];
    for (const length of lengths) {
      driver.add([segment(RAM, 4)], [segment(RAM + 0x2000n, 512), segment(RAM + 0x3000n, 8)]);
      const chain = device.pop();
      expect(chain && device.push(chain, length)).toBe(true);
      expect(driver.poll()?.length).toBe(length);
    }
  });

  it.each(formats)('%s, the driver is interrupted once for a run of pushes', (_, features) => {
    const { driver, device, segment } = queuePair({ size: 4, features });
    driver.add([segment(RAM, 1)], []);
    driver.add([segment(RAM, 1)], []);
    for (let chain = device.pop(); chain; chain = device.pop()) device.push(chain, 0);
    expect([device.shouldSignal(), device.shouldSignal()]).toEqual([true, false]);
  });

  it('says where its ring has got to, for NOTIFICATION_DATA', () => {
    const split = queuePair({ size: 2, features: 1n << 32n });
    split.driver.add([split.segment(RAM, 1)], []);
    expect(split.driver.notificationData).toBe(1);
    const packed = queuePair({ size: 2, features: formats[1][1] });
    packed.driver.add([packed.segment(RAM, 1)], []);
    expect(packed.driver.notificationData).toBe(0x8001);
    packed.driver.add([packed.segment(RAM, 1)], []);
    expect(packed.driver.notificationData).toBe(0);
    expect(packed.driver.add([packed.segment(RAM, 1)], [])).toBeUndefined();
    expect(packed.driver.outstanding()).toEqual([0, 1]);
  });
});

describe('work that was put off', () => {
  it('is not done for a device that a queue before it broke', () => {
    const { core, device } = bench();
    for (const index of [0, 1]) core.enableQueue(index);
    upTo(core, 0xf);
    device.log.length = 0;
    core.kickLater(1);
    core.kickLater(0);
    device.kick = (index) => {
      device.log.push(`kick ${index}`);
      core.needsReset('broken');
    };
    expect(core.runPending()).toBe(false);
    expect(device.log).toEqual(['kick 0']);
  });

  it('is in order of queues in a snapshot, as are notifications before DRIVER_OK', () => {
    const { core, device } = bench();
    for (const index of [1, 0]) core.enableQueue(index);
    upTo(core, 0xb);
    for (const index of [1, 0]) core.notify(index);
    expect(core.snapshot().early).toEqual([0, 1]);
    device.kick = (index) => void device.log.push(`kick ${index}`);
    core.writeStatus(0xf);
    expect(device.log.filter((line) => line.startsWith('kick'))).toEqual(['kick 0', 'kick 1']);
    for (const index of [1, 0]) core.kickLater(index);
    expect(core.snapshot().pending).toEqual([0, 1]);
  });

  it('before a transport is there leads to no interrupt', () => {
    const memory = new GuestMemory([{ gpa: BASE, bytes: new Uint8Array(0x4000) }]);
    const core = new VirtioCore(new EchoDevice(), { dma: memory });
    const driver = makeDriverQueue({ memory, area: BASE, size: 4, features: 1n << 32n });
    Object.assign(core.queues[0] ?? {}, layoutOf(driver));
    core.enableQueue(0);
    upTo(core, 0xf);
    driver.add([IN], [OUT]);
    core.notify(0);
    expect(driver.poll()?.length).toBe(3);
    core.configChanged();
    expect(core.generation).toBe(1);
  });
});

describe('a snapshot of a device with fewer queues', () => {
  it('leaves those it does not name as after a reset', () => {
    const { core } = bench();
    const saved = core.snapshot();
    core.enableQueue(1);
    core.restore({ ...saved, queues: saved.queues.slice(0, 1) });
    expect(core.queues[1]?.enabled).toBe(false);
    expect(core.snapshot().queues).toEqual(saved.queues);
  });
});

describe('a driver queue', () => {
  it.each([0n, 1n << 34n])('says once that the device broke it, ring format %i', (format) => {
    const { memory, driver, device, segment } = queuePair({
      size: 4,
      features: (1n << 32n) | format,
    });
    expect(driver.kickNeeded()).toBe(false);
    driver.add([segment(RAM + 0x1000n, 1)], []);
    const chain = device.pop();
    if (chain === undefined) throw new Error('no chain');
    chain.id = 3;
    device.push(chain, 0);
    expect([driver.poll(), driver.poll()]).toEqual([undefined, undefined]);
    expect(driver.broken).toMatch(/buffer 3/);
    expect(memory.windows()).toHaveLength(2);
  });
});

describe('a queue in order, saved while chains wait for an older one', () => {
  it.each([0n, 1n << 34n])('gives them back in order after a restore, ring format %i', (format) => {
    const features = (1n << 32n) | (1n << 35n) | format;
    const { driver, device, layout, dma, segment } = queuePair({ size: 8, features });
    for (let i = 0n; i < 4n; i++) driver.add([], [segment(RAM + 0x1000n + 16n * i, 8)]);
    const [first, second, third] = [device.pop(), device.pop(), device.pop()];
    if (!first || !second || !third) throw new Error('no chains');
    device.push(third, 3);
    expect(device.push(second, 2)).toBe(true);
    expect(driver.poll()).toBe(undefined);
    const saved = device.snapshot();
    expect(saved.chains.map(({ held }) => held)).toEqual([undefined, 2, 3]);
    const moved = makeDeviceQueue(layout, features, dma, () => undefined);
    moved.restore(saved);
    expect(moved.snapshot()).toEqual(saved);
    const later = moved.pop();
    const taken = moved.taken();
    expect(taken.map(({ sequence }) => sequence)).toEqual([0, 3]);
    expect(taken[1]).toBe(later);
    if (taken[0]) moved.push(taken[0], 1);
    expect([1, 2, 3].map(() => driver.poll()?.length)).toEqual([1, 2, 3]);
    expect(driver.poll()).toBe(undefined);
    expect(moved.inFlight).toBe(1);
  });
});

describe('packed event suppression', () => {
  const EVENT_IDX = 1n << 29n;

  it.each([0n, EVENT_IDX])('an idle pair tells each other once per wait, features %i', (more) => {
    const features = (1n << 32n) | (1n << 34n) | more;
    const { driver, device, segment } = queuePair({ size: 4, features });
    for (let lap = 0; lap < 6; lap++) {
      expect(device.pop()).toBe(undefined);
      expect(driver.enableInterrupts(true)).toBe(false);
      driver.add([], [segment(RAM + 0x1000n, 8)]);
      expect(driver.kickNeeded()).toBe(true);
      const chain = device.pop();
      if (chain) device.push(chain, 1);
      expect(device.shouldSignal()).toBe(true);
      expect(driver.enableInterrupts(false)).toBe(true);
      expect(driver.poll()?.length).toBe(1);
      driver.add([], [segment(RAM + 0x1000n, 8)]);
      device.suppressKicks(true);
      expect(driver.kickNeeded()).toBe(false);
      const unseen = device.pop();
      if (unseen) device.push(unseen, 1);
      expect(device.shouldSignal()).toBe(false);
      expect(driver.poll()?.length).toBe(1);
      device.suppressKicks(false);
    }
  });
});
