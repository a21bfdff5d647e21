import { ByteSink } from '../../src/bytes/index.ts';
import {
  IommuDevice,
  type EndpointOptions,
  type IommuDeviceOptions,
  type IommuEvent,
  type IommuExtensions,
} from '../../src/iommu/index.ts';
import { GuestMemory, hiOf, loOf, TranslatedDma } from '../../src/memory/index.ts';
import {
  VIRTIO_IOMMU_EVENTQ,
  VIRTIO_IOMMU_REQUESTQ,
  VIRTIO_IOMMU_REQ_ATTACH,
  VIRTIO_IOMMU_REQ_DETACH,
  VIRTIO_IOMMU_REQ_MAP,
  VIRTIO_IOMMU_REQ_PROBE,
  VIRTIO_IOMMU_REQ_UNMAP,
  VIRTIO_IOMMU_T_ATTACH,
  VIRTIO_IOMMU_T_DETACH,
  VIRTIO_IOMMU_T_MAP,
  VIRTIO_IOMMU_T_PROBE,
  VIRTIO_IOMMU_T_UNMAP,
} from '../../src/spec/virtio-iommu.ts';
import {
  driverQueueParts,
  makeDriverQueue,
  RING_FEATURES,
  VirtioCore,
  type BufferSegment,
  type DriverQueue,
  type VirtioEvent,
} from '../../src/virtio/index.ts';
import { structBytes } from '../../src/bytes/index.ts';

/** What came back for a request. */
export interface Answer {
  /** Length in the used ring. */
  readonly used: number;
  /** Status byte, when the used length covers it. */
  readonly status: number | undefined;
  /** The whole device-writable part, which was filled with 0xaa before. */
  readonly bytes: Uint8Array;
}

export interface RigOptions extends IommuDeviceOptions {
  readonly endpoints?: readonly EndpointOptions[];
  /** Device features that the driver takes; default all that are offered. */
  readonly negotiate?: bigint;
  readonly ring?: bigint;
  readonly extensions?: IommuExtensions;
  /** Stop before DRIVER_OK. */
  readonly asleep?: boolean;
  /** Buffers given to the event queue, in bytes each; default eight of 24. */
  readonly eventBuffers?: readonly number[];
  readonly eventQueueSize?: number;
  /** Keep no list of events. */
  readonly quiet?: boolean;
  /** Guest memory beside the rig's own megabyte at 0. */
  readonly memory?: GuestMemory;
}

export type Words = Readonly<Record<string, number | bigint | Uint8Array>>;

const MEMORY_SIZE = 1 << 20;
const REQUEST_RING = 0x1_0000n;
const EVENT_RING = 0x4_0000n;
const READABLE = 0x8_0000;
const WRITABLE = 0x9_0000;
const EVENTS = 0xc_0000;
const RING_SIZE = 64;
export const FILLER = 0xaa;

/** A virtio-iommu, memory and the smallest driver that can speak to it. */
export class Rig {
  readonly memory: GuestMemory;
  readonly ram: Uint8Array = new Uint8Array(MEMORY_SIZE);
  device: IommuDevice;
  core: VirtioCore;
  readonly events: IommuEvent[] = [];
  readonly virtioEvents: VirtioEvent[] = [];
  interrupts = 0;
  request!: DriverQueue;
  event!: DriverQueue;
  readonly #eventSizes = new Map<number, { at: number; size: number }>();
  #nextEvent = EVENTS;
  readonly options: RigOptions;

  constructor(options: RigOptions = {}) {
    this.options = options;
    this.memory = options.memory ?? new GuestMemory();
    this.memory.addWindow({ gpa: 0n, bytes: this.ram });
    [this.device, this.core] = this.#make();
    if (options.asleep !== true) this.boot();
  }

