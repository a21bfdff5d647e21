import { describe, expect, it, test } from 'vitest';
import { DirectDma, GuestMemory } from '../../../src/memory/index.ts';
import {
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../../../src/spec/virtio.ts';
import {
  DriverSplitQueue,
  featureBits,
  makeDeviceQueue,
  type DeviceQueue,
  type QueueError,
} from '../../../src/virtio/index.ts';
import { queuePair, RAM } from '../../support/virtio.ts';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const AVAIL = 0x80;

/** Rings at 0x0, 0x400 and 0x500; a table for tests at 0x600; memory ends at 0x1000. */
class Rig {
  readonly ram = new Uint8Array(0x1000);
  readonly data = new DataView(this.ram.buffer);
  readonly errors: QueueError[] = [];
  readonly queue: DeviceQueue;
  readonly packed: boolean;
  #count = 0;

  constructor(size: number, bits: readonly number[], places: readonly number[] = []) {
    const [desc = 0, driver = 0x400, device = 0x500] = places;
    const features = featureBits(VIRTIO_F_VERSION_1, ...bits);
    this.packed = bits.includes(VIRTIO_F_RING_PACKED);
    const memory = new GuestMemory([{ gpa: 0n, bytes: this.ram }]);
    const layout = {
      index: 3,
      size,
      descHi: 0,
      descLo: desc,
      driverHi: 0,
      driverLo: driver,
      deviceHi: 0,
      deviceLo: device,
    };
    this.queue = makeDeviceQueue(layout, features, new DirectDma(memory), (error) =>
      this.errors.push(error),
    );
  }

  /** A descriptor at an offset; `last` is `next` in the split format and `id` in the packed. */
  desc(at: number, addr: number, len: number, flags: number, last = 0): this {
    this.data.setBigUint64(at, BigInt(addr), true);
    this.data.setUint32(at + 8, len, true);
    this.data.setUint16(at + 12, this.packed ? last : flags, true);
    this.data.setUint16(at + 14, this.packed ? flags : last, true);
    return this;
  }

  /** Split: offers heads. */
  offer(...heads: number[]): this {
    for (const head of heads) this.data.setUint16(0x404 + 2 * (this.#count++ % 4), head, true);
    this.data.setUint16(0x402, this.#count, true);
    return this;
  }

  /** What `pop` made of it. */
  get outcome(): string {
    const chain = this.queue.pop();
    if (chain !== undefined) return `${chain.readableCount}r${chain.writableCount}w`;
    // Told once, and for good.
    expect(this.queue.pop()).toBeUndefined();
    expect(this.queue.shouldSignal()).toBe(false);
    this.queue.suppressKicks(true);
    expect(this.errors).toEqual(this.queue.error ? [this.queue.error] : []);
    expect(this.queue.error?.queue ?? 3).toBe(3);
    return this.queue.error?.code ?? 'empty';
  }
}

const split = (): Rig => new Rig(4, [VIRTIO_RING_F_INDIRECT_DESC]);
const packed = (): Rig => new Rig(4, [VIRTIO_F_RING_PACKED, VIRTIO_RING_F_INDIRECT_DESC]);
const TABLE = 0x600;

describe('split: what a driver may not do', () => {
  const cases: readonly [string, (rig: Rig) => Rig, string][] = [
    ['nothing', (rig) => rig, 'empty'],
    ['a sound chain', (rig) => rig.desc(0, 0, 1, NEXT, 3).desc(48, 0, 1, WRITE).offer(0), '1r1w'],
    ['a loop of one', (rig) => rig.desc(0, 0, 1, NEXT, 0).offer(0), 'chain-length'],
    [
      'a loop of two',
      (rig) => rig.desc(0, 0, 1, NEXT, 1).desc(16, 0, 1, NEXT, 0).offer(0),
      'chain-length',
    ],
    ['a head beyond the table', (rig) => rig.offer(4), 'descriptor-index'],
    ['a next beyond the table', (rig) => rig.desc(0, 0, 1, NEXT, 4).offer(0), 'descriptor-index'],
    [
      'readable after writable',
      (rig) =>
        rig
          .desc(0, 0, 1, NEXT | WRITE, 1)
          .desc(16, 0, 1, 0)
          .offer(0),
      'chain-order',
    ],
    ['idx jumps', (rig) => rig.offer(0, 0, 0, 0, 0), 'avail-index'],
    [
      '2^32 bytes',
      (rig) => rig.desc(0, 0, 0xffff_ffff, NEXT, 1).desc(16, 0, 1, 0).offer(0),
      'chain-bytes',
    ],
    [
      '2^32 - 1 bytes, none of which is looked at',
      (rig) => rig.desc(0, 0xffff_0000, 0xffff_ffff, WRITE).offer(0),
      '0r1w',
    ],
    [
      'D62: an indirect table; WRITE on it is ignored',
      (rig) =>
        rig
          .desc(0, TABLE, 32, INDIRECT | WRITE)
          .desc(TABLE, 0, 1, NEXT, 1)
          .desc(TABLE + 16, 0, 1, WRITE)
          .offer(0),
      '1r1w',
    ],
    [
      'D62: a table after a descriptor',
      (rig) =>
        rig.desc(0, 0, 1, NEXT, 1).desc(16, TABLE, 16, INDIRECT).desc(TABLE, 0, 1, WRITE).offer(0),
      '1r1w',
    ],
    [
      'a table with a next',
      (rig) => rig.desc(0, TABLE, 16, INDIRECT | NEXT).offer(0),
      'indirect-with-next',
    ],
    ['a table of 0', (rig) => rig.desc(0, TABLE, 0, INDIRECT).offer(0), 'indirect-length'],
    ['a table of 17', (rig) => rig.desc(0, TABLE, 17, INDIRECT).offer(0), 'indirect-length'],
    [
      'a table of 1025 entries',
      (rig) => rig.desc(0, TABLE, 16 * 1025, INDIRECT).offer(0),
      'indirect-length',
    ],
    [
      'a table in a table',
      (rig) => rig.desc(0, TABLE, 16, INDIRECT).desc(TABLE, TABLE, 16, INDIRECT).offer(0),
      'indirect-nested',
    ],
    [
      'a loop in a table',
      (rig) => rig.desc(0, TABLE, 16, INDIRECT).desc(TABLE, 0, 1, NEXT, 0).offer(0),
      'chain-length',
    ],
    [
      'a next beyond a table',
      (rig) => rig.desc(0, TABLE, 16, INDIRECT).desc(TABLE, 0, 1, NEXT, 1).offer(0),
      'descriptor-index',
    ],
    [
      'a table outside memory',
      (rig) => rig.desc(0, 0x1000, 16, INDIRECT).offer(0),
      'indirect-unreachable',
    ],
  ];

  it.each(cases)('%s', (_, prepare, outcome) => {
    expect(prepare(split()).outcome).toBe(outcome);
  });

  it('a table that was not negotiated', () => {
    const rig = new Rig(4, []).desc(0, TABLE, 16, INDIRECT).offer(0);
    expect(rig.outcome).toBe('indirect-not-negotiated');
  });

  it('more buffers than the queue holds, none of them used', () => {
    const rig = split().desc(0, 0, 1, 0);
    for (let i = 0; i < 4; i++) expect(rig.offer(0).outcome).toBe('1r0w');
    expect(rig.offer(0).outcome).toBe('in-flight');
  });

  it.each([
    ['table', [0xff8], 0x1000n],
    ['available ring', [0, 0x2000], 0x2002n],
  ])('%s outside memory, and says where', (_, places, address) => {
    const rig = new Rig(4, [], places).offer(0);
    expect(rig.desc(0, 0, 1, 0).outcome).toBe('ring-unreachable');
    expect(rig.errors[0]?.address).toBe(address);
  });

  it('used ring outside memory: the push fails', () => {
    const rig = new Rig(4, [], [0, 0x400, 0xfff_f000]).desc(0, 0, 1, 0).offer(0);
    const chain = rig.queue.pop();
    expect(chain && rig.queue.push(chain, 0)).toBe(false);
    expect(rig.errors).toHaveLength(1);
    expect(rig.errors[0]).toMatchObject({ code: 'ring-unreachable', address: 0xfff_f004n });
  });

  it('events outside memory', () => {
    const bits = [VIRTIO_RING_F_EVENT_IDX];
    expect(new Rig(4, bits, [0, 0x400, 0x2000]).outcome).toBe('ring-unreachable');
    // used_event is the first word past the end.
    const rig = new Rig(4, bits, [0, 0xff4, 0x500]).desc(0, 0, 1, 0);
    rig.data.setUint16(0xff6, 1, true);
    const chain = rig.queue.pop();
    expect(chain && rig.queue.push(chain, 0)).toBe(true);
    expect(rig.queue.shouldSignal()).toBe(false);
    expect(rig.errors[0]).toMatchObject({ code: 'ring-unreachable', address: 0x1000n });
  });
});

describe('packed: what a driver may not do', () => {
  const cases: readonly [string, (rig: Rig) => Rig, string][] = [
    ['nothing', (rig) => rig, 'empty'],
    [
      'a sound list',
      (rig) => rig.desc(0, 0, 1, AVAIL | NEXT).desc(16, 0, 1, AVAIL | WRITE, 9),
      '1r1w',
    ],
    [
      'a list without end',
      (rig) => [0, 16, 32, 48].reduce((r, at) => r.desc(at, 0, 1, AVAIL | NEXT), rig),
      'chain-length',
    ],
    [
      'readable after writable',
      (rig) => rig.desc(0, 0, 1, AVAIL | NEXT | WRITE).desc(16, 0, 1, AVAIL),
      'chain-order',
    ],
    [
      'an indirect table',
      (rig) => rig.desc(0, TABLE, 32, AVAIL | INDIRECT).desc(TABLE + 16, 0, 1, WRITE),
      '1r1w',
    ],
    ['a table of 8', (rig) => rig.desc(0, TABLE, 8, AVAIL | INDIRECT), 'indirect-length'],
    [
      'a table with a next',
      (rig) => rig.desc(0, TABLE, 16, AVAIL | INDIRECT | NEXT),
      'indirect-with-next',
    ],
    [
      'flags in a table that are reserved there: all but WRITE are ignored',
      (rig) =>
        rig
          .desc(0, TABLE, 32, AVAIL | INDIRECT)
          .desc(TABLE, 0, 16, INDIRECT | NEXT)
          .desc(TABLE + 16, 0, 16, 0xfff8 | INDIRECT | WRITE),
      '1r1w',
    ],
    [
      'a table outside memory',
      (rig) => rig.desc(0, 0x10_0000, 16, AVAIL | INDIRECT),
      'indirect-unreachable',
    ],
    [
      '2^32 bytes',
      (rig) => rig.desc(0, 0, 0xffff_ffff, AVAIL | NEXT).desc(16, 0, 1, AVAIL),
      'chain-bytes',
    ],
  ];

  it.each(cases)('%s', (_, prepare, outcome) => {
    expect(prepare(packed()).outcome).toBe(outcome);
  });

  it('a list that runs into buffers in flight', () => {
    const rig = packed();
    for (const at of [0, 16, 32]) {
      rig.desc(at, 0, 1, AVAIL);
      expect(rig.outcome).toBe('1r0w');
    }
    rig.desc(48, 0, 1, AVAIL | NEXT);
    expect(rig.outcome).toBe('in-flight');
  });

  it.each([
    ['ring', [0xff8]],
    ['driver event', [0, 0x2000]],
    ['device event', [0, 0x400, 0x2000]],
  ])('%s outside memory', (what, places) => {
    const rig = new Rig(4, [VIRTIO_F_RING_PACKED, VIRTIO_RING_F_EVENT_IDX], places);
    if (what === 'driver event') rig.desc(0, 0, 1, AVAIL);
    const chain = rig.queue.pop();
    if (chain) rig.queue.push(chain, 0);
    expect(rig.queue.shouldSignal()).toBe(false);
    expect(rig.queue.error?.code).toBe('ring-unreachable');
  });
});

describe('queues', () => {
  it.each([
    [0, [], 'ring-size'],
    [3, [], 'ring-size'],
    [65_536, [], 'ring-size'],
    [3, [VIRTIO_F_RING_PACKED], 'empty'],
    [32_769, [VIRTIO_F_RING_PACKED], 'ring-size'],
  ])('of %d descriptors, %j: %s', (size, bits, outcome) => {
    expect(new Rig(size, bits).outcome).toBe(outcome);
  });

  it('our own mistakes are thrown: a chain pushed twice, or more used than there is', () => {
    const rig = split().desc(0, 0, 4, WRITE).offer(0);
    const chain = rig.queue.pop();
    if (chain === undefined) throw new Error('no chain');
    expect(() => rig.queue.push(chain, 5)).toThrow('5 of 4 bytes used');
    expect(rig.queue.push(chain, 4)).toBe(true);
    expect(() => rig.queue.push(chain, 4)).toThrow('chain 0 is free');
  });

  it('a buffer outside memory is the device’s to answer, not a broken queue', () => {
    const rig = split().desc(0, 0xffe, 4, NEXT, 1).desc(16, 0xfff, 2, WRITE).offer(0);
    const chain = rig.queue.pop();
    expect(chain?.reader.read(new Uint8Array(4))).toBe(2);
    expect([chain?.reader.failed, chain?.reader.left]).toEqual([true, 2]);
    expect(chain?.writer.writeU16(1)).toBe(false);
    expect(chain?.writer.failed).toBe(true);
    expect(chain?.writer.pieces(1)).toBeUndefined();
    expect(chain && rig.queue.push(chain, 0)).toBe(true);
    expect(rig.errors).toEqual([]);
  });

  it('cursors: any place, any width, over empty descriptors too', () => {
    const rig = split();
    rig.ram.set([1, 2, 3, 4, 5, 6, 7, 8], 0x800);
    rig.desc(0, 0x800, 3, NEXT, 1).desc(16, 0x900, 0, NEXT, 2).desc(32, 0x803, 5, NEXT, 3);
    rig.desc(48, 0xa00, 6, WRITE).offer(0);
    const { reader, writer } = rig.queue.pop() ?? {};
    expect([reader?.readU16(), reader?.readU32(), reader?.left]).toEqual([0x0201, 0x0605_0403, 2]);
    reader?.seek(2);
    expect(reader?.pieces(3)?.map((piece) => [...piece])).toEqual([[3], [4, 5]]);
    expect(reader?.skip(100)).toBe(3);
    expect([reader?.readU8(), reader?.read(new Uint8Array(1)), reader?.failed]).toEqual([
      -1,
      0,
      false,
    ]);
    expect(reader?.pieces(1)).toBeUndefined();
    writer?.seek(2);
    expect(writer?.writeU32(0xa1b2_c3d4)).toBe(true);
    expect([writer?.writeU8(1), writer?.failed]).toEqual([false, false]);
    writer?.seek(0);
    expect(writer?.fill(2, 7)).toBe(2);
    writer?.seek(5);
    expect(writer?.pieces(1)?.[0]?.fill(9)).toBeDefined();
    expect([...rig.ram.subarray(0xa00, 0xa06)]).toEqual([7, 7, 0xd4, 0xc3, 0xb2, 9]);
  });
});

describe('what a device may not do, as the driver sees it', () => {
  const rings = (bits: number[]): ReturnType<typeof queuePair> =>
    queuePair({ size: 4, features: featureBits(...bits), area: RAM });

  it('used.idx jumps, or an ID that is not out', () => {
    const one = rings([]);
    const used = Number(RAM - 0xffff_0000n) + Number(one.driver.deviceArea - RAM);
    one.memory.writeU16(0, 0xffff_0000 + used + 2, 5);
    expect(one.driver.poll()).toBeUndefined();
    expect(one.driver.broken).toBe('used.idx went from 0 to 5');
    const two = rings([]);
    two.memory.writeU16(0, 0xffff_0000 + used + 2, 1);
    two.memory.writeU32(0, 0xffff_0000 + used + 4, 3);
    expect(two.driver.poll()).toBeUndefined();
    expect(two.driver.broken).toBe('used buffer 3, which the device does not have');
  });

  it.each([
    ['split', []],
    ['packed', [VIRTIO_F_RING_PACKED]],
  ])('%s, in order: one used element for a whole batch', (_, bits) => {
    const { driver, memory, segment, device } = rings([VIRTIO_F_IN_ORDER, ...bits]);
    const out = segment(RAM + 0x2000n, 8);
    const ids = [driver.add([], [out]), driver.add([], [out, out]), driver.add([], [out])];
    const last = ids[2] ?? 0;
    // By hand: our device writes each. The element of the batch is that of its last buffer.
    if (bits.length === 0) {
      const at = Number(driver.deviceArea);
      memory.writeU32(0, at + 4, last);
      memory.writeU32(0, at + 8, 5);
      memory.writeU16(0, at + 2, 3);
    } else {
      const at = Number(driver.descArea);
      memory.writeU32(0, at + 8, 5);
      memory.writeU16(0, at + 12, last);
      memory.writeU16(0, at + 14, 0x8082);
    }
    expect([driver.poll(), driver.poll(), driver.poll(), driver.poll()]).toEqual([
      { id: ids[0], length: 8 },
      { id: ids[1], length: 16 },
      { id: last, length: 5 },
      undefined,
    ]);
    expect(driver.free).toBe(4);
    expect(device.error).toBeUndefined();
  });

  it('a queue area that is no memory is our own mistake', () => {
    const memory = new GuestMemory([{ gpa: 0n, bytes: new Uint8Array(16) }]);
    const make = (): unknown => new DriverSplitQueue({ memory, area: 0n, size: 4, features: 0n });
    expect(make).toThrow('queue area at 0x0: 128 bytes are not memory');
    const { driver } = rings([]);
    expect(() => driver.add([], [])).toThrow(RangeError);
  });
});

describe('rings that end in the middle of memory', () => {
  test.each([
    ['split: the available ring begins in memory and ends outside', [], [0, 0xffc, 0x500]],
    ['packed: a list runs out of memory', [VIRTIO_F_RING_PACKED], [0xff0, 0x400, 0x500]],
  ] as const)('%s', (_, bits, places) => {
    const rig = new Rig(4, bits, places);
    if (rig.packed) rig.desc(0xff0, 0, 1, AVAIL | NEXT);
    else rig.data.setUint16(0xffe, 1, true);
    expect(rig.outcome).toBe('ring-unreachable');
    expect(rig.queue.error?.address).toBe(0x1000n);
  });

  test('flags that vanish before an interrupt is considered', () => {
    const ram = new Uint8Array(0x1000);
    const memory = new GuestMemory([
      { gpa: 0n, bytes: ram },
      { gpa: 0x1000n, bytes: new Uint8Array(0x1000) },
    ]);
    const errors: QueueError[] = [];
    const place = { index: 0, size: 4, descHi: 0, driverHi: 0, deviceHi: 0 };
    const layout = { ...place, descLo: 0, driverLo: 0x1000, deviceLo: 0x500 };
    const features = featureBits(VIRTIO_F_VERSION_1);
    const dma = new DirectDma(memory);
    const queue = makeDeviceQueue(layout, features, dma, (error) => errors.push(error));
    memory.writeU16(0, 0x1002, 1);
    const chain = queue.pop();
    memory.removeWindow(0x1000n);
    expect(chain && queue.push(chain, 0)).toBe(true);
    expect(queue.shouldSignal()).toBe(false);
    expect(errors.map(({ code }) => code)).toEqual(['ring-unreachable']);
  });
});
