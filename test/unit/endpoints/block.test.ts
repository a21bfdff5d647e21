import { describe, expect, test } from 'vitest';
import { structBytes } from '../../../src/bytes/index.ts';
import {
  MemoryStore,
  VirtioBlock,
  type BlockEvent,
  type BlockStore,
} from '../../../src/endpoints/index.ts';
import {
  VIRTIO_BLK_DISCARD_WRITE_ZEROES,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_REQ,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_GET_ID,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
} from '../../../src/spec/virtio-blk.ts';
import { VIRTIO_F_ACCESS_PLATFORM } from '../../../src/spec/virtio.ts';
import { hasFeature, type BufferSegment } from '../../../src/virtio/index.ts';
import { addressIn, segment, VirtioRig } from './rig.ts';

const SECTORS = 64;

/** Each sector begins with its number. */
function contents(): Uint8Array {
  const bytes = new Uint8Array(SECTORS * 512);
  for (let i = 0; i < bytes.length; i++) bytes[i] = i % 512 === 0 ? i / 512 : (i * 7) & 0xff;
  return bytes;
}

interface Disk {
  readonly rig: VirtioRig;
  readonly bytes: Uint8Array;
  readonly events: BlockEvent[];
}

function disk(translated: boolean, readOnly = false): Disk {
  const bytes = contents();
  const events: BlockEvent[] = [];
  const store = new MemoryStore(bytes, readOnly);
  const onRequest = (event: BlockEvent): void => void events.push(event);
  const device = new VirtioBlock({ store, serial: 'viommu-topo-disk', onRequest });
  const rig = new VirtioRig(device, { translated });
  expect(rig.start()).toBe(true);
  return { rig, bytes, events };
}

function head({ rig }: Disk, type: number, sector = 0n): BufferSegment {
  return rig.arena.hold(structBytes(VIRTIO_BLK_REQ, 'le', { type, sector }));
}

/** A status byte that no answer has. */
function status({ rig }: Disk): BufferSegment {
  return rig.arena.hold(new Uint8Array([0xee]));
}

function byteAt({ rig }: Disk, at: BufferSegment): number | undefined {
  return rig.arena.get(addressIn(at), 1)[0];
}

