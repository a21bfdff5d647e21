import {
  GuestMemory,
  DirectDma,
  hiOf,
  loOf,
  TranslatedDma,
  type DmaSpace,
} from '../../src/memory/index.ts';
import {
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../../src/spec/virtio.ts';
import {
  featureBits,
  hasFeature,
  INDIRECT_MAX,
  makeDeviceQueue,
  type Chain,
  type QueueError,
} from '../../src/virtio/index.ts';
import { PageTranslator } from '../support/virtio.ts';

/** What a run saw; a run that never broke a queue, or always did, tests nothing. */
export interface QueueFuzzCount {
  readonly chains: number;
  readonly codes: ReadonlyMap<string, number>;
}

/** A small generator with 32 bits of state (a Weyl sequence, mixed): the same from a seed. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  u32(): number {
    this.#state = (this.#state + 0x9e37_79b9) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0_aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }

  below(limit: number): number {
    return this.u32() % limit;
  }

  pick<T>(from: readonly [T, ...T[]]): T {
    return from[this.below(from.length)] ?? from[0];
  }
}

const BASE = 0x4000_0000n;
const BYTES = 0x8000;
const SIZES: readonly [number, ...number[]] = [1, 2, 4, 8, 16, 256];
const ODD: readonly [number, ...number[]] = [0, 3, 7, 12, 1000, 40_000, 65_536, 2 ** 31];

interface Area {
  readonly dma: DmaSpace;
  readonly memory: Uint8Array;
  readonly data: DataView;
  /** Device address of the first byte. */
  readonly base: bigint;
  /** Format of the descriptors. */
  split: boolean;
}

function area(dice: Dice): Area {
  const bytes = new Uint8Array(BYTES);
  const memory = new GuestMemory([
    { gpa: BASE, bytes: bytes.subarray(0, 0x4000) },
    // What lies behind may be read only, or away.
    { gpa: BASE + 0x4000n, bytes: bytes.subarray(0x4000), writable: dice.below(8) !== 0 },
  ]);
  const data = new DataView(bytes.buffer);
  if (dice.below(2) === 0)
    return { dma: new DirectDma(memory), memory: bytes, data, base: BASE, split: true };
  const translator = new PageTranslator();
  const iova = dice.pick([0n, 0xffff_e000n, 0xffff_ffff_ffff_8000n]);
  for (let page = 0n; page < 8n; page++) {
    const flags = dice.pick([3, 3, 3, 3, 3, 3, 1, 2]);
    if (dice.below(16) > 0) {
      translator.map(iova + page * 0x1000n, BASE + page * 0x1000n, 1n, flags);
    }
  }
  return {
    dma: new TranslatedDma(memory, translator, 1),
    memory: bytes,
    data,
    base: iova,
    split: true,
  };
}

/** An address that is mostly a good one. */
function address(dice: Dice, base: bigint): bigint {
  const kind = dice.below(32);
  if (kind === 0) return (BigInt(dice.u32()) << 32n) | BigInt(dice.u32());
  if (kind === 1) return BigInt.asUintN(64, -BigInt(dice.below(64)));
  return BigInt.asUintN(64, base + BigInt(dice.below(BYTES)));
}

/**
 * Writes a descriptor of either format at an offset of the area. One field in `malice` is hostile.
 */
function descriptor(dice: Dice, place: Area, at: number, size: number, malice: number): void {
  if (at + 16 > BYTES) return;
  const { data, base } = place;
  const evil = (): boolean => dice.below(malice) === 0;
  const table = dice.below(6) === 0;
  const where = table ? BigInt.asUintN(64, base + 0x2000n) : address(dice, base);
  const lengths: readonly [number, ...number[]] = table
    ? [16, 32, 48, 160]
    : [0, 1, 16, 100, 0x2000, 0x1_0000];
  const wrong: readonly [number, ...number[]] = table
    ? [0, 8, 16 * INDIRECT_MAX, 16 * INDIRECT_MAX + 16]
    : [0x7fff_ffff, 0xffff_ffff];
  data.setBigUint64(at, where, true);
  data.setUint32(at + 8, dice.pick(evil() ? wrong : lengths), true);
  const next = evil() ? dice.below(0x1_0000) : dice.below(size);
  const more = !table && dice.below(4) === 0;
  const write = dice.below(3) === 0 && !more;
  const marks = dice.pick([0, 1 << 7, 1 << 7, 1 << 15]);
  const good = Number(more) | (write ? 2 : 0) | (table && at < 0x2000 ? 4 : 0) | marks;
  const flags = evil() ? dice.below(0x1_0000) : good;
  // Split descriptors have the two the other way round.
  const split = place.split ? 12 : 14;
  data.setUint16(at + split, flags, true);
  data.setUint16(at + 26 - split, next, true);
}

