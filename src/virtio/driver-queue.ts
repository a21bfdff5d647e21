import { addressOf, hiOf, loOf, type DmaSpace } from '../memory/index.ts';
import {
  PVIRTQ_EVENT_SUPPRESS,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
  VIRTQ_AVAIL,
  VIRTQ_DESC_ALIGN,
  VIRTQ_USED,
  VIRTQ_USED_ELEM,
} from '../spec/virtio.ts';
import { DESC_SIZE } from './descriptors.ts';
import { hasFeature } from './features.ts';

/** A run of bytes at an address of the device's: what one descriptor names. */
export interface BufferSegment {
  readonly hi: number;
  readonly lo: number;
  readonly length: number;
}

/** A buffer that the device has done with. */
export interface UsedBuffer {
  /** What `add` answered. */
  readonly id: number;
  /** Bytes that the device says it wrote. */
  readonly length: number;
}

export interface DriverQueueOptions {
  /** How the driver's CPU reaches its rings. */
  readonly memory: DmaSpace;
  /** Where they lie for the CPU: `driverQueueBytes` bytes, a multiple of 16. */
  readonly area: bigint;
  /** Where they lie for the device, if that is elsewhere: an IOVA. */
  readonly deviceArea?: bigint;
  readonly size: number;
  /** Negotiated features. */
  readonly features: bigint;
  /** Entries of the indirect table that each buffer can have; 0 (default) for none. */
  readonly indirectEntries?: number;
}

/** Offsets of the parts in the area of a queue, and their sum. */
export interface DriverQueueParts {
  readonly driver: number;
  readonly device: number;
  readonly tables: number;
  readonly bytes: number;
}

const alignUp = (value: number): number => value + (-value & (VIRTQ_DESC_ALIGN - 1));

/** How a queue's area is divided: descriptors first, then driver area, device area, tables. */
export function driverQueueParts(
  options: Pick<DriverQueueOptions, 'size' | 'features' | 'indirectEntries'>,
): DriverQueueParts {
  const { size, features, indirectEntries = 0 } = options;
  const packed = hasFeature(features, VIRTIO_F_RING_PACKED);
  const event = PVIRTQ_EVENT_SUPPRESS.size;
  const driver = size * DESC_SIZE;
  const device = alignUp(driver + (packed ? event : VIRTQ_AVAIL.size + 2 * size + 2));
  const deviceBytes = packed ? event : VIRTQ_USED.size + VIRTQ_USED_ELEM.size * size + 2;
  const tables = alignUp(device + deviceBytes);
  return { driver, device, tables, bytes: tables + size * indirectEntries * DESC_SIZE };
}

/**
 * The driver's side of a virtqueue, for the model guest and for tests. The rings are its own memory:
 * an area that cannot be accessed throws RangeError. A device that breaks the rules throws nothing;
 * `broken` says what it did.
 */
export abstract class DriverQueue {
  readonly size: number;
  /** Addresses to tell the device. */
  readonly descArea: bigint;
  readonly driverArea: bigint;
  readonly deviceArea: bigint;
  /** Free descriptors of the ring. */
  free: number;
  broken: string | undefined;

  protected readonly memory: DmaSpace;
  protected readonly eventIdx: boolean;
  protected readonly hi: number;
  protected readonly lo: number;
  protected readonly parts: DriverQueueParts;
  protected interrupts = true;
  /** Ring places made available since the device was last considered for a notification. */
  protected unkicked = 0;
  readonly #indirect: boolean;
  readonly #inOrder: boolean;
  readonly #indirectEntries: number;
  readonly #deviceTables: bigint;
  /** Buffers that the device has, oldest first, with the bytes it may write. */
  readonly #outstanding = new Map<number, number>();
  /** A used buffer that was read ahead of older ones (VIRTIO_F_IN_ORDER). */
  #batch: UsedBuffer | undefined;

  constructor(options: DriverQueueOptions) {
    const { memory, area, size, features, indirectEntries = 0 } = options;
    const deviceArea = options.deviceArea ?? area;
    this.parts = driverQueueParts(options);
    this.memory = memory;
    this.size = size;
    this.free = size;
    this.hi = hiOf(area);
    this.lo = loOf(area);
    this.descArea = deviceArea;
    this.driverArea = deviceArea + BigInt(this.parts.driver);
    this.deviceArea = deviceArea + BigInt(this.parts.device);
    this.#deviceTables = deviceArea + BigInt(this.parts.tables);
    this.eventIdx = hasFeature(features, VIRTIO_RING_F_EVENT_IDX);
    this.#indirect = hasFeature(features, VIRTIO_RING_F_INDIRECT_DESC);
    this.#inOrder = hasFeature(features, VIRTIO_F_IN_ORDER);
    this.#indirectEntries = indirectEntries;
    this.check(memory.fill(this.hi, this.lo, this.parts.bytes, 0) === this.parts.bytes);
  }