  #make(): [IommuDevice, VirtioCore] {
    const { options } = this;
    const device = new IommuDevice(options, options.extensions);
    for (const endpoint of options.endpoints ?? [{ id: 1 }, { id: 2 }])
      device.addEndpoint(endpoint);
    const core = new VirtioCore(device, {
      dma: this.memory,
      ringFeatures: RING_FEATURES,
      onEvent: (event) => this.virtioEvents.push(event),
    });
    core.sink = { config: () => undefined, queue: () => this.interrupts++ };
    if (options.quiet !== true) device.stream.subscribe((event) => this.events.push(event));
    return [device, core];
  }

  /** Moves to a new device of the same options by a snapshot; the driver notices nothing. */
  migrate(): void {
    const saved = this.core.snapshot();
    [this.device, this.core] = this.#make();
    this.core.restore(saved);
  }

  /** Resets, negotiates, sets up the queues and fills the event queue, without a notification. */
  boot(negotiate: bigint | undefined = this.options.negotiate): void {
    const { core } = this;
    const ring = this.options.ring ?? 1n << 32n;
    const features = (negotiate ?? this.device.features) | ring;
    core.writeStatus(0);
    core.writeStatus(1);
    core.writeStatus(3);
    for (let i = 0; i < 2; i++) core.choose(i, Number((features >> BigInt(32 * i)) & 0xffffffffn));
    core.writeStatus(0xb);
    if ((core.status & 8) === 0) throw new Error('features refused');
    this.request = this.#queue(VIRTIO_IOMMU_REQUESTQ, REQUEST_RING, RING_SIZE, features);
    this.event = this.#queue(
      VIRTIO_IOMMU_EVENTQ,
      EVENT_RING,
      this.options.eventQueueSize ?? RING_SIZE,
      features,
    );
    for (const size of this.options.eventBuffers ?? Array.from({ length: 8 }, () => 24)) {
      this.giveEventBuffer(size);
    }
    core.writeStatus(0xf);
  }

  /** Sets up the request queue again, after it was reset alone. */
  reopen(): void {
    this.ram.fill(0, Number(REQUEST_RING), Number(EVENT_RING));
    const { features } = this.core;
    this.request = this.#queue(VIRTIO_IOMMU_REQUESTQ, REQUEST_RING, RING_SIZE, features);
  }

  #queue(index: number, area: bigint, size: number, features: bigint): DriverQueue {
    const options = { memory: this.memory, area, size, features, indirectEntries: 128 };
    if (driverQueueParts(options).bytes > 0x4_0000) throw new Error('queue does not fit');
    const queue = makeDriverQueue(options);
    const slot = this.core.queues[index];
    if (slot === undefined) throw new Error('no such queue');
    slot.size = size;
    for (const [name, at] of [
      ['desc', queue.descArea],
      ['driver', queue.driverArea],
      ['device', queue.deviceArea],
    ] as const) {
      slot[`${name}Hi`] = hiOf(at);
      slot[`${name}Lo`] = loOf(at);
    }
    this.core.enableQueue(index);
    return queue;
  }

  /** Adds a buffer to the event queue, as Linux does without a notification. */
  giveEventBuffer(size = 24, kick = false): void {
    const at = this.#nextEvent;
    this.#nextEvent = at + 64 > EVENTS + 0x2_0000 ? EVENTS : at + 64;
    this.ram.fill(FILLER, at, at + 64);
    const segments = size === 0 ? [] : [{ hi: 0, lo: at, length: size }];
    const readable = size === 0 ? [{ hi: 0, lo: at, length: 4 }] : [];
    const id = this.event.add(readable, segments);
    if (id !== undefined) this.#eventSizes.set(id, { at, size });
    if (kick) this.core.notify(VIRTIO_IOMMU_EVENTQ);
  }

  /** Fault records that have arrived since the last call, as many bytes as the used length says. */
  faults(): Uint8Array[] {
    const records: Uint8Array[] = [];
    for (let used = this.event.poll(); used; used = this.event.poll()) {
      const { at } = this.#eventSizes.get(used.id) ?? { at: 0 };
      records.push(this.ram.slice(at, at + used.length));
    }
    return records;
  }

  /** Puts a request in the ring; the answer comes from `answer`. */
  submit(readable: Uint8Array, writable = 4, framing: Framing = {}): number {
    this.ram.set(readable, READABLE);
    this.ram.fill(FILLER, WRITABLE, WRITABLE + writable + 16);
    const cut = framing.cut ?? 0x1_0000;
    const id = this.request.add(
      split(READABLE, readable.length, cut),
      split(WRITABLE, writable, cut),
      framing.indirect ?? false,
    );
    if (id === undefined) throw new Error('request queue is full');
    this.core.notify(VIRTIO_IOMMU_REQUESTQ);
    return id;
  }

  /** The answer to the oldest request; undefined when it has not come. */
  answer(writable = 4): Answer | undefined {
    const used = this.request.poll();
    if (used === undefined) return undefined;
    const bytes = this.ram.slice(WRITABLE, WRITABLE + writable);
    const status = used.length >= 4 ? bytes[used.length - 4] : undefined;
    return { used: used.length, status, bytes };
  }

  send(readable: Uint8Array, writable = 4, framing: Framing = {}): Answer {
    this.submit(readable, writable, framing);
    const answer = this.answer(writable);
    if (answer === undefined) throw new Error('no answer');
    return answer;
  }

  attach(domain: number, endpoint: number, more: Words = {}): number | undefined {
    return this.send(attachBytes(domain, endpoint, more)).status;
  }

  detach(domain: number, endpoint: number, more: Words = {}): number | undefined {
    return this.send(detachBytes(domain, endpoint, more)).status;
  }

  map(domain: number, start: bigint, end: bigint, phys: bigint, flags = 3): number | undefined {
    return this.send(mapBytes(domain, start, end, phys, flags)).status;
  }

  unmap(domain: number, start: bigint, end: bigint, more: Words = {}): number | undefined {
    return this.send(unmapBytes(domain, start, end, more)).status;
  }

  probe(endpoint: number, size = 512): Answer {
    return this.send(probeBytes(endpoint), size + 4);
  }

  /** Memory as that endpoint sees it. */
  dma(endpoint: number): TranslatedDma {
    return new TranslatedDma(this.memory, this.device.translation, endpoint);
  }

  /** Reads one byte through the vIOMMU; undefined when refused. */
  read(endpoint: number, iova: bigint): number | undefined {
    const value = this.dma(endpoint).readU8(hiOf(iova), loOf(iova));
    return value < 0 ? undefined : value;
  }

  /** Whether a byte can be written through the vIOMMU. */
  write(endpoint: number, iova: bigint, value = 0x5a): boolean {
    return this.dma(endpoint).writeU8(hiOf(iova), loOf(iova), value);
  }

  /** Fills `config.bypass` as a driver would. */
  setBypass(value: number): void {
    this.core.configWrite(36, 1, value);
  }
}

