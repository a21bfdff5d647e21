import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../../src/spec/virtio.ts';
import {
  featureBits,
  hasFeature,
  makeDeviceQueue,
  type BufferSegment,
  type Chain,
  type DeviceQueue,
  type QueueState,
} from '../../src/virtio/index.ts';
import { queuePair, RAM, type QueuePair } from '../support/virtio.ts';

/** Buffers lie behind the rings; each outstanding ID has a place of its own. */
const BUFFERS = RAM + 0x1_0000n;
const BUFFER_BYTES = 0x400n;

type Step =
  | {
      readonly do: 'add';
      readonly readable: number[];
      readonly writable: number[];
      readonly indirect: boolean;
      readonly gap: number;
    }
  | { readonly do: 'pop' }
  | { readonly do: 'push'; readonly which: number; readonly part: number }
  | { readonly do: 'poll' }
  | { readonly do: 'interrupts'; readonly on: boolean }
  | { readonly do: 'suppress'; readonly on: boolean }
  | { readonly do: 'restore' };

const lengths = fc.array(fc.oneof(fc.constantFrom(0, 1, 4), fc.nat(70)), { maxLength: 4 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .record({
        do: fc.constant('add' as const),
        readable: lengths,
        writable: lengths,
        indirect: fc.boolean(),
        gap: fc.nat(5),
      })
      .filter(({ readable, writable }) => readable.length + writable.length > 0),
  },
  { weight: 5, arbitrary: fc.constant({ do: 'pop' as const }) },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('push' as const), which: fc.nat(), part: fc.nat(100) }),
  },
  { weight: 5, arbitrary: fc.constant({ do: 'poll' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('interrupts' as const), on: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('suppress' as const), on: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ do: 'restore' as const }) },
);

interface Sent {
  readonly readable: Uint8Array;
  readonly writable: { gpa: bigint; length: number }[];
  readonly writableLength: number;
  /** What the device did, once it did. */
  written?: Uint8Array;
}

/** Plays the steps on both ends and compares with what was sent: the naive model is `sent`. */
class Play {
  readonly pair: QueuePair;
  readonly features: bigint;
  device: DeviceQueue;
  readonly sent = new Map<number, Sent>();
  /** IDs in the order they were made available, and given back. */
  readonly added: number[] = [];
  readonly returned: number[] = [];
  taken: Chain[] = [];
  count = 0;
  popped = 0;
  done = 0;
  deviceSleeps = false;
  driverSleeps = false;
  suppressed = false;

  constructor(pair: QueuePair, features: bigint) {
    this.pair = pair;
    this.features = features;
    this.device = pair.device;
  }

  play(what: Step): void {
    if (what.do === 'add') this.add(what);
    else if (what.do === 'pop') this.pop();
    else if (what.do === 'push') this.push(what.which, what.part);
    else if (what.do === 'poll') this.poll();
    else if (what.do === 'interrupts') {
      const waiting = this.pair.driver.enableInterrupts(what.on);
      this.driverSleeps = what.on && !waiting;
    } else if (what.do === 'suppress') {
      this.suppressed = what.on;
      this.device.suppressKicks(what.on);
      this.deviceSleeps = false;
    } else this.restore();
    expect(this.pair.errors).toEqual([]);
    expect(this.pair.driver.broken).toBeUndefined();
  }

  add({ readable, writable, indirect, gap }: Extract<Step, { do: 'add' }>): void {
    const { driver, segment, memory } = this.pair;
    const place = BUFFERS + BigInt(this.count % 64) * BUFFER_BYTES;
    let at = place;
    const lay = (length: number): { gpa: bigint; length: number } => {
      const found = { gpa: at, length };
      at += BigInt(length + gap);
      return found;
    };
    const [ins, outs] = [readable.map(lay), writable.map(lay)];
    const bytes = (part: { length: number }[]): number => part.reduce((n, p) => n + p.length, 0);
    const data = Uint8Array.from({ length: bytes(ins) }, (_, i) => (this.count * 7 + i) & 0xff);
    const segments = (part: { gpa: bigint; length: number }[]): BufferSegment[] =>
      part.map(({ gpa, length }) => segment(gpa, length));
    if (driver.outstanding().length >= 60) return;
    const before = driver.free;
    const id = driver.add(segments(ins), segments(outs), indirect);
    if (id === undefined) {
      expect(before).toBeLessThan(readable.length + writable.length);
      return;
    }
    let done = 0;
    for (const { gpa, length } of ins) {
      // The device's address: under translation neighbours in IOVA are not neighbours in memory.
      const { hi, lo } = segment(gpa, length);
      expect(this.pair.dma.write(hi, lo, data, done, length)).toBe(length);
      done += length;
    }
    expect(memory.epoch).toBe(2);
    this.sent.set(id, { readable: data, writable: outs, writableLength: bytes(outs) });
    this.added.push(id);
    this.count++;
    const kick = driver.kickNeeded();
    // A device that saw an empty queue must be told of the next buffer.
    if (this.deviceSleeps) expect(kick).toBe(true);
    this.deviceSleeps = false;
    if (this.suppressed && !hasFeature(this.features, VIRTIO_RING_F_EVENT_IDX)) {
      expect(kick).toBe(false);
    }
  }

