import {
  VIRTQ_AVAIL,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_USED,
  VIRTQ_USED_ELEM,
  VIRTQ_USED_F_NO_NOTIFY,
} from '../spec/virtio.ts';
import type { Chain } from './chain.ts';
import { DESC_SIZE } from './descriptors.ts';
import { DeviceQueue, isQueueSize, type QueueState } from './device-queue.ts';

const IDX = VIRTQ_AVAIL.offsets.idx;
const AVAIL_RING = VIRTQ_AVAIL.size;
const USED_RING = VIRTQ_USED.size;
const USED_ELEM = VIRTQ_USED_ELEM.size;

/** VIRTIO 1.3, "Split Virtqueues", the device's side. */
export class SplitQueue extends DeviceQueue {
  /** Free-running 16-bit indexes. */
  #avail = 0;
  #used = 0;

  protected sizeIsLegal(size: number): boolean {
    return isQueueSize(size) && (size & (size - 1)) === 0;
  }

  protected sees(): boolean {
    const { driverHi, driverLo } = this.layout;
    const published = this.dma.loadU16(driverHi, driverLo + IDX);
    return published >= 0 && published !== this.#avail;
  }

  protected take(chain: Chain): boolean {
    const { driverHi, driverLo } = this.layout;
    let published = this.dma.loadU16(driverHi, driverLo + IDX);
    if (published === this.#avail && this.eventIdx && !this.suppressed) {
      // Ask to be told of the next buffer, then look again: it may have come in between.
      if (!this.#writeAvailEvent(this.#avail)) return false;
      published = this.dma.loadU16(driverHi, driverLo + IDX);
    }
    if (published < 0) return this.unreachable('available ring');
    if (published === this.#avail) return false;
    const pending = (published - this.#avail) & 0xffff;
    if (pending > this.size) {
      return this.fail('avail-index', `avail.idx went from ${this.#avail} to ${published}`);
    }
    if (this.slotsInFlight >= this.size) {
      return this.fail('in-flight', `more than ${this.size} buffers available and not used`);
    }
    const slot = this.#avail & (this.size - 1);
    const head = this.dma.readU16(driverHi, driverLo + AVAIL_RING + 2 * slot);
    if (head < 0) return this.unreachable('available ring');
    this.#avail = (this.#avail + 1) & 0xffff;
    chain.id = head;
    return this.#walk(chain, head);
  }

  #walk(chain: Chain, head: number): boolean {
    const { descHi, descLo } = this.layout;
    let index = head;
    for (let count = 1; ; count++) {
      if (index >= this.size) {
        return this.fail('descriptor-index', `chain ${head}: descriptor ${index} of ${this.size}`);
      }
      if (count > this.size) return this.fail('chain-length', `chain ${head}: no end`);
      if (!this.readDescriptor(descHi, descLo + index * DESC_SIZE)) {
        return this.unreachable('descriptor table');
      }
      const flags = this.descAt12;
      const next = this.descAt14;
      // Every chain occupies at least one descriptor of the table, which bounds those in flight.
      chain.slots = 1;
      if ((flags & VIRTQ_DESC_F_INDIRECT) !== 0) return this.#walkTable(chain, flags);
      if (!this.addSegment(chain, flags)) return false;
      if ((flags & VIRTQ_DESC_F_NEXT) === 0) return true;
      index = next;
    }
  }

  /** An indirect table ends the chain, whether it stands alone or after other descriptors. */
  #walkTable(chain: Chain, tableFlags: number): boolean {
    const entries = this.indirectEntries(chain, tableFlags);
    if (entries === 0) return false;
    const lo = this.descLo;
    const hi = this.descHi;
    let index = 0;
    for (let count = 1; ; count++) {
      if (index >= entries) {
        return this.fail('descriptor-index', `chain ${chain.id}: entry ${index} of ${entries}`);
      }
      if (count > entries) return this.fail('chain-length', `chain ${chain.id}: no end`);
      if (!this.readIndirect(chain, hi, lo, index)) return false;
      const flags = this.descAt12;
      const next = this.descAt14;
      if (this.nested(chain, flags) || !this.addSegment(chain, flags)) return false;
      if ((flags & VIRTQ_DESC_F_NEXT) === 0) return true;
      index = next;
    }
  }

  protected writeUsed(chain: Chain, usedLength: number): boolean {
    const { deviceHi, deviceLo } = this.layout;
    const element = deviceLo + USED_RING + USED_ELEM * (this.#used & (this.size - 1));
    this.#used = (this.#used + 1) & 0xffff;
    this.unsignalled++;
    // The element (id, then len) before the index that publishes it ("The Virtqueue Used Ring").
    return (
      (this.dma.writeU64(deviceHi, element, usedLength, chain.id) &&
        this.dma.storeU16(deviceHi, deviceLo + IDX, this.#used)) ||
      this.unreachable('used ring')
    );
  }

  protected driverWantsSignal(): boolean {
    const { driverHi, driverLo } = this.layout;
    if (!this.eventIdx) {
      const flags = this.dma.loadU16(driverHi, driverLo);
      if (flags < 0) return this.unreachable('available ring');
      return (flags & VIRTQ_AVAIL_F_NO_INTERRUPT) === 0;
    }
    const event = this.dma.loadU16(driverHi, driverLo + AVAIL_RING + 2 * this.size);
    if (event < 0) return this.unreachable('used_event');
    return passed(event, this.#used, this.unsignalled);
  }

  protected writeSuppression(): void {
    if (this.eventIdx) {
      // While suppressed the old event stays, which is the strongest hint this format has.
      if (!this.suppressed) this.#writeAvailEvent(this.#avail);
      return;
    }
    const { deviceHi, deviceLo } = this.layout;
    const flags = this.suppressed ? VIRTQ_USED_F_NO_NOTIFY : 0;
    if (!this.dma.storeU16(deviceHi, deviceLo, flags)) this.unreachable('used ring');
  }

  #writeAvailEvent(value: number): boolean {
    const { deviceHi, deviceLo } = this.layout;
    const at = deviceLo + USED_RING + USED_ELEM * this.size;
    return this.dma.storeU16(deviceHi, at, value) || this.unreachable('avail_event');
  }

  protected place(): Pick<QueueState, 'format' | 'avail' | 'used' | 'availWrap' | 'usedWrap'> {
    return {
      format: 'split',
      avail: this.#avail,
      used: this.#used,
      availWrap: false,
      usedWrap: false,
    };
  }

  protected setPlace(state: QueueState): void {
    this.#avail = state.avail;
    this.#used = state.used;
  }
}

/**
 * Whether a free-running index that came to `now` by `steps` steps went past `event`, that is from
 * at or before it to after it.
 */
export function passed(event: number, now: number, steps: number): boolean {
  return steps > 0xffff || ((now - event - 1) & 0xffff) < steps;
}