describe.each([
  ['at its own addresses', false],
  ['through pages', true],
])('a disk, %s', (_, translated) => {
  test('reads sectors into segments of any size', () => {
    const it = disk(translated);
    const last = status(it);
    // The second crosses two pages.
    const parts = [0x200, 0x1800, 0x200].map((length) =>
      segment(it.rig.arena.alloc(length), length),
    );
    const used = it.rig.run(0, [head(it, VIRTIO_BLK_T_IN, 3n)], [...parts, last]);
    expect(used).toBe(0x1c01);
    expect(byteAt(it, last)).toBe(0);
    const read = parts.map((part) => it.rig.arena.get(addressIn(part), part.length));
    expect(Buffer.concat(read).equals(it.bytes.subarray(3 * 512, 3 * 512 + 0x1c00))).toBe(true);
  });

  test('takes head, data and status in one segment each way', () => {
    const it = disk(translated);
    const out = new Uint8Array(16 + 512).fill(0x42);
    out.set(structBytes(VIRTIO_BLK_REQ, 'le', { type: VIRTIO_BLK_T_OUT, sector: 5n }));
    const last = status(it);
    expect(it.rig.run(0, [it.rig.arena.hold(out)], [last])).toBe(1);
    expect(byteAt(it, last)).toBe(0);
    expect([...it.bytes.subarray(5 * 512, 6 * 512)].every((byte) => byte === 0x42)).toBe(true);
    const back = segment(it.rig.arena.alloc(513), 513);
    expect(it.rig.run(0, [head(it, VIRTIO_BLK_T_IN, 5n)], [back])).toBe(513);
    expect([...it.rig.arena.get(addressIn(back), 513)]).toEqual([
      ...new Uint8Array(512).fill(0x42),
      0,
    ]);
  });

  test.each([
    ['the end of the disk', BigInt(SECTORS - 1), 1024],
    ['a sector beyond 2^53', 2n ** 60n, 512],
    ['the highest sector', 2n ** 64n - 1n, 512],
    ['half a sector', 0n, 256],
  ])('answers IOERR past %s, and writes nothing but the status', (_name, sector, length) => {
    const it = disk(translated);
    const last = status(it);
    const data = it.rig.arena.hold(new Uint8Array(length).fill(0x99));
    it.rig.run(0, [head(it, VIRTIO_BLK_T_IN, sector)], [data, last]);
    expect(byteAt(it, last)).toBe(1);
    expect(byteAt(it, data)).toBe(0x99);
    it.rig.run(0, [head(it, VIRTIO_BLK_T_OUT, sector), data], [last]);
    expect(byteAt(it, last)).toBe(1);
    expect(Buffer.from(it.bytes).equals(contents())).toBe(true);
  });

  test('flushes, says who it is, and does not know what it does not know', () => {
    const it = disk(translated);
    const last = status(it);
    it.rig.run(0, [head(it, VIRTIO_BLK_T_FLUSH)], [last]);
    expect(byteAt(it, last)).toBe(0);
    const id = segment(it.rig.arena.alloc(20), 20);
    expect(it.rig.run(0, [head(it, VIRTIO_BLK_T_GET_ID)], [id, last])).toBe(21);
    const text = Buffer.from(it.rig.arena.get(addressIn(id), 20)).toString('latin1');
    expect(text).toBe('viommu-topo-disk\0\0\0\0');
    it.rig.run(0, [head(it, 77)], [last]);
    expect(byteAt(it, last)).toBe(2);
    expect(it.events.map((event) => event.status)).toEqual([0, 0, 2]);
  });

  test('zeroes and discards runs of sectors, all or none', () => {
    const it = disk(translated);
    const last = status(it);
    const runs = (...list: [bigint, number, number][]): BufferSegment =>
      it.rig.arena.hold(
        Buffer.concat(
          list.map(([sector, num_sectors, flags]) =>
            structBytes(VIRTIO_BLK_DISCARD_WRITE_ZEROES, 'le', { sector, num_sectors, flags }),
          ),
        ),
      );
    const ask = (type: number, data: BufferSegment): number | undefined => {
      it.rig.run(0, [head(it, type), data], [last]);
      return byteAt(it, last);
    };
    expect(ask(VIRTIO_BLK_T_WRITE_ZEROES, runs([2n, 1, 1], [60n, 9, 0]))).toBe(1);
    expect(Buffer.from(it.bytes).equals(contents())).toBe(true);
    expect(ask(VIRTIO_BLK_T_DISCARD, runs([2n, 1, 1]))).toBe(2);
    expect(ask(VIRTIO_BLK_T_WRITE_ZEROES, runs([2n, 1, 1], [4n, 2, 0]))).toBe(0);
    expect(ask(VIRTIO_BLK_T_DISCARD, runs([9n, 1, 0]))).toBe(0);
    const zero = Array.from({ length: 12 }, (_n, i) => it.bytes[i * 512 + 1] === 0);
    expect(zero.flatMap((is, i) => (is ? [i] : []))).toEqual([2, 4, 5, 9]);
  });

  test('gives back untouched what has no room for a status', () => {
    const it = disk(translated);
    expect(it.rig.run(0, [head(it, VIRTIO_BLK_T_FLUSH)], [])).toBe(0);
    expect(it.events).toEqual([]);
  });

  test('answers a head that is cut short', () => {
    const it = disk(translated);
    const last = status(it);
    const used = it.rig.run(0, [it.rig.arena.hold(new Uint8Array(15))], [last]);
    expect([used, byteAt(it, last)]).toEqual([1, 1]);
    expect(it.events).toEqual([{ type: undefined, sector: 0, length: 0, status: 1 }]);
  });
});

