import { describe, expect, it } from 'vitest';
import { DirectDma, GuestMemory } from '../../../src/memory/index.ts';
import {
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../../../src/spec/virtio.ts';
import {
  featureBits,
  makeDeviceQueue,
  makeDriverQueue,
  type DeviceQueue,
  type DriverQueue,
} from '../../../src/virtio/index.ts';
import { layoutOf } from '../../support/virtio.ts';

/** Memory at 0 with a queue of two descriptors at 0x100. */
function make(...bits: number[]): {
  ram: Uint8Array;
  driver: DriverQueue;
  device: DeviceQueue;
} {
  const ram = new Uint8Array(0x300);
  const memory = new GuestMemory([{ gpa: 0n, bytes: ram }]);
  const features = featureBits(VIRTIO_F_VERSION_1, ...bits);
  const driver = makeDriverQueue({ memory, area: 0x100n, size: 2, features, indirectEntries: 2 });
  const device = makeDeviceQueue(layoutOf(driver), features, new DirectDma(memory), (error) => {
    throw new Error(error.message);
  });
  return { ram, driver, device };
}

/** The bytes of lines such as `06 00  flags`: pairs of digits up to two spaces. */
function golden(text: string): string {
  const lines = text.split('\n').map((line) => line.trim().split('  ')[0] ?? '');
  return lines.join('').replaceAll(/\s/g, '');
}

const bytes = (ram: Uint8Array, from: number, to: number): string =>
  Buffer.from(ram.subarray(from, to)).toString('hex');

const IN = { hi: 1, lo: 0x2000_0000, length: 20 };
const OUT = { hi: 0, lo: 0x280, length: 4 };

describe('split', () => {
  it('one request of two descriptors, made available and used', () => {
    const { ram, driver, device } = make(VIRTIO_RING_F_EVENT_IDX);
    expect(device.pop()).toBeUndefined();
    expect(driver.add([IN], [OUT])).toBe(0);
    const table = `
      00 00 00 20 01 00 00 00  desc[0].addr   0x120000000
      14 00 00 00              desc[0].len    20
      01 00                    desc[0].flags  NEXT
      01 00                    desc[0].next   1
      80 02 00 00 00 00 00 00  desc[1].addr   0x280
      04 00 00 00              desc[1].len    4
      02 00                    desc[1].flags  WRITE
      00 00                    desc[1].next
      00 00                    avail.flags
      01 00                    avail.idx      1
      00 00                    avail.ring[0]  head 0
      00 00                    avail.ring[1]
      00 00                    used_event     0: interrupt for the first
      00 00 00 00 00 00        up to a multiple of 16`;
    expect(bytes(ram, 0x100, 0x130)).toBe(golden(table));
    const unused = `
      00 00                    used.flags
      00 00                    used.idx       0
      00 00 00 00 00 00 00 00  used.ring[0]
      00 00 00 00 00 00 00 00  used.ring[1]
      00 00                    avail_event    0: notify for the first`;
    expect(bytes(ram, 0x130, 0x146)).toBe(golden(unused));
    expect(driver.kickNeeded()).toBe(true);

    const chain = device.pop();
    expect(chain?.writer.writeU32(0x8877_6655)).toBe(true);
    expect(chain && device.push(chain, 4)).toBe(true);
    expect(device.shouldSignal()).toBe(true);
    expect(device.pop()).toBeUndefined();
    const used = `
      00 00        used.flags
      01 00        used.idx          1
      00 00 00 00  used.ring[0].id   0
      04 00 00 00  used.ring[0].len  4
      00 00 00 00 00 00 00 00  used.ring[1]
      01 00        avail_event       1: notify for the second`;
    expect(bytes(ram, 0x130, 0x146)).toBe(golden(used));
    expect(bytes(ram, 0x280, 0x284)).toBe('55667788');
    expect(driver.poll()).toEqual({ id: 0, length: 4 });
    expect(bytes(ram, 0x128, 0x12a)).toBe('0100'); // used_event 1
  });

  it('an indirect table', () => {
    const { ram, driver, device } = make(VIRTIO_RING_F_INDIRECT_DESC);
    expect(driver.add([IN], [OUT], true)).toBe(0);
    const table = `
      50 01 00 00 00 00 00 00  desc[0].addr   0x150, where the tables are
      20 00 00 00              desc[0].len    two entries
      04 00                    desc[0].flags  INDIRECT
      00 00                    desc[0].next`;
    expect(bytes(ram, 0x100, 0x110)).toBe(golden(table));
    const entries = `
      00 00 00 20 01 00 00 00  [0].addr   0x120000000
      14 00 00 00              [0].len    20
      01 00                    [0].flags  NEXT
      01 00                    [0].next   1
      80 02 00 00 00 00 00 00  [1].addr   0x280
      04 00 00 00              [1].len    4
      02 00                    [1].flags  WRITE
      00 00                    [1].next`;
    expect(bytes(ram, 0x150, 0x170)).toBe(golden(entries));
    const chain = device.pop();
    expect([chain?.slots, chain?.readableLength, chain?.writableLength]).toEqual([1, 20, 4]);
  });

  it('suppression without EVENT_IDX is a flag on either side', () => {
    const { ram, driver, device } = make();
    device.suppressKicks(true);
    expect(bytes(ram, 0x130, 0x134)).toBe('01000000'); // used.flags NO_NOTIFY
    driver.add([IN], []);
    expect(driver.kickNeeded()).toBe(false);
    expect(driver.enableInterrupts(false)).toBe(false);
    expect(bytes(ram, 0x120, 0x124)).toBe('01000100'); // avail.flags NO_INTERRUPT, idx 1
    const chain = device.pop();
    expect(chain && device.push(chain, 0)).toBe(true);
    expect(device.shouldSignal()).toBe(false);
    expect(driver.enableInterrupts(true)).toBe(true);
  });
});

describe('packed', () => {
  it('one request of two descriptors, made available and used; then the second lap', () => {
    const { ram, driver, device } = make(VIRTIO_F_RING_PACKED, VIRTIO_RING_F_EVENT_IDX);
    expect(device.pop()).toBeUndefined();
    expect(driver.add([IN], [OUT])).toBe(0);
    const ring = `
      00 00 00 20 01 00 00 00  desc[0].addr   0x120000000
      14 00 00 00              desc[0].len    20
      00 00                    desc[0].id     0
      81 00                    desc[0].flags  NEXT, AVAIL
      80 02 00 00 00 00 00 00  desc[1].addr   0x280
      04 00 00 00              desc[1].len    4
      00 00                    desc[1].id     0
      82 00                    desc[1].flags  WRITE, AVAIL
      00 00                    driver event   off 0
      00 00                    driver event   ENABLE
      00 00 00 00 00 00 00 00 00 00 00 00  up to a multiple of 16
      00 80                    device event   off 0, wrap 1
      02 00                    device event   DESC`;
    expect(bytes(ram, 0x100, 0x134)).toBe(golden(ring));
    expect(driver.kickNeeded()).toBe(true);

    const chain = device.pop();
    expect([chain?.id, chain?.slots]).toEqual([0, 2]);
    expect(chain && device.push(chain, 4)).toBe(true);
    expect(device.shouldSignal()).toBe(true);
    const used = `
      04 00 00 00  desc[0].len    4
      00 00        desc[0].id     0
      82 80        desc[0].flags  WRITE, AVAIL, USED`;
    expect(bytes(ram, 0x108, 0x110)).toBe(golden(used));
    expect(device.pop()).toBeUndefined();
    expect(bytes(ram, 0x130, 0x134)).toBe('00000200'); // off 0, wrap 0, DESC
    expect(driver.poll()).toEqual({ id: 0, length: 4 });
    expect(bytes(ram, 0x120, 0x124)).toBe('00000200'); // off 0, wrap 0, DESC

    // The second lap: AVAIL is written as 0, USED as 1.
    expect(driver.add([IN], [])).toBe(0);
    expect(bytes(ram, 0x10c, 0x110)).toBe('00000080');
    const second = device.pop();
    expect(second && device.push(second, 0)).toBe(true);
    expect(bytes(ram, 0x108, 0x110)).toBe('0000000000000000');
    expect(driver.poll()).toEqual({ id: 0, length: 0 });
  });

  it('an indirect table: flags of its entries say WRITE or nothing', () => {
    const { ram, driver, device } = make(VIRTIO_F_RING_PACKED, VIRTIO_RING_F_INDIRECT_DESC);
    expect(driver.add([IN], [OUT], true)).toBe(0);
    const head = `
      40 01 00 00 00 00 00 00  desc[0].addr   0x140
      20 00 00 00              desc[0].len    two entries
      00 00                    desc[0].id     0
      84 00                    desc[0].flags  INDIRECT, AVAIL`;
    expect(bytes(ram, 0x100, 0x110)).toBe(golden(head));
    expect(bytes(ram, 0x14c, 0x150) + bytes(ram, 0x15c, 0x160)).toBe('0000000000000200');
    const chain = device.pop();
    expect([chain?.slots, chain?.readableLength, chain?.writableLength]).toEqual([1, 20, 4]);
  });

  it('suppression is DISABLE on either side', () => {
    const { ram, driver, device } = make(VIRTIO_F_RING_PACKED);
    device.suppressKicks(true);
    expect(bytes(ram, 0x132, 0x134)).toBe('0100');
    driver.enableInterrupts(false);
    expect(bytes(ram, 0x122, 0x124)).toBe('0100');
    driver.add([IN], []);
    expect(driver.kickNeeded()).toBe(false);
    const chain = device.pop();
    expect(chain && device.push(chain, 0)).toBe(true);
    expect(device.shouldSignal()).toBe(false);
    device.suppressKicks(false);
    expect(bytes(ram, 0x132, 0x134)).toBe('0000');
    expect(driver.enableInterrupts(true)).toBe(true);
    expect(bytes(ram, 0x122, 0x124)).toBe('0000');
  });
});
