import type { GuestMemory } from './guest-memory.ts';
import { ACCESS_WRITE, ResolvedSpace } from './space.ts';
import { HALF } from './address.ts';
import { carryOf } from './space.ts';

/**
 * Takes a 32-bit write that is no memory access: a message-signalled interrupt. The address is what
 * the bus sees, after translation where there is one. True when a doorbell is there.
 */
export type DoorbellSink = (hi: number, lo: number, value: number) => boolean;

/** What a device sees that no IOMMU stands before: guest-physical addresses, and doorbells. */
export class DirectDma extends ResolvedSpace {
  readonly #memory: GuestMemory;
  readonly #doorbell: DoorbellSink | undefined;

  constructor(memory: GuestMemory, doorbell?: DoorbellSink) {
    super();
    this.#memory = memory;
    this.#doorbell = doorbell;
  }

  get epoch(): number {
    return this.#memory.epoch;
  }

  resolve(hi: number, lo: number, length: number, access: number): boolean {
    if (!this.#memory.resolve(hi, lo, length, access)) {
      const carry = carryOf(lo);
      return this.failAt(hi + carry, lo - carry * HALF, access);
    }
    this.piece = this.#memory.piece;
    this.pieceAt = this.#memory.pieceAt;
    this.pieceLength = this.#memory.pieceLength;
    return true;
  }

  override writeU32(hi: number, lo: number, value: number): boolean {
    if (this.resolve(hi, lo, 4, ACCESS_WRITE)) return this.writeResolvedU32(hi, lo, value);
    const carry = carryOf(lo);
    return this.#doorbell?.(hi + carry, lo - carry * HALF, value >>> 0) ?? false;
  }
}
