import {
  PVIRTQ_DESC,
  PVIRTQ_EVENT_SUPPRESS,
  RING_EVENT_F_WRAP,
  RING_EVENT_FLAGS_DESC,
  RING_EVENT_FLAGS_DISABLE,
  RING_EVENT_FLAGS_ENABLE,
  VIRTQ_DESC_F_AVAIL,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_USED,
  VIRTQ_DESC_F_WRITE,
} from '../spec/virtio.ts';
import type { Chain } from './chain.ts';
import { DESC_SIZE } from './descriptors.ts';
import { DeviceQueue, isQueueSize, type QueueState } from './device-queue.ts';
import { passed } from './split-queue.ts';

const { len: LEN, id: ID, flags: FLAGS } = PVIRTQ_DESC.offsets;
const EVENT_FLAGS = PVIRTQ_EVENT_SUPPRESS.offsets.flags;

/** VIRTIO 1.3, "Packed Virtqueues", the device's side. */
export class PackedQueue extends DeviceQueue {
  /** Indexes into the ring, each with its wrap counter ("Driver and Device Ring Wrap Counters"). */
  #avail = 0;
  #availWrap = true;
  #used = 0;
  #usedWrap = true;

  protected sizeIsLegal(size: number): boolean {
    return isQueueSize(size);
  }

  protected sees(): boolean {
    return this.#isAvailable() === true;
  }

