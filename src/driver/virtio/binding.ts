import {
  VIRTIO_CONFIG_S_ACKNOWLEDGE,
  VIRTIO_CONFIG_S_DRIVER,
  VIRTIO_CONFIG_S_DRIVER_OK,
  VIRTIO_CONFIG_S_FAILED,
  VIRTIO_CONFIG_S_FEATURES_OK,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../../spec/virtio.ts';
import { VIRTIO_MSI_NO_VECTOR } from '../../spec/virtio-pci.ts';
import {
  driverQueueParts,
  featureBits,
  hasFeature,
  makeDriverQueue,
  type DriverQueue,
} from '../../virtio/index.ts';
import type { Device } from '../device.ts';
import { DirectMapper, type Coherent, type Dma } from '../dma.ts';
import type { Kernel } from '../kernel.ts';
import { setUpLine, setUpMsix, type Interrupts } from '../pci/vectors.ts';
import type { VirtioTransport } from './transport.ts';

/** Ring features that the guest takes when they are offered, as Linux 6.12. */
const RING = featureBits(
  VIRTIO_RING_F_INDIRECT_DESC,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_F_VERSION_1,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_RING_PACKED,
);

/** Descriptors of a queue that are used at most; rings of 32768 would be memory for nothing. */
const QUEUE_MAX = 256;
/** A device that changes its configuration at each look must not stop us. */
const CONFIG_ATTEMPTS = 16;
/** Entries of an indirect table. */
const INDIRECT_ENTRIES = 32;

/** What a driver wants of one queue. */
export interface QueueWish {
  /** Called when the device has used buffers; absent: the driver polls. */
  readonly used?: () => void;
  /** Buffers go to indirect tables where possible. */
  readonly indirect?: boolean;
}

interface Opened {
  readonly queue: DriverQueue;
  readonly memory: Coherent;
}

/** A virtio device between its driver and its transport: negotiation, queues, interrupts. */
export class VirtioBinding {
  readonly kernel: Kernel;
  readonly device: Device;
  readonly transport: VirtioTransport;
  features = 0n;
  readonly #opened: Opened[] = [];
  #interrupts: Interrupts | undefined;
  #dma: Dma;

  constructor(kernel: Kernel, device: Device, transport: VirtioTransport) {
    this.kernel = kernel;
    this.device = device;
    this.transport = transport;
    this.#dma = new DirectMapper(kernel.ram);
  }

  /** How buffers are to be mapped: by the DMA API only with VIRTIO_F_ACCESS_PLATFORM. */
  get dma(): Dma {
    return this.#dma;
  }

  hasFeature(bit: number): boolean {
    return hasFeature(this.features, bit);
  }

  /**
   * VIRTIO 1.3, "Driver Initialization", steps 1 to 6.
   *
   * @param supported features of the device type
   * @returns whether the device accepted
   */
  negotiate(supported: bigint): boolean {
    const { transport } = this;
    transport.status = 0;
    transport.status = VIRTIO_CONFIG_S_ACKNOWLEDGE;
    transport.status |= VIRTIO_CONFIG_S_DRIVER;
    const chosen = transport.deviceFeatures() & (supported | RING);
    transport.setDriverFeatures(chosen);
    if (!transport.modern) {
      this.features = chosen;
      return true;
    }
    transport.status |= VIRTIO_CONFIG_S_FEATURES_OK;
    if ((transport.status & VIRTIO_CONFIG_S_FEATURES_OK) === 0) {
      this.fail();
      return false;
    }
    this.features = chosen;
    if (this.hasFeature(VIRTIO_F_ACCESS_PLATFORM)) this.#dma = this.device.dma;
    return true;
  }

  /** Queues with their memory, and interrupts; undefined when the device lacks one. */
  open(wishes: readonly QueueWish[]): DriverQueue[] | undefined {
    const callbacks = wishes.flatMap(({ used }) => (used === undefined ? [] : [used]));
    const msix = setUpMsix(this.kernel, this.device, [() => undefined, ...callbacks]);
    this.#interrupts = msix ?? setUpLine(this.kernel, this.device, () => this.#line(callbacks));
    let vector = 0;
    for (const [index, { used, indirect }] of wishes.entries()) {
      const own = msix !== undefined && used !== undefined ? ++vector : undefined;
      if (!this.#openQueue(index, indirect === true, own)) return undefined;
      if (used === undefined) this.#opened[index]?.queue.enableInterrupts(false);
    }
    this.transport.setConfigVector(msix === undefined ? VIRTIO_MSI_NO_VECTOR : 0);
    return this.#opened.map(({ queue }) => queue);
  }

  /** DRIVER_OK. */
  ready(): void {
    this.transport.status |= VIRTIO_CONFIG_S_DRIVER_OK;
  }

  kick(index: number): void {
    const queue = this.#opened[index]?.queue;
    if (queue?.kickNeeded() === true) this.transport.notify(index);
  }

  fail(): void {
    this.transport.status |= VIRTIO_CONFIG_S_FAILED;
  }

  /** The device is reset, and everything of it given back. */
  close(): void {
    this.transport.status = 0;
    this.#interrupts?.free();
    this.#interrupts = undefined;
    for (const { memory } of this.#opened.splice(0)) this.#dma.free(memory);
  }

  /** A 64-bit field of the configuration, whole: read again while the device changes it. */
  config64(offset: number): bigint {
    let value = 0n;
    for (let attempt = 0; attempt < CONFIG_ATTEMPTS; attempt++) {
      const before = this.transport.generation();
      const low = this.transport.readConfig(offset, 4);
      const high = this.transport.readConfig(offset + 4, 4);
      value = (BigInt(high) << 32n) | BigInt(low);
      if (this.transport.generation() === before) break;
    }
    return value;
  }

  #openQueue(index: number, indirect: boolean, vector: number | undefined): boolean {
    const size = Math.min(this.transport.queueMax(index), QUEUE_MAX);
    if (size === 0) return false;
    const layout = {
      size,
      features: this.features,
      ...(indirect && this.hasFeature(VIRTIO_RING_F_INDIRECT_DESC)
        ? { indirectEntries: INDIRECT_ENTRIES }
        : {}),
    };
    const memory = this.#dma.allocate(driverQueueParts(layout).bytes);
    if (memory === undefined) return false;
    const queue = makeDriverQueue({
      ...layout,
      memory: this.kernel.platform.memory,
      area: memory.gpa,
      deviceArea: memory.address,
    });
    this.#opened.push({ queue, memory });
    const { descArea: desc, driverArea: driver, deviceArea: device } = queue;
    const place = { size, desc, driver, device };
    return this.transport.setQueue(index, vector === undefined ? place : { ...place, vector });
  }

  /** One line stands for all queues. */
  #line(callbacks: readonly (() => void)[]): void {
    if (this.transport.takeInterrupt() !== 0) for (const used of callbacks) used();
  }
}
