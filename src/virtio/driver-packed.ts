import {
  PVIRTQ_DESC,
  PVIRTQ_EVENT_SUPPRESS,
  RING_EVENT_F_WRAP,
  RING_EVENT_FLAGS_DESC,
  RING_EVENT_FLAGS_DISABLE,
  RING_EVENT_FLAGS_ENABLE,
  VIRTIO_F_RING_PACKED,
  VIRTQ_DESC_F_AVAIL,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_USED,
  VIRTQ_DESC_F_WRITE,
} from '../spec/virtio.ts';
import { DESC_SIZE } from './descriptors.ts';
import {
  DriverQueue,
  type BufferSegment,
  type DriverQueueOptions,
  type UsedBuffer,
} from './driver-queue.ts';
import { DriverSplitQueue } from './driver-split.ts';
import { hasFeature } from './features.ts';
import { packedPassed } from './packed-queue.ts';

const { len: LEN, id: ID, flags: FLAGS } = PVIRTQ_DESC.offsets;
const EVENT_FLAGS = PVIRTQ_EVENT_SUPPRESS.offsets.flags;

/** VIRTIO 1.3, "Packed Virtqueues", the driver's side. An ID is a buffer ID. */
export class DriverPackedQueue extends DriverQueue {
  #avail = 0;
  #availWrap = true;
  #used = 0;
  #usedWrap = true;
  readonly #freeIds: number[];
  /** Ring descriptors of each buffer. */
  readonly #slots: number[];

  constructor(options: DriverQueueOptions) {
    super(options);
    this.#freeIds = Array.from({ length: this.size }, (_, index) => this.size - 1 - index);
    this.#slots = Array.from({ length: this.size }, () => 0);
  }

  get notificationData(): number {
    return this.#avail | (this.#availWrap ? 1 << RING_EVENT_F_WRAP : 0);
  }

  enableInterrupts(on: boolean): boolean {
    this.interrupts = on;
    if (!on) this.write16(this.parts.driver + EVENT_FLAGS, RING_EVENT_FLAGS_DISABLE);
    else if (this.eventIdx) this.#writeEvent();
    else this.write16(this.parts.driver + EVENT_FLAGS, RING_EVENT_FLAGS_ENABLE);
    return this.#isUsed();
  }

  protected takeId(): number {
    // There is an ID for every free descriptor, and `add` has looked.
    return this.#freeIds.pop() as number;
  }

  protected publish(
    id: number,
    readable: readonly BufferSegment[],
    writable: readonly BufferSegment[],
    isTable: boolean,
  ): void {
    const segments = [...readable, ...writable];
    const head = this.#avail;
    let headFlags = 0;
    for (const [index, segment] of segments.entries()) {
      const flags =
        (index === segments.length - 1 ? 0 : VIRTQ_DESC_F_NEXT) |
        (index < readable.length ? 0 : VIRTQ_DESC_F_WRITE) |
        (isTable ? VIRTQ_DESC_F_INDIRECT : 0) |
        (1 << (this.#availWrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED));
      const at = this.#avail * DESC_SIZE;
      if (index === 0) {
        // The head stays as it was until everything else stands: it hands the list over.
        headFlags = flags;
        this.writeDescriptor(at, segment, id, this.read16(at + FLAGS));
      } else this.writeDescriptor(at, segment, id, flags);
      if (++this.#avail === this.size) {
        this.#avail = 0;
        this.#availWrap = !this.#availWrap;
      }
    }
    this.#slots[id] = segments.length;
    this.unkicked += segments.length;
    this.write16(head * DESC_SIZE + FLAGS, headFlags);
  }

  protected writeTable(
    offset: number,
    readable: readonly BufferSegment[],
    writable: readonly BufferSegment[],
  ): void {
    for (const [index, segment] of [...readable, ...writable].entries()) {
      const flags = index < readable.length ? 0 : VIRTQ_DESC_F_WRITE;
      this.writeDescriptor(offset + index * DESC_SIZE, segment, 0, flags);
    }
  }

  protected readUsed(): UsedBuffer | undefined {
    if (!this.#isUsed()) return undefined;
    const at = this.#used * DESC_SIZE;
    const written = (this.read16(at + FLAGS) & VIRTQ_DESC_F_WRITE) !== 0;
    return { id: this.read16(at + ID), length: written ? this.read32(at + LEN) : 0 };
  }

  protected release(id: number): number {
    const slots = this.#slots[id] as number;
    this.#freeIds.push(id);
    this.#used += slots;
    if (this.#used >= this.size) {
      this.#used -= this.size;
      this.#usedWrap = !this.#usedWrap;
    }
    if (this.eventIdx && this.interrupts) this.#writeEvent();
    return slots;
  }

  protected deviceWantsKick(): boolean {
    const { device } = this.parts;
    const flags = this.read16(device + EVENT_FLAGS) & 3;
    if (flags === RING_EVENT_FLAGS_DISABLE) return false;
    if (flags !== RING_EVENT_FLAGS_DESC || !this.eventIdx) return true;
    const event = this.read16(device);
    return packedPassed(event, this.#avail, this.#availWrap, this.unkicked, this.size);
  }

  #isUsed(): boolean {
    const flags = this.read16(this.#used * DESC_SIZE + FLAGS);
    const avail = ((flags >> VIRTQ_DESC_F_AVAIL) & 1) === 1;
    const used = ((flags >> VIRTQ_DESC_F_USED) & 1) === 1;
    return avail === used && used === this.#usedWrap;
  }

  #writeEvent(): void {
    const event = this.#used | (this.#usedWrap ? 1 << RING_EVENT_F_WRAP : 0);
    this.write16(this.parts.driver, event);
    this.write16(this.parts.driver + EVENT_FLAGS, RING_EVENT_FLAGS_DESC);
  }
}

/** A driver's queue of the format that the features say. */
export function makeDriverQueue(options: DriverQueueOptions): DriverQueue {
  const packed = hasFeature(options.features, VIRTIO_F_RING_PACKED);
  return packed ? new DriverPackedQueue(options) : new DriverSplitQueue(options);
}