  /**
   * Makes a buffer available: segments that the device may read, then those it may write. With
   * `indirect` they go to a table, if one was negotiated and has room.
   *
   * @returns its ID until `poll` gives it back; undefined when too few descriptors are free
   * @throws RangeError on a buffer of no segments
   */
  add(
    readable: readonly BufferSegment[],
    writable: readonly BufferSegment[],
    indirect = false,
  ): number | undefined {
    const count = readable.length + writable.length;
    if (count === 0) throw new RangeError('a buffer has at least one segment');
    const table = indirect && this.#indirect && count <= this.#indirectEntries;
    const slots = table ? 1 : count;
    if (slots > this.free) return undefined;
    const id = this.takeId();
    this.free -= slots;
    this.#outstanding.set(
      id,
      writable.reduce((sum, { length }) => sum + length, 0),
    );
    if (table) {
      const offset = id * this.#indirectEntries * DESC_SIZE;
      this.writeTable(this.parts.tables + offset, readable, writable);
      const address = this.#deviceTables + BigInt(offset);
      const segment = { hi: hiOf(address), lo: loOf(address), length: count * DESC_SIZE };
      this.publish(id, [segment], [], true);
    } else this.publish(id, readable, writable, false);
    return id;
  }

  /** The next buffer that the device has used; undefined when there is none. */
  poll(): UsedBuffer | undefined {
    if (this.broken !== undefined) return undefined;
    const used = this.#batch ?? this.readUsed();
    if (used === undefined) return undefined;
    if (!this.#outstanding.has(used.id)) {
      this.broken = `used buffer ${used.id}, which the device does not have`;
      return undefined;
    }
    // In order, one used element may stand for all buffers up to it; those before it count as
    // filled ("In-order use of descriptors").
    const [oldest, writable] = this.#outstanding.entries().next().value as [number, number];
    const early = this.#inOrder && oldest !== used.id;
    this.#batch = early ? used : undefined;
    const given = early ? { id: oldest, length: writable } : used;
    this.#outstanding.delete(given.id);
    this.free += this.release(given.id);
    return given;
  }

  /** Whether the device wants to be notified of what was added since the last call. */
  kickNeeded(): boolean {
    if (this.unkicked === 0) return false;
    const needed = this.deviceWantsKick();
    this.unkicked = 0;
    return needed;
  }

  /** Buffers that the device has, oldest first. */
  outstanding(): number[] {
    return [...this.#outstanding.keys()];
  }

  /**
   * Asks the device for interrupts, or for none; true when used buffers wait already, in which case
   * none may come for them.
   */
  abstract enableInterrupts(on: boolean): boolean;
  /** Upper half of a notification with VIRTIO_F_NOTIFICATION_DATA. */
  abstract get notificationData(): number;

  protected abstract takeId(): number;
  protected abstract publish(
    id: number,
    readable: readonly BufferSegment[],
    writable: readonly BufferSegment[],
    isTable: boolean,
  ): void;
  protected abstract writeTable(
    offset: number,
    readable: readonly BufferSegment[],
    writable: readonly BufferSegment[],
  ): void;
  protected abstract readUsed(): UsedBuffer | undefined;
  protected abstract deviceWantsKick(): boolean;
  /** Takes an ID back; answers how many descriptors that frees. */
  protected abstract release(id: number): number;

  protected read16(offset: number): number {
    const value = this.memory.loadU16(this.hi, this.lo + offset);
    this.check(value >= 0);
    return value;
  }

  protected read32(offset: number): number {
    const value = this.memory.readU32(this.hi, this.lo + offset);
    this.check(value >= 0);
    return value;
  }

  protected write16(offset: number, value: number): void {
    this.check(this.memory.storeU16(this.hi, this.lo + offset, value));
  }

  /** A descriptor; the two 16-bit fields at its end differ between the formats. */
  protected writeDescriptor(
    offset: number,
    segment: BufferSegment,
    at12: number,
    at14: number,
  ): void {
    const { memory, hi } = this;
    const lo = this.lo + offset;
    this.check(
      memory.writeU64(hi, lo, segment.hi, segment.lo) &&
        memory.writeU32(hi, lo + 8, segment.length) &&
        memory.writeU16(hi, lo + 12, at12) &&
        memory.storeU16(hi, lo + 14, at14),
    );
  }

  protected check(done: boolean): void {
    if (!done) {
      const area = addressOf(this.hi, this.lo).toString(16);
      throw new RangeError(`queue area at 0x${area}: ${this.parts.bytes} bytes are not memory`);
    }
  }
}