export interface Framing {
  /** Longest descriptor in bytes. */
  readonly cut?: number;
  readonly indirect?: boolean;
}

function split(at: number, length: number, cut: number): BufferSegment[] {
  const segments: BufferSegment[] = [];
  for (let done = 0; done < length; done += cut) {
    segments.push({ hi: 0, lo: at + done, length: Math.min(cut, length - done) });
  }
  return segments;
}

export const attachBytes = (domain: number, endpoint: number, more: Words = {}): Uint8Array =>
  structBytes(VIRTIO_IOMMU_REQ_ATTACH, 'le', {
    type: VIRTIO_IOMMU_T_ATTACH,
    domain,
    endpoint,
    ...more,
  });

export const detachBytes = (domain: number, endpoint: number, more: Words = {}): Uint8Array =>
  structBytes(VIRTIO_IOMMU_REQ_DETACH, 'le', {
    type: VIRTIO_IOMMU_T_DETACH,
    domain,
    endpoint,
    ...more,
  });

export function mapBytes(
  domain: number,
  virt_start: bigint,
  virt_end: bigint,
  phys_start: bigint,
  flags = 3,
  more: Words = {},
): Uint8Array {
  const type = VIRTIO_IOMMU_T_MAP;
  const fields = { type, domain, virt_start, virt_end, phys_start, flags, ...more };
  return structBytes(VIRTIO_IOMMU_REQ_MAP, 'le', fields);
}

export const unmapBytes = (
  domain: number,
  virt_start: bigint,
  virt_end: bigint,
  more: Words = {},
): Uint8Array =>
  structBytes(VIRTIO_IOMMU_REQ_UNMAP, 'le', {
    type: VIRTIO_IOMMU_T_UNMAP,
    domain,
    virt_start,
    virt_end,
    ...more,
  });

export const probeBytes = (endpoint: number, more: Words = {}): Uint8Array =>
  structBytes(VIRTIO_IOMMU_REQ_PROBE, 'le', { type: VIRTIO_IOMMU_T_PROBE, endpoint, ...more });

/** Bytes of u32 words. */
export function words(...values: number[]): Uint8Array {
  const sink = new ByteSink('le');
  for (const value of values) sink.u32(value);
  return sink.bytes();
}

export const OK = 0;
export const IOERR = 1;
export const UNSUPP = 2;
export const DEVERR = 3;
export const INVAL = 4;
export const RANGE = 5;
export const NOENT = 6;
export const FAULT = 7;
export const NOMEM = 8;
