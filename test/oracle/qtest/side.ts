import type { VirtioTransport } from '../../../src/driver/virtio/transport.ts';
import { GuestMemory } from '../../../src/memory/index.ts';
import { VIRTIO_IOMMU_EVENTQ, VIRTIO_IOMMU_REQUESTQ } from '../../../src/spec/virtio-iommu.ts';
import { VIRTIO_IOMMU_CONFIG } from '../../../src/spec/virtio-iommu.ts';
import {
  VIRTIO_CONFIG_S_ACKNOWLEDGE,
  VIRTIO_CONFIG_S_DRIVER,
  VIRTIO_CONFIG_S_DRIVER_OK,
  VIRTIO_CONFIG_S_FEATURES_OK,
  VIRTIO_CONFIG_S_NEEDS_RESET,
} from '../../../src/spec/virtio.ts';
import {
  driverQueueParts,
  makeDriverQueue,
  type BufferSegment,
  type DriverQueue,
} from '../../../src/virtio/index.ts';
import {
  ARENA,
  ARENA_END,
  BASE,
  EVENT_BUFFERS,
  EVENT_RING,
  EVENT_STRIDE,
  FILLER,
  REQUEST_RING,
  SIZE,
} from './layout.ts';

/** A request as it is put in a queue. */
export interface Wire {
  readonly readable: Uint8Array;
  /** Bytes of the device-writable part. */
  readonly writable: number;
  /** Lengths of the descriptors of each part; the rest is one more. */
  readonly cuts: { readonly readable: readonly number[]; readonly writable: readonly number[] };
  readonly indirect: boolean;
}

export interface Answer {
  readonly used: number;
  /** The whole device-writable part, which was filled before. */
  readonly bytes: Uint8Array;
}

/** How the driver's copy of the memory and the device's memory become the same. */
export interface Sync {
  push(at: number, bytes: Uint8Array): void;
  pull(at: number, into: Uint8Array): void;
}

interface Opened {
  readonly queue: DriverQueue;
  readonly at: number;
  readonly bytes: number;
}

interface Pending {
  readonly at: number;
  readonly writable: number;
  readonly index: number;
}

const QUEUE_SIZE = 256;
const INDIRECT_ENTRIES = 24;

/** The driver's end of a virtio-iommu: the same code drives ours and QEMU's. */
export class Side {
  readonly name: string;
  readonly ram: Uint8Array = new Uint8Array(SIZE);
  readonly memory: GuestMemory = new GuestMemory([{ gpa: BigInt(BASE), bytes: this.ram }]);
  readonly transport: VirtioTransport;
  /** What was negotiated. */
  features = 0n;
  readonly #sync: Sync;
  #request!: Opened;
  #event!: Opened;
  readonly #eventSlots = new Map<number, number>();
  readonly #freeSlots: number[] = [];

  constructor(name: string, transport: VirtioTransport, sync: Sync) {
    this.name = name;
    this.transport = transport;
    this.#sync = sync;
  }

  /** Device reset, negotiation, queues, DRIVER_OK. @throws Error when the features are refused */
  boot(features: bigint): void {
    const { transport } = this;
    this.features = features;
    transport.status = 0;
    transport.status = VIRTIO_CONFIG_S_ACKNOWLEDGE;
    transport.status |= VIRTIO_CONFIG_S_DRIVER;
    transport.setDriverFeatures(features);
    transport.status |= VIRTIO_CONFIG_S_FEATURES_OK;
    if ((transport.status & VIRTIO_CONFIG_S_FEATURES_OK) === 0) {
      throw new Error(`${this.name} refuses features 0x${features.toString(16)}`);
    }
    this.#request = this.#open(VIRTIO_IOMMU_REQUESTQ, REQUEST_RING, features, INDIRECT_ENTRIES);
    this.#event = this.#open(VIRTIO_IOMMU_EVENTQ, EVENT_RING, features, 0);
    this.#eventSlots.clear();
    const slots = (ARENA - EVENT_BUFFERS) / EVENT_STRIDE;
    this.#freeSlots.splice(0, Infinity, ...Array.from({ length: slots }, (_, slot) => slot));
    transport.status |= VIRTIO_CONFIG_S_DRIVER_OK;
  }

  /** Buffers that the event queue has. */
  get eventBuffers(): number {
    return this.#event.queue.outstanding().length;
  }

  get isBroken(): boolean {
    return (this.transport.status & VIRTIO_CONFIG_S_NEEDS_RESET) !== 0;
  }

  config(): Uint8Array {
    return Uint8Array.from({ length: VIRTIO_IOMMU_CONFIG.size }, (_, at) =>
      this.transport.readConfig(at, 1),
    );
  }

  setBypass(value: number): void {
    this.transport.writeConfig(VIRTIO_IOMMU_CONFIG.offsets.bypass, 1, value);
  }

