import { HALF } from './address.ts';
import type { DoorbellSink } from './direct.ts';
import type { GuestMemory } from './guest-memory.ts';
import { ACCESS_READ, ACCESS_WRITE, carryOf, ResolvedSpace, type HostWindow } from './space.ts';

/** Outcomes of {@link Translator.translate}. */
export const TRANSLATED = 0;
/** Refused; the translator has reported the fault already. */
export const TRANSLATION_FAULT = 1;
/** The address lies in an MSI window: a 32-bit write goes to the doorbell as it is. */
export const TRANSLATION_MSI = 2;

/**
 * An IOMMU as a device's accesses meet it. The outcome of a translation is left in fields, so that
 * an access allocates nothing; they hold until the next call. Addresses include their end.
 */
export interface Translator {
  /** Grows whenever a translation given before may no longer hold: UNMAP, DETACH, ATTACH, reset, bypass. */
  readonly epoch: number;

  /** The piece around the address that translates evenly: first and last IOVA. */
  readonly startHi: number;
  readonly startLo: number;
  readonly endHi: number;
  readonly endLo: number;
  /** What `start` translates to. */
  readonly physHi: number;
  readonly physLo: number;
  /** Accesses that the piece allows: ACCESS_READ | ACCESS_WRITE. Other bits are ignored. */
  readonly flags: number;

  /**
   * Translates the address of an access of `length` bytes. Only the address must lie in the piece:
   * the caller comes again for the rest. On TRANSLATION_FAULT the fault has been reported.
   */
  translate(endpoint: number, hi: number, lo: number, length: number, access: number): number;

  /** Told when an address was translated but nothing answers there. */
  refused(endpoint: number, hi: number, lo: number, access: number): void;
}

class Entry {
  hi = 0;
  lo = 0;
  /** 0 when the entry is empty. */
  size = 0;
  flags = 0;
  at = 0;
  window: HostWindow | undefined;
}

/** Descriptor table, two rings, a table of indirect descriptors and two buffers. */
const ENTRIES = 6;

const FOUND = 0;
const FAULTED = 1;
const NOT_MEMORY = 2;

/**
 * What a device behind an IOMMU sees: every access is translated, mapping by mapping.
 *
 * The last translations are kept, and dropped the moment the translator's or the memory's epoch
 * moves: after an UNMAP has returned nothing gets through (VIRTIO 1.3, DETACH and UNMAP request).
 */
export class TranslatedDma extends ResolvedSpace {
  readonly endpoint: number;
  readonly #memory: GuestMemory;
  readonly #translator: Translator;
  readonly #doorbell: DoorbellSink | undefined;
  readonly #entries: Entry[] = Array.from({ length: ENTRIES }, () => new Entry());
  #next = 0;
  #seen = -1;
  #physHi = 0;
  #physLo = 0;

  constructor(
    memory: GuestMemory,
    translator: Translator,
    endpoint: number,
    doorbell?: DoorbellSink,
  ) {
    super();
    this.#memory = memory;
    this.#translator = translator;
    this.endpoint = endpoint;
    this.#doorbell = doorbell;
  }

  /** Both counters only grow, so their sum changes when either does. */
  get epoch(): number {
    return this.#memory.epoch + this.#translator.epoch;
  }

  /** Whether an access there would be answered by a translation from before; nothing is asked. */
  keeps(hi: number, lo: number): boolean {
    if (this.epoch !== this.#seen) return false;
    return this.#entries.some((entry) => {
      const offset = (hi - entry.hi) * HALF + (lo - entry.lo);
      return offset >= 0 && offset < entry.size;
    });
  }

  resolve(hi: number, lo: number, length: number, access: number): boolean {
    const carry = carryOf(lo);
    const outcome = this.#lookUp(hi + carry, lo - carry * HALF, length, access);
    if (outcome === FOUND) return true;
    if (outcome === NOT_MEMORY) this.#refuse(hi + carry, lo - carry * HALF, access);
    return false;
  }

  override writeU32(hi: number, lo: number, value: number): boolean {
    const carry = carryOf(lo);
    const upper = hi + carry;
    const lower = lo - carry * HALF;
    const outcome = this.#lookUp(upper, lower, 4, ACCESS_WRITE);
    if (outcome === FOUND) return this.writeResolvedU32(upper, lower, value);
    if (outcome === FAULTED) return false;
    if (this.#doorbell?.(this.#physHi, this.#physLo, value >>> 0) ?? false) return true;
    this.#refuse(upper, lower, ACCESS_WRITE);
    return false;
  }

  #lookUp(hi: number, lo: number, length: number, access: number): number {
    if (hi >= HALF) {
      // Past the end of the 64-bit space: no IOMMU has a word for that address.
      this.failAt(hi, lo, access);
      return FAULTED;
    }
    const epoch = this.epoch;
    if (epoch !== this.#seen) {
      for (const entry of this.#entries) entry.size = 0;
      this.#seen = epoch;
    }
    for (const entry of this.#entries) {
      const offset = (hi - entry.hi) * HALF + (lo - entry.lo);
      if (offset >= 0 && offset < entry.size && (entry.flags & access) === access) {
        this.#give(entry, offset, length);
        return FOUND;
      }
    }
    return this.#translate(hi, lo, length, access);
  }

  #give(entry: Entry, offset: number, length: number): void {
    const room = entry.size - offset;
    this.piece = entry.window as HostWindow;
    this.pieceAt = entry.at + offset;
    this.pieceLength = length < room ? length : room;
  }

  #translate(hi: number, lo: number, length: number, access: number): number {
    const to = this.#translator;
    const outcome = to.translate(this.endpoint, hi, lo, length, access);
    if (outcome === TRANSLATION_MSI) {
      this.#physHi = hi;
      this.#physLo = lo;
      return NOT_MEMORY;
    }
    if (outcome !== TRANSLATED) {
      this.failAt(hi, lo, access);
      return FAULTED;
    }
    // In halves, since a piece may be the whole 64-bit space.
    const low = to.physLo + (lo - to.startLo);
    const carry = Math.floor(low / HALF);
    this.#physLo = low - carry * HALF;
    this.#physHi = to.physHi + (hi - to.startHi) + carry;
    const memory = this.#memory;
    if (!memory.resolve(this.#physHi, this.#physLo, length, access)) return NOT_MEMORY;

    // As much around the address as mapping and window share.
    const before = Math.min((hi - to.startHi) * HALF + (lo - to.startLo), memory.pieceAt);
    const after = Math.min((to.endHi - hi) * HALF + (to.endLo - lo) + 1, memory.roomAfter);
    const entry = this.#entries[this.#next] as Entry;
    this.#next = (this.#next + 1) % ENTRIES;
    const start = lo - before;
    const borrow = start < 0 ? Math.ceil(-start / HALF) : 0;
    entry.hi = hi - borrow;
    entry.lo = start + borrow * HALF;
    entry.size = before + after;
    entry.at = memory.pieceAt - before;
    entry.flags = memory.isWritable ? to.flags : to.flags & ACCESS_READ;
    entry.window = memory.piece;
    this.#give(entry, before, length);
    return FOUND;
  }

  #refuse(hi: number, lo: number, access: number): void {
    this.#translator.refused(this.endpoint, hi, lo, access);
    this.failAt(hi, lo, access);
  }
}
