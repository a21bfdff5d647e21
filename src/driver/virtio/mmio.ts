import { hiOf, loOf } from '../../memory/index.ts';
import {
  VIRTIO_MMIO_CONFIG,
  VIRTIO_MMIO_CONFIG_GENERATION,
  VIRTIO_MMIO_DEVICE_FEATURES,
  VIRTIO_MMIO_DEVICE_FEATURES_SEL,
  VIRTIO_MMIO_DEVICE_ID,
  VIRTIO_MMIO_DRIVER_FEATURES,
  VIRTIO_MMIO_DRIVER_FEATURES_SEL,
  VIRTIO_MMIO_INTERRUPT_ACK,
  VIRTIO_MMIO_INTERRUPT_STATUS,
  VIRTIO_MMIO_MAGIC,
  VIRTIO_MMIO_MAGIC_VALUE,
  VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
  VIRTIO_MMIO_QUEUE_AVAIL_LOW,
  VIRTIO_MMIO_QUEUE_DESC_HIGH,
  VIRTIO_MMIO_QUEUE_DESC_LOW,
  VIRTIO_MMIO_QUEUE_NOTIFY,
  VIRTIO_MMIO_QUEUE_NUM,
  VIRTIO_MMIO_QUEUE_NUM_MAX,
  VIRTIO_MMIO_QUEUE_READY,
  VIRTIO_MMIO_QUEUE_SEL,
  VIRTIO_MMIO_QUEUE_USED_HIGH,
  VIRTIO_MMIO_QUEUE_USED_LOW,
  VIRTIO_MMIO_STATUS,
  VIRTIO_MMIO_VERSION,
} from '../../spec/virtio-mmio.ts';
import type { MmioAccess } from '../platform.ts';
import type { QueuePlace, VirtioTransport } from './transport.ts';

/** VIRTIO 1.3, "Virtio Over MMIO", the driver's side. */
export class MmioDriverTransport implements VirtioTransport {
  readonly name = 'virtio-mmio';
  readonly deviceId: number;
  readonly modern: boolean;
  readonly #bus: MmioAccess;
  readonly #base: number;

  /** Undefined when no transport answers there. */
  static at(bus: MmioAccess, base: number): MmioDriverTransport | undefined {
    const magic = bus.read(base + VIRTIO_MMIO_MAGIC_VALUE, 4);
    return magic === VIRTIO_MMIO_MAGIC ? new MmioDriverTransport(bus, base) : undefined;
  }

  constructor(bus: MmioAccess, base: number) {
    this.#bus = bus;
    this.#base = base;
    this.modern = this.#read(VIRTIO_MMIO_VERSION) >= 2;
    this.deviceId = this.#read(VIRTIO_MMIO_DEVICE_ID);
  }

  get status(): number {
    return this.#read(VIRTIO_MMIO_STATUS);
  }

  set status(value: number) {
    this.#write(VIRTIO_MMIO_STATUS, value);
  }

  deviceFeatures(): bigint {
    let features = 0n;
    for (const select of [0, 1]) {
      this.#write(VIRTIO_MMIO_DEVICE_FEATURES_SEL, select);
      features |= BigInt(this.#read(VIRTIO_MMIO_DEVICE_FEATURES)) << BigInt(32 * select);
    }
    return this.modern ? features : features & 0xffff_ffffn;
  }

  setDriverFeatures(features: bigint): void {
    for (const select of [1, 0]) {
      this.#write(VIRTIO_MMIO_DRIVER_FEATURES_SEL, select);
      this.#write(VIRTIO_MMIO_DRIVER_FEATURES, select === 1 ? hiOf(features) : loOf(features));
    }
  }

  queueMax(index: number): number {
    this.#write(VIRTIO_MMIO_QUEUE_SEL, index);
    return this.#read(VIRTIO_MMIO_QUEUE_NUM_MAX);
  }

  setQueue(index: number, { size, desc, driver, device }: QueuePlace): boolean {
    this.#write(VIRTIO_MMIO_QUEUE_SEL, index);
    this.#write(VIRTIO_MMIO_QUEUE_NUM, size);
    this.#write(VIRTIO_MMIO_QUEUE_DESC_LOW, loOf(desc));
    this.#write(VIRTIO_MMIO_QUEUE_DESC_HIGH, hiOf(desc));
    this.#write(VIRTIO_MMIO_QUEUE_AVAIL_LOW, loOf(driver));
    this.#write(VIRTIO_MMIO_QUEUE_AVAIL_HIGH, hiOf(driver));
    this.#write(VIRTIO_MMIO_QUEUE_USED_LOW, loOf(device));
    this.#write(VIRTIO_MMIO_QUEUE_USED_HIGH, hiOf(device));
    this.#write(VIRTIO_MMIO_QUEUE_READY, 1);
    return true;
  }

  notify(index: number): void {
    this.#write(VIRTIO_MMIO_QUEUE_NOTIFY, index);
  }

  /** There are no vectors. */
  setConfigVector(): boolean {
    return true;
  }

  readConfig(offset: number, size: 1 | 2 | 4): number {
    return this.#bus.read(this.#base + VIRTIO_MMIO_CONFIG + offset, size);
  }

  writeConfig(offset: number, size: 1 | 2 | 4, value: number): void {
    this.#bus.write(this.#base + VIRTIO_MMIO_CONFIG + offset, size, value);
  }

  generation(): number {
    return this.#read(VIRTIO_MMIO_CONFIG_GENERATION);
  }

  takeInterrupt(): number {
    const bits = this.#read(VIRTIO_MMIO_INTERRUPT_STATUS);
    if (bits !== 0) this.#write(VIRTIO_MMIO_INTERRUPT_ACK, bits);
    return bits;
  }

  #read(offset: number): number {
    return this.#bus.read(this.#base + offset, 4);
  }

  #write(offset: number, value: number): void {
    this.#bus.write(this.#base + offset, 4, value >>> 0);
  }
}