  /** Sends all requests, in as few notifications as they fit. Undefined: not answered. */
  exchange(wires: readonly Wire[]): (Answer | undefined)[] {
    const answers: (Answer | undefined)[] = wires.map(() => undefined);
    for (let next = 0; next < wires.length;) {
      const waiting = new Map<number, Pending>();
      let free = ARENA;
      for (; next < wires.length; next++) {
        const wire = wires[next] as Wire;
        const end = free + wire.readable.length + wire.writable;
        if (end > ARENA_END) break;
        const id = this.#add(wire, free);
        if (id === undefined) break;
        const at = free + wire.readable.length;
        waiting.set(id, { at, writable: wire.writable, index: next });
        free = end;
      }
      if (waiting.size === 0) throw new Error(`${this.name}: the request queue is stuck`);
      this.#kick(this.#request, VIRTIO_IOMMU_REQUESTQ, free);
      for (let used = this.#request.queue.poll(); used; used = this.#request.queue.poll()) {
        const pending = waiting.get(used.id);
        if (pending === undefined) throw new Error(`${this.name}: answer ${used.id} is unknown`);
        const start = pending.at - BASE;
        const bytes = this.ram.slice(start, start + pending.writable);
        answers[pending.index] = { used: used.length, bytes };
        waiting.delete(used.id);
      }
      if (this.#request.queue.broken !== undefined) throw new Error(this.#request.queue.broken);
      if (waiting.size > 0) break;
    }
    return answers;
  }

  /** Gives buffers to the event queue, and as Linux no notification. */
  giveEventBuffers(sizes: readonly number[]): void {
    this.#pull(this.#event.at, this.#event.bytes);
    for (const size of sizes) {
      const slot = this.#freeSlots.pop();
      if (slot === undefined) break;
      const at = EVENT_BUFFERS + slot * EVENT_STRIDE;
      this.ram.fill(FILLER, at - BASE, at - BASE + EVENT_STRIDE);
      this.#push(at, EVENT_STRIDE);
      const id = this.#event.queue.add([], [segmentAt(at, size)]);
      if (id === undefined) throw new Error(`${this.name}: the event queue is full`);
      this.#eventSlots.set(id, slot);
    }
    this.#push(this.#event.at, this.#event.bytes);
  }

  /** Fault records since the last call; each with all 64 bytes from where its buffer starts. */
  takeEvents(): { readonly used: number; readonly bytes: Uint8Array }[] {
    this.#pull(this.#event.at, this.#event.bytes);
    const events = [];
    for (let used = this.#event.queue.poll(); used; used = this.#event.queue.poll()) {
      const slot = this.#eventSlots.get(used.id) ?? 0;
      const at = EVENT_BUFFERS + slot * EVENT_STRIDE;
      this.#pull(at, EVENT_STRIDE);
      events.push({
        used: used.length,
        bytes: this.ram.slice(at - BASE, at - BASE + EVENT_STRIDE),
      });
      this.#freeSlots.push(slot);
    }
    return events;
  }

  /** Memory as the device sees it now, also in the copy afterwards. */
  fetch(at: number, length: number): Uint8Array {
    this.#pull(at, length);
    return this.ram.subarray(at - BASE, at - BASE + length);
  }

  fill(at: number, bytes: Uint8Array): void {
    this.ram.set(bytes, at - BASE);
    this.#push(at, bytes.length);
  }

  #open(index: number, at: number, features: bigint, indirectEntries: number): Opened {
    const layout = { size: QUEUE_SIZE, features, indirectEntries };
    const { bytes } = driverQueueParts(layout);
    const queue = makeDriverQueue({ ...layout, memory: this.memory, area: BigInt(at) });
    this.#push(at, bytes);
    const { descArea: desc, driverArea: driver, deviceArea: device } = queue;
    this.transport.setQueue(index, { size: QUEUE_SIZE, desc, driver, device });
    return { queue, at, bytes };
  }

  #add({ readable, writable, cuts, indirect }: Wire, at: number): number | undefined {
    const to = at + readable.length;
    this.ram.set(readable, at - BASE);
    this.ram.fill(FILLER, to - BASE, to - BASE + writable);
    return this.#request.queue.add(
      segmentsOf(at, readable.length, cuts.readable),
      segmentsOf(to, writable, cuts.writable),
      indirect,
    );
  }

  #kick({ queue, at, bytes }: Opened, index: number, arenaEnd: number): void {
    this.#push(at, bytes);
    this.#push(ARENA, arenaEnd - ARENA);
    if (queue.kickNeeded()) this.transport.notify(index);
    this.#pull(at, bytes);
    this.#pull(ARENA, arenaEnd - ARENA);
  }

  #push(at: number, length: number): void {
    this.#sync.push(at, this.ram.subarray(at - BASE, at - BASE + length));
  }

  #pull(at: number, length: number): void {
    this.#sync.pull(at, this.ram.subarray(at - BASE, at - BASE + length));
  }
}

function segmentAt(at: number, length: number): BufferSegment {
  return { hi: 0, lo: at, length };
}

function segmentsOf(at: number, length: number, cuts: readonly number[]): BufferSegment[] {
  const segments: BufferSegment[] = [];
  let done = 0;
  for (const cut of [...cuts, length]) {
    const size = Math.min(cut, length - done);
    if (size <= 0) break;
    segments.push(segmentAt(at + done, size));
    done += size;
  }
  return segments;
}
