import type { DmaSpace } from '../memory/index.ts';
import { ChainReader, ChainWriter } from './cursor.ts';

/** A chain that a device holds, as plain data. */
export interface ChainState {
  readonly id: number;
  readonly sequence: number;
  readonly slots: number;
  readonly readableCount: number;
  /** Address halves and length of each segment. */
  readonly segments: readonly number[];
  /** Used length, when it was pushed but waits for an older one (VIRTIO_F_IN_ORDER). */
  readonly held?: number;
}

const WORDS = 3;

/**
 * A buffer that the driver made available: device-readable segments, then device-writable ones.
 *
 * From `pop` to `push` it belongs to the device; after `push` the queue uses the object again, so it
 * must not be kept.
 */
export class Chain {
  /** What the used ring will say: index of the head (split) or buffer ID (packed). */
  id = 0;
  /** Counts the chains of a queue, from 0. */
  sequence = 0;
  /** Descriptors taken in the ring or table, indirect ones not counted. */
  slots = 0;
  readableCount = 0;
  writableCount = 0;
  /** Bytes that the device may read, all segments together. */
  readableLength = 0;
  /** Bytes that the device may write. */
  writableLength = 0;
  readonly reader: ChainReader;
  readonly writer: ChainWriter;

  /** Whether the device holds it, or the queue for the sake of order: the queue's business. */
  state: 'free' | 'taken' | 'held' = 'free';
  /** Used length while `held`. */
  usedLength = 0;

  #segments = new Uint32Array(8 * WORDS);

  constructor(space: DmaSpace) {
    this.reader = new ChainReader(space, this);
    this.writer = new ChainWriter(space, this);
  }

  /** Address of a segment; readable ones come first. */
  segmentHi(index: number): number {
    return this.#segments[index * WORDS] as number;
  }

  segmentLo(index: number): number {
    return this.#segments[index * WORDS + 1] as number;
  }

  segmentLength(index: number): number {
    return this.#segments[index * WORDS + 2] as number;
  }

  /** For the queue: forgets all segments. */
  clear(): void {
    this.slots = 0;
    this.readableCount = 0;
    this.writableCount = 0;
    this.readableLength = 0;
    this.writableLength = 0;
    this.usedLength = 0;
  }

  /** For the queue: appends a segment. */
  append(hi: number, lo: number, length: number, writable: boolean): void {
    const at = (this.readableCount + this.writableCount) * WORDS;
    if (at === this.#segments.length) {
      const larger = new Uint32Array(at * 2);
      larger.set(this.#segments);
      this.#segments = larger;
    }
    this.#segments[at] = hi;
    this.#segments[at + 1] = lo;
    this.#segments[at + 2] = length;
    if (writable) {
      this.writableCount++;
      this.writableLength += length;
    } else {
      this.readableCount++;
      this.readableLength += length;
    }
  }

  snapshot(): ChainState {
    const used = (this.readableCount + this.writableCount) * WORDS;
    const { id, sequence, slots, readableCount } = this;
    const segments = [...this.#segments.subarray(0, used)];
    const state = { id, sequence, slots, readableCount, segments };
    return this.state === 'held' ? { ...state, held: this.usedLength } : state;
  }

  restore(state: ChainState): void {
    this.clear();
    this.id = state.id;
    this.sequence = state.sequence;
    this.slots = state.slots;
    for (let i = 0; i < state.segments.length; i += WORDS) {
      const [hi = 0, lo = 0, length = 0] = state.segments.slice(i, i + WORDS);
      this.append(hi, lo, length, i >= state.readableCount * WORDS);
    }
    this.state = state.held === undefined ? 'taken' : 'held';
    this.usedLength = state.held ?? 0;
    this.reader.rewind();
    this.writer.rewind();
  }
}
