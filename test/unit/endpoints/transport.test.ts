import { describe, expect, test } from 'vitest';
import {
  MemoryStore,
  SeededRandom,
  VirtioBlock,
  VirtioEntropy,
} from '../../../src/endpoints/index.ts';
import { PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_PCI_CFG } from '../../../src/spec/virtio-pci.ts';
import { VIRTIO_F_IN_ORDER, VIRTIO_F_RING_PACKED } from '../../../src/spec/virtio.ts';
import {
  VIRTIO_MMIO_DEVICE_FEATURES,
  VIRTIO_MMIO_DEVICE_FEATURES_SEL,
  VIRTIO_MMIO_DEVICE_ID,
  VIRTIO_MMIO_DRIVER_FEATURES,
  VIRTIO_MMIO_DRIVER_FEATURES_SEL,
  VIRTIO_MMIO_QUEUE_DESC_LOW,
  VIRTIO_MMIO_QUEUE_NOTIFY,
  VIRTIO_MMIO_QUEUE_NUM,
  VIRTIO_MMIO_QUEUE_READY,
  VIRTIO_MMIO_STATUS,
} from '../../../src/spec/virtio-mmio.ts';
import { VIRTIO_ID_ENTROPY } from '../../../src/spec/virtio-net.ts';
import { hiOf, loOf } from '../../../src/memory/index.ts';
import {
  featureBits,
  makeDriverQueue,
  MmioTransport,
  RING_FEATURES,
  VirtioCore,
} from '../../../src/virtio/index.ts';
import { addressIn, Arena, RID, segment, VirtioRig } from './rig.ts';

function entropy(): VirtioEntropy {
  return new VirtioEntropy(new SeededRandom(42));
}

describe('the function of a virtio device', () => {
  test('gives access to its BAR through configuration space, for firmware', () => {
    const rig = new VirtioRig(new VirtioBlock({ store: new MemoryStore(new Uint8Array(8192)) }));
    const { guest } = rig;
    const at = guest
      .capabilities(RID)
      .find(({ at: where }) => guest.read(RID, where + 3, 1) === VIRTIO_PCI_CAP_PCI_CFG)?.at;
    const cap = at ?? 0;
    expect(guest.read(RID, cap, 1)).toBe(PCI_CAP_ID_VNDR);
    const select = (offset: number, length: number, bar = 4): void => {
      guest.write(RID, cap + 4, 1, bar);
      guest.write(RID, cap + 8, 4, offset);
      guest.write(RID, cap + 12, 4, length);
    };
    // capacity, at the start of the device structure; decoding is not needed.
    guest.write(RID, 4, 2, 0);
    select(0x2000, 4);
    expect(guest.read(RID, cap + 16, 4)).toBe(16);
    // device_status.
    select(20, 1);
    guest.write(RID, cap + 16, 1, 3);
    expect(guest.read(RID, cap + 16, 1)).toBe(3);
    expect(rig.function.core.status).toBe(3);
    // A BAR that is not there, and an offset far outside.
    select(0, 4, 2);
    expect(guest.read(RID, cap + 16, 4)).toBe(0xffff_ffff);
    select(0xffff_fffc, 4);
    expect(guest.read(RID, cap + 16, 4)).toBe(0xffff_ffff);
    guest.write(RID, cap + 16, 4, 0);
  });

  test('works with packed rings in order', () => {
    const rig = new VirtioRig(entropy(), { ringFeatures: RING_FEATURES, translated: true });
    expect(rig.start()).toBe(true);
    expect(rig.features & featureBits(VIRTIO_F_RING_PACKED, VIRTIO_F_IN_ORDER)).not.toBe(0n);
    const buffer = segment(rig.arena.alloc(100), 100);
    expect(rig.run(0, [], [buffer])).toBe(100);
    expect(new Set(rig.arena.get(addressIn(buffer), 100)).size).toBeGreaterThan(50);
  });

  test('without MSI-X vectors has no such capability, and interrupts by its pin', () => {
    const rig = new VirtioRig(entropy(), { vectors: 0 });
    expect(rig.guest.capabilities(RID).map(({ id }) => id)).not.toContain(0x11);
    rig.start();
    rig.run(0, [], [segment(rig.arena.alloc(4), 4)]);
    expect(rig.lines[3]).toBe(true);
  });

  test('a function level reset resets the device', () => {
    const rig = new VirtioRig(entropy());
    rig.start();
    expect(rig.function.core.status).toBe(15);
    rig.guest.write(RID, rig.guest.capability(RID, 0x10) + 8, 2, 0x8000);
    expect(rig.function.core.status).toBe(0);
  });

  test('does the same again from a snapshot', () => {
    const rig = new VirtioRig(entropy());
    rig.start();
    const buffer = segment(rig.arena.alloc(16), 16);
    rig.run(0, [], [buffer]);
    const first = rig.arena.get(addressIn(buffer), 16);
    rig.queues[0]?.add([], [buffer]);
    const ram = rig.arena.ram.slice();
    const state = structuredClone(rig.host.snapshot());
    rig.notify(0);
    const second = rig.arena.get(addressIn(buffer), 16);
    expect(second).not.toEqual(first);
    rig.function.fn.reset();
    rig.arena.ram.set(ram);
    rig.host.restore(state);
    expect(rig.host.snapshot()).toEqual(state);
    rig.notify(0);
    expect(rig.arena.get(addressIn(buffer), 16)).toEqual(second);
  });
});

test('the same device works behind virtio-mmio', () => {
  const arena = new Arena(true);
  const lines: boolean[] = [];
  const core = new VirtioCore(entropy(), { dma: arena.device, accessPlatform: 'demanded' });
  const mmio = new MmioTransport(core, { line: (level) => void lines.push(level) });
  expect(mmio.read(VIRTIO_MMIO_DEVICE_ID, 4)).toBe(VIRTIO_ID_ENTROPY);
  for (const status of [0, 1, 3]) mmio.write(VIRTIO_MMIO_STATUS, 4, status);
  let features = 0n;
  for (const word of [0, 1]) {
    mmio.write(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, word);
    const bits = mmio.read(VIRTIO_MMIO_DEVICE_FEATURES, 4);
    mmio.write(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 4, word);
    mmio.write(VIRTIO_MMIO_DRIVER_FEATURES, 4, bits);
    features |= BigInt(bits) << BigInt(32 * word);
  }
  mmio.write(VIRTIO_MMIO_STATUS, 4, 11);
  const area = arena.alloc(4096);
  const queue = makeDriverQueue({ memory: arena.cpu, area, size: 8, features });
  mmio.write(VIRTIO_MMIO_QUEUE_NUM, 4, 8);
  const parts = [queue.descArea, queue.driverArea, queue.deviceArea];
  for (const [i, part] of parts.entries()) {
    mmio.write(VIRTIO_MMIO_QUEUE_DESC_LOW + 16 * i, 4, loOf(part));
    mmio.write(VIRTIO_MMIO_QUEUE_DESC_LOW + 16 * i + 4, 4, hiOf(part));
  }
  mmio.write(VIRTIO_MMIO_QUEUE_READY, 4, 1);
  mmio.write(VIRTIO_MMIO_STATUS, 4, 15);
  queue.add([], [segment(arena.alloc(64), 64)]);
  mmio.write(VIRTIO_MMIO_QUEUE_NOTIFY, 4, 0);
  expect(queue.poll()?.length).toBe(64);
  expect(lines).toEqual([true]);
});