  pop(): void {
    const chain = this.device.pop();
    if (chain === undefined) {
      expect(this.popped).toBe(this.added.length);
      this.deviceSleeps = !this.suppressed;
      return;
    }
    expect(chain.id).toBe(this.added[this.popped++]);
    const sent = this.sent.get(chain.id);
    expect(chain.readableLength).toBe(sent?.readable.length);
    expect(chain.writableLength).toBe(sent?.writableLength);
    const half = Math.floor(chain.readableLength / 2);
    const read = new Uint8Array(chain.readableLength);
    expect(chain.reader.read(read, 0, half) + chain.reader.read(read, half)).toBe(read.length);
    expect(read).toEqual(sent?.readable);
    expect(chain.reader.readU8()).toBe(-1);
    this.taken.push(chain);
  }

  push(which: number, part: number): void {
    if (this.taken.length === 0) return;
    const [chain] = this.taken.splice(which % this.taken.length, 1);
    if (chain === undefined) return;
    const sent = this.sent.get(chain.id);
    const length = Math.floor((chain.writableLength * part) / 100);
    const bytes = Uint8Array.from({ length }, (_, i) => (chain.id * 3 + i + this.done) & 0xff);
    // Back to front, so that seeking is tried too.
    const cut = Math.floor(length / 3);
    chain.writer.seek(cut);
    expect(chain.writer.write(bytes, cut)).toBe(length - cut);
    chain.writer.seek(0);
    expect(chain.writer.write(bytes, 0, cut)).toBe(cut);
    if (sent) sent.written = bytes;
    const before = this.device.inFlight;
    expect(this.device.push(chain, length)).toBe(true);
    this.done++;
    const signal = this.device.shouldSignal();
    if (this.device.inFlight < before) {
      if (this.driverSleeps) expect(signal).toBe(true);
      this.driverSleeps = false;
    } else expect(signal).toBe(false);
  }

  poll(): void {
    const used = this.pair.driver.poll();
    if (used === undefined) {
      this.driverSleeps = this.interruptsOn;
      return;
    }
    const sent = this.sent.get(used.id);
    expect(used.length).toBe(sent?.written?.length);
    const got = new Uint8Array(used.length);
    let done = 0;
    for (const { gpa, length } of sent?.writable ?? []) {
      const { hi, lo } = this.pair.segment(gpa, length);
      const part = Math.min(length, used.length - done);
      this.pair.dma.read(hi, lo, got, done, part);
      done += part;
    }
    expect(got).toEqual(sent?.written);
    this.sent.delete(used.id);
    this.returned.push(used.id);
    if (hasFeature(this.features, VIRTIO_F_IN_ORDER)) {
      expect(used.id).toBe(this.added[this.returned.length - 1]);
    }
  }

  get interruptsOn(): boolean {
    return this.#interruptsOn;
  }
  #interruptsOn = true;
  note(on: boolean): void {
    this.#interruptsOn = on;
  }

  restore(): void {
    const state = structuredClone<QueueState>(this.device.snapshot());
    const order = this.taken.map((chain) => chain.sequence);
    const { layout, dma, errors } = this.pair;
    const fresh = makeDeviceQueue(layout, this.features, dma, (error) => errors.push(error));
    fresh.restore(state);
    expect(fresh.snapshot()).toEqual(state);
    expect(fresh.inFlight).toBe(this.device.inFlight);
    const held = new Map(fresh.taken().map((chain) => [chain.sequence, chain]));
    this.taken = order.map((sequence) => held.get(sequence)).filter((chain) => chain !== undefined);
    expect(this.taken.length).toBe(order.length);
    this.device = fresh;
  }

  finish(): void {
    this.device.suppressKicks(false);
    this.suppressed = false;
    for (let i = 0; i < 1000 && this.returned.length < this.added.length; i++) {
      this.pop();
      this.push(i, 100);
      this.poll();
    }
    expect(this.returned.length).toBe(this.added.length);
    const ascending = (ids: readonly number[]): number[] => ids.toSorted((a, b) => a - b);
    expect(ascending(this.returned)).toEqual(ascending(this.added));
    expect(this.device.inFlight).toBe(0);
    expect(this.pair.driver.free).toBe(this.pair.driver.size);
  }
}

const flag = (bit: number): fc.Arbitrary<bigint> => fc.constantFrom(0n, featureBits(bit));

function check(format: 'split' | 'packed'): void {
  const size =
    format === 'split' ? fc.constantFrom(1, 2, 4, 8, 32) : fc.constantFrom(1, 2, 3, 5, 8, 11, 32);
  const features = fc
    .tuple(
      flag(VIRTIO_F_IN_ORDER),
      flag(VIRTIO_RING_F_EVENT_IDX),
      flag(VIRTIO_RING_F_INDIRECT_DESC),
    )
    .map((bits) => bits.reduce((a, b) => a | b, featureBits(VIRTIO_F_VERSION_1)));
  fc.assert(
    fc.property(
      size,
      features,
      fc.constantFrom(0, 3, 9),
      fc.boolean(),
      fc.nat(0x3f0),
      fc.array(step, { maxLength: 150, size: 'max' }),
      (entries, bits, indirectEntries, translated, at, steps) => {
        const all = format === 'packed' ? bits | featureBits(VIRTIO_F_RING_PACKED) : bits;
        const area = RAM + 0x7c00n + BigInt(at & ~15);
        const options = { size: entries, features: all, indirectEntries, translated, area };
        const play = new Play(queuePair(options), all);
        for (const one of steps) {
          if (one.do === 'interrupts') play.note(one.on);
          play.play(one);
        }
        play.finish();
      },
    ),
    { numRuns: 250 },
  );
}

describe('a driver and a device over one queue', () => {
  it('split: agree on every buffer, whatever its framing and the order of completion', () => {
    check('split');
  });

  it('packed: agree on every buffer, whatever its framing and the order of completion', () => {
    check('packed');
  });
});