  protected take(chain: Chain): boolean {
    let available = this.#isAvailable();
    if (available === false && this.eventIdx && !this.suppressed) {
      // Ask to be told of the next buffer, then look again: it may have come in between.
      if (!this.#writeEvent(RING_EVENT_FLAGS_DESC)) return false;
      available = this.#isAvailable();
    }
    if (available === undefined) return this.unreachable('descriptor ring');
    return available && this.#walk(chain);
  }

  /** Whether the next descriptor is available; undefined when the ring cannot be read. */
  #isAvailable(): boolean | undefined {
    const { descHi, descLo } = this.layout;
    const flags = this.dma.loadU16(descHi, descLo + this.#avail * DESC_SIZE + FLAGS);
    if (flags < 0) return undefined;
    const avail = ((flags >> VIRTQ_DESC_F_AVAIL) & 1) === 1;
    const used = ((flags >> VIRTQ_DESC_F_USED) & 1) === 1;
    return avail === this.#availWrap && used !== this.#availWrap;
  }

  #walk(chain: Chain): boolean {
    const { descHi, descLo } = this.layout;
    let index = this.#avail;
    // A list that does not end within the free part of the ring runs into buffers in flight.
    const room = this.size - this.slotsInFlight;
    for (let count = 1; ; count++) {
      if (count > this.size) return this.fail('chain-length', `list at ${this.#avail}: no end`);
      if (count > room) {
        return this.fail('in-flight', `list at ${this.#avail}: ${room} of ${this.size} are free`);
      }
      if (!this.readDescriptor(descHi, descLo + index * DESC_SIZE)) {
        return this.unreachable('descriptor ring');
      }
      const flags = this.descAt14;
      // The ID stands in the last descriptor of a list ("Multi-buffer Requests").
      chain.id = this.descAt12;
      chain.slots = count;
      index = index + 1 === this.size ? 0 : index + 1;
      const isTable = (flags & VIRTQ_DESC_F_INDIRECT) !== 0;
      if (isTable ? !this.#readTable(chain, flags) : !this.addSegment(chain, flags)) return false;
      if ((flags & VIRTQ_DESC_F_NEXT) === 0) break;
    }
    if (index <= this.#avail) this.#availWrap = !this.#availWrap;
    this.#avail = index;
    return true;
  }

  /**
   * A table is read front to back. Of its entries' flags only WRITE is valid, "others are reserved and
   * are ignored by the device": INDIRECT too, unlike in a split queue's table.
   */
  #readTable(chain: Chain, tableFlags: number): boolean {
    const entries = this.indirectEntries(chain, tableFlags);
    const lo = this.descLo;
    const hi = this.descHi;
    for (let index = 0; index < entries; index++) {
      if (!this.readIndirect(chain, hi, lo, index)) return false;
      const flags = this.descAt14;
      if (!this.addSegment(chain, flags)) return false;
    }
    return entries > 0;
  }

  protected writeUsed(chain: Chain, usedLength: number): boolean {
    const { descHi, descLo } = this.layout;
    const at = descLo + this.#used * DESC_SIZE;
    const wrap = this.#usedWrap;
    const marks = wrap ? (1 << VIRTQ_DESC_F_AVAIL) | (1 << VIRTQ_DESC_F_USED) : 0;
    this.#used += chain.slots;
    if (this.#used >= this.size) {
      this.#used -= this.size;
      this.#usedWrap = !wrap;
    }
    this.unsignalled += chain.slots;
    // The flags last: they hand the descriptor over.
    return (
      (this.dma.writeU32(descHi, at + LEN, usedLength) &&
        this.dma.writeU16(descHi, at + ID, chain.id) &&
        this.dma.storeU16(
          descHi,
          at + FLAGS,
          usedLength > 0 ? marks | VIRTQ_DESC_F_WRITE : marks,
        )) ||
      this.unreachable('descriptor ring')
    );
  }

  protected driverWantsSignal(): boolean {
    const { driverHi, driverLo } = this.layout;
    const flags = this.dma.loadU16(driverHi, driverLo + EVENT_FLAGS);
    const event = this.dma.loadU16(driverHi, driverLo);
    if (flags < 0 || event < 0) return this.unreachable('driver event suppression');
    if ((flags & 3) === RING_EVENT_FLAGS_DISABLE) return false;
    if ((flags & 3) !== RING_EVENT_FLAGS_DESC || !this.eventIdx) return true;
    return packedPassed(event, this.#used, this.#usedWrap, this.unsignalled, this.size);
  }

  protected writeSuppression(): void {
    if (this.suppressed) this.#writeEvent(RING_EVENT_FLAGS_DISABLE);
    else this.#writeEvent(this.eventIdx ? RING_EVENT_FLAGS_DESC : RING_EVENT_FLAGS_ENABLE);
  }

  #writeEvent(flags: number): boolean {
    const { deviceHi, deviceLo } = this.layout;
    const event = this.#avail | (this.#availWrap ? 1 << RING_EVENT_F_WRAP : 0);
    return (
      (this.dma.storeU16(deviceHi, deviceLo, event) &&
        this.dma.storeU16(deviceHi, deviceLo + EVENT_FLAGS, flags)) ||
      this.unreachable('device event suppression')
    );
  }

  protected place(): Pick<QueueState, 'format' | 'avail' | 'used' | 'availWrap' | 'usedWrap'> {
    return {
      format: 'packed',
      avail: this.#avail,
      used: this.#used,
      availWrap: this.#availWrap,
      usedWrap: this.#usedWrap,
    };
  }

  protected setPlace(state: QueueState): void {
    this.#avail = state.avail;
    this.#used = state.used;
    this.#availWrap = state.availWrap;
    this.#usedWrap = state.usedWrap;
  }
}

/**
 * Whether a ring position that came to `now` by `steps` steps went past the one of an event
 * suppression structure ("Event Suppression Structure Format").
 *
 * @param offWrap offset in bits 0 to 14, wrap counter in bit 15
 */
export function packedPassed(
  offWrap: number,
  now: number,
  wrap: boolean,
  steps: number,
  size: number,
): boolean {
  if (steps >= size) return true;
  const sameLap = offWrap >> RING_EVENT_F_WRAP === (wrap ? 1 : 0);
  const event = (offWrap & 0x7fff) - (sameLap ? 0 : size);
  return passed(event, now, steps);
}