describe('a disk', () => {
  test('says its size and limits in its configuration', () => {
    const { rig } = disk(false);
    expect([rig.config(0, 4), rig.config(4, 4)]).toEqual([SECTORS, 0]);
    // seg_max leaves room for head and status in the queue; blk_size.
    expect([rig.config(12, 4), rig.config(20, 4)]).toEqual([126, 512]);
    expect(hasFeature(rig.features, VIRTIO_BLK_F_FLUSH)).toBe(true);
    expect(hasFeature(rig.features, VIRTIO_BLK_F_RO)).toBe(false);
  });

  test('that is read-only says so, and refuses to be written', () => {
    const it = disk(false, true);
    expect(hasFeature(it.rig.features, VIRTIO_BLK_F_RO)).toBe(true);
    const last = status(it);
    it.rig.run(0, [head(it, VIRTIO_BLK_T_OUT), it.rig.arena.hold(new Uint8Array(512))], [last]);
    expect(byteAt(it, last)).toBe(1);
    expect(Buffer.from(it.bytes).equals(contents())).toBe(true);
  });

  test('behind an IOMMU refuses a driver without ACCESS_PLATFORM', () => {
    const rig = new VirtioRig(new VirtioBlock({ store: new MemoryStore(contents()) }), {
      translated: true,
    });
    expect(rig.start(1n << BigInt(VIRTIO_F_ACCESS_PLATFORM))).toBe(false);
    expect(rig.start()).toBe(true);
  });

  test('answers IOERR when its data was unmapped, and the fault is told', () => {
    const it = disk(true);
    const last = status(it);
    const data = segment(it.rig.arena.alloc(0x3000), 0x2000);
    const hole = addressIn(data) + 0x1000n;
    it.rig.arena.unmap(hole);
    it.rig.run(0, [head(it, VIRTIO_BLK_T_IN)], [data, last]);
    expect(byteAt(it, last)).toBe(1);
    expect(it.rig.arena.iommu.faults).toEqual([hole]);
    it.rig.run(0, [head(it, VIRTIO_BLK_T_OUT), data], [last]);
    expect(byteAt(it, last)).toBe(1);
    expect(it.rig.arena.iommu.faults).toEqual([hole, hole]);
  });

  test('gives back a used length of 0 when the status cannot be written', () => {
    const it = disk(true);
    const last = status(it);
    it.rig.arena.unmap(addressIn(last));
    expect(it.rig.run(0, [head(it, VIRTIO_BLK_T_FLUSH)], [last])).toBe(0);
  });

  test('needs a reset when its rings were unmapped, and says so', () => {
    const it = disk(true);
    const desc = it.rig.queues[0]?.descArea ?? 0n;
    it.rig.arena.unmap(desc);
    it.rig.run(0, [head(it, VIRTIO_BLK_T_FLUSH)], [status(it)]);
    expect(it.rig.common('device_status', 1) & 0x40).toBe(0x40);
  });

  test('interrupts by the vector of its queue, the message translated like any write', () => {
    const it = disk(true);
    it.rig.enableMsix();
    it.rig.setCommon('queue_select', 2, 0);
    it.rig.setCommon('queue_msix_vector', 2, 1);
    it.rig.run(0, [head(it, VIRTIO_BLK_T_FLUSH)], [status(it)]);
    expect(it.rig.arena.messages).toEqual([{ address: 0x0802_0040, value: 101 }]);
    // A doorbell that is mapped no more is a fault, and no interrupt.
    it.rig.arena.unmap(0x0802_0000n);
    it.rig.run(0, [head(it, VIRTIO_BLK_T_FLUSH)], [status(it)]);
    expect(it.rig.arena.messages).toHaveLength(1);
    expect(it.rig.arena.iommu.faults).toEqual([0x0802_0040n]);
  });

  test('interrupts by INTx without MSI-X, until the driver reads ISR', () => {
    const it = disk(false);
    it.rig.run(0, [head(it, VIRTIO_BLK_T_FLUSH)], [status(it)]);
    // Device 3, INTA#: line 3.
    expect(it.rig.lines).toEqual([false, false, false, true]);
    expect(it.rig.isr()).toBe(1);
    expect(it.rig.lines[3]).toBe(false);
  });

  test('does nothing while it may not master the bus', () => {
    const it = disk(false);
    it.rig.guest.write(0x0018, 4, 2, 2);
    expect(it.rig.run(0, [head(it, VIRTIO_BLK_T_FLUSH)], [status(it)])).toBeUndefined();
    expect(it.events).toEqual([]);
    expect(it.rig.common('device_status', 1) & 0x40).toBe(0x40);
  });
});

test('a guest that names the same memory over and over gets its turn, and no more', () => {
  const read: number[] = [];
  const store: BlockStore = {
    size: 64 * 2 ** 20,
    readOnly: false,
    read: (offset, into) => {
      read.push(offset + into.length);
      return true;
    },
    write: () => false,
    flush: () => false,
  };
  let woken = 0;
  const rig = new VirtioRig(new VirtioBlock({ store }), { wake: () => void woken++ });
  rig.start();
  const huge = segment(rig.arena.alloc(2 ** 21), 2 ** 21);
  const last = rig.arena.hold(new Uint8Array([0xee]));
  const ask = rig.arena.hold(structBytes(VIRTIO_BLK_REQ, 'le', { type: VIRTIO_BLK_T_IN }));
  // Three requests of 32 MiB each, in 2 MiB of memory; then one of 66 MiB, which is refused.
  for (let i = 0; i < 3; i++)
    rig.queues[0]?.add([ask], [...Array<BufferSegment>(16).fill(huge), last]);
  rig.queues[0]?.add([ask], [...Array<BufferSegment>(33).fill(huge), last]);
  rig.notify(0);
  expect([read.length, woken]).toEqual([64, 1]);
  expect(Math.max(...read)).toBe(32 * 2 ** 20);
  rig.function.core.runPending();
  rig.function.core.runPending();
  expect(read.length).toBe(96);
  expect(rig.arena.get(addressIn(last), 1)[0]).toBe(1);
  // What the store cannot do is an I/O error, or not known.
  rig.run(
    0,
    [rig.arena.hold(structBytes(VIRTIO_BLK_REQ, 'le', { type: VIRTIO_BLK_T_FLUSH }))],
    [last],
  );
  expect(rig.arena.get(addressIn(last), 1)[0]).toBe(1);
  rig.run(
    0,
    [rig.arena.hold(structBytes(VIRTIO_BLK_REQ, 'le', { type: VIRTIO_BLK_T_DISCARD }))],
    [last],
  );
  expect(rig.arena.get(addressIn(last), 1)[0]).toBe(2);
});
