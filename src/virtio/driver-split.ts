import {
  VIRTQ_AVAIL,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_USED,
  VIRTQ_USED_ELEM,
  VIRTQ_USED_F_NO_NOTIFY,
} from '../spec/virtio.ts';
import { DESC_SIZE } from './descriptors.ts';
import {
  DriverQueue,
  type BufferSegment,
  type DriverQueueOptions,
  type UsedBuffer,
} from './driver-queue.ts';
import { passed } from './split-queue.ts';

const IDX = VIRTQ_AVAIL.offsets.idx;

/** VIRTIO 1.3, "Split Virtqueues", the driver's side. An ID is the index of a chain's head. */
export class DriverSplitQueue extends DriverQueue {
  #avail = 0;
  #used = 0;
  /** Free descriptors as a stack: which one a chain gets is nobody's business. */
  readonly #free: number[];
  /** Descriptors of the chain of each head, the head first. */
  readonly #chains = new Map<number, number[]>();

  constructor(options: DriverQueueOptions) {
    super(options);
    this.#free = Array.from({ length: this.size }, (_, index) => this.size - 1 - index);
  }

  get notificationData(): number {
    return this.#avail;
  }

  enableInterrupts(on: boolean): boolean {
    this.interrupts = on;
    if (this.eventIdx) this.#writeUsedEvent();
    else this.write16(this.parts.driver, on ? 0 : VIRTQ_AVAIL_F_NO_INTERRUPT);
    return this.read16(this.parts.device + IDX) !== this.#used;
  }

  protected takeId(): number {
    // `add` has seen that as many are free as the chain takes.
    const head = this.#free.pop() as number;
    this.#chains.set(head, [head]);
    return head;
  }

  protected publish(
    head: number,
    readable: readonly BufferSegment[],
    writable: readonly BufferSegment[],
    isTable: boolean,
  ): void {
    const segments = [...readable, ...writable];
    const chain = [head, ...segments.slice(1).map(() => this.#free.pop() as number)];
    this.#chains.set(head, chain);
    for (const [index, segment] of segments.entries()) {
      const next = chain[index + 1];
      const flags =
        (next === undefined ? 0 : VIRTQ_DESC_F_NEXT) |
        (index < readable.length ? 0 : VIRTQ_DESC_F_WRITE) |
        (isTable ? VIRTQ_DESC_F_INDIRECT : 0);
      this.writeDescriptor((chain[index] as number) * DESC_SIZE, segment, flags, next ?? 0);
    }
    const slot = this.#avail & (this.size - 1);
    this.write16(this.parts.driver + VIRTQ_AVAIL.size + 2 * slot, head);
    this.#avail = (this.#avail + 1) & 0xffff;
    this.write16(this.parts.driver + IDX, this.#avail);
    this.unkicked++;
  }

  protected writeTable(
    offset: number,
    readable: readonly BufferSegment[],
    writable: readonly BufferSegment[],
  ): void {
    const segments = [...readable, ...writable];
    for (const [index, segment] of segments.entries()) {
      const last = index === segments.length - 1;
      const flags =
        (last ? 0 : VIRTQ_DESC_F_NEXT) | (index < readable.length ? 0 : VIRTQ_DESC_F_WRITE);
      this.writeDescriptor(offset + index * DESC_SIZE, segment, flags, last ? 0 : index + 1);
    }
  }

  protected readUsed(): UsedBuffer | undefined {
    const { device } = this.parts;
    const published = this.read16(device + IDX);
    if (published === this.#used) return undefined;
    if (((published - this.#used) & 0xffff) > this.size) {
      this.broken = `used.idx went from ${this.#used} to ${published}`;
      return undefined;
    }
    const slot = this.#used & (this.size - 1);
    const element = device + VIRTQ_USED.size + VIRTQ_USED_ELEM.size * slot;
    return { id: this.read32(element), length: this.read32(element + 4) };
  }

  protected release(head: number): number {
    const chain = this.#chains.get(head) as number[];
    this.#chains.delete(head);
    this.#free.push(...chain);
    this.#used = (this.#used + 1) & 0xffff;
    if (this.eventIdx && this.interrupts) this.#writeUsedEvent();
    return chain.length;
  }

  protected deviceWantsKick(): boolean {
    const { device } = this.parts;
    if (!this.eventIdx) return (this.read16(device) & VIRTQ_USED_F_NO_NOTIFY) === 0;
    const event = this.read16(device + VIRTQ_USED.size + VIRTQ_USED_ELEM.size * this.size);
    return passed(event, this.#avail, this.unkicked);
  }

  /** Off is an event that lies just behind: half a lap of indexes until it comes again. */
  #writeUsedEvent(): void {
    const event = this.interrupts ? this.#used : (this.#used - 1) & 0xffff;
    this.write16(this.parts.driver + VIRTQ_AVAIL.size + 2 * this.size, event);
  }
}