/** A single run: a queue over garbage that is mostly well-formed, under a device that works on it. */
function run(dice: Dice, codes: Map<string, number>): number {
  const place = area(dice);
  const features = [
    VIRTIO_F_RING_PACKED,
    VIRTIO_F_IN_ORDER,
    VIRTIO_RING_F_EVENT_IDX,
    VIRTIO_RING_F_INDIRECT_DESC,
  ].reduce((bits, bit) => (dice.below(2) === 0 ? bits : bits | featureBits(bit)), 0n);
  const size = dice.below(16) === 0 ? dice.pick(ODD) : dice.pick(SIZES);
  const spots = [0n, 0x1000n, 0x1800n].map((offset) =>
    dice.below(32) === 0 ? address(dice, place.base) : BigInt.asUintN(64, place.base + offset),
  );
  const [desc = 0n, driver = 0n, device = 0n] = spots;
  place.split = !hasFeature(features, VIRTIO_F_RING_PACKED);
  const malice = dice.pick([3, 20, 200, 2000]);
  const errors: QueueError[] = [];
  const layout = {
    index: 0,
    size,
    descHi: hiOf(desc),
    descLo: loOf(desc),
    driverHi: hiOf(driver),
    driverLo: loOf(driver),
    deviceHi: hiOf(device),
    deviceLo: loOf(device),
  };
  const queue = makeDeviceQueue(layout, features, place.dma, (error) => errors.push(error));

  const scribble = (): void => {
    for (let i = 0; i < Math.min(size, 16); i++)
      descriptor(dice, place, 16 * i, Math.min(size, 16), malice);
    for (let i = 0; i < 16; i++) descriptor(dice, place, 0x2000 + 16 * i, 10, malice);
    const idx = place.data.getUint16(0x1002, true);
    const step = dice.below(malice) === 0 ? dice.below(0x1_0000) : dice.below(3);
    place.data.setUint16(0x1002, idx + step, true);
    for (let i = 0; i < 64; i++) {
      place.data.setUint16(
        0x1004 + 2 * i,
        dice.below(dice.below(16 * malice) === 0 ? 65536 : Math.min(size, 16)),
        true,
      );
    }
    if (dice.below(4) === 0) place.data.setUint32(0x1000, dice.u32(), true);
  };

  let chains = 0;
  const held: Chain[] = [];
  const buffer = new Uint8Array(64);
  for (let round = 0; round < 12 && queue.error === undefined; round++) {
    scribble();
    for (let count = 0; ; count++) {
      if (count > size) throw new Error(`${count} chains from a queue of ${size}`);
      const chain = queue.pop();
      if (chain === undefined) break;
      chains++;
      const segments = chain.readableCount + chain.writableCount;
      if (segments > size + INDIRECT_MAX) throw new Error(`a chain of ${segments} segments`);
      chain.reader.read(buffer);
      chain.reader.skip(0xffff_ffff);
      chain.reader.pieces(1);
      chain.writer.seek(dice.u32());
      chain.writer.writeU32(dice.u32());
      held.push(chain);
    }
    if (queue.inFlight > size) throw new Error(`${queue.inFlight} chains of ${size} in flight`);
    while (held.length > 0 && dice.below(4) > 0) {
      const [chain] = held.splice(dice.below(held.length), 1);
      if (chain) queue.push(chain, dice.below(Math.min(chain.writableLength, 64) + 1));
    }
    queue.shouldSignal();
    queue.suppressKicks(dice.below(2) === 0);
  }
  if (errors.length > 1 || (errors.length === 1) !== (queue.error !== undefined)) {
    throw new Error(`${errors.length} reports of a broken queue`);
  }
  for (const { code } of errors) codes.set(code, (codes.get(code) ?? 0) + 1);
  if (queue.error && (queue.pop() ?? queue.shouldSignal())) throw new Error('broken, but works');
  return chains;
}

/**
 * Runs `count` queues over hostile rings that follow from `seed`. Throws, with the seed and number
 * that repeat it, when anything is thrown, a bound is passed or a mistake is not told exactly once.
 */
export function fuzzQueues(seed: number, count: number, first = 0): QueueFuzzCount {
  const codes = new Map<string, number>();
  let chains = 0;
  for (let index = first; index < first + count; index++) {
    try {
      // Each run follows from its own number, so that one can be repeated alone.
      chains += run(new Dice(Math.imul(seed, 0x0100_0193) ^ index), codes);
    } catch (error) {
      throw new Error(`fuzzQueues(${seed}, 1, ${index})`, { cause: error });
    }
  }
  return { chains, codes };
}
