import { hiOf, loOf } from '../../memory/index.ts';
import {
  PCI_CAP_ID_VNDR,
  VIRTIO_PCI_CAP,
  VIRTIO_PCI_CAP_COMMON_CFG,
  VIRTIO_PCI_CAP_DEVICE_CFG,
  VIRTIO_PCI_CAP_ISR_CFG,
  VIRTIO_PCI_CAP_NOTIFY_CFG,
  VIRTIO_PCI_COMMON_CFG,
  VIRTIO_PCI_DEVICE_ID_BASE,
  VIRTIO_PCI_NOTIFY_CAP,
  VIRTIO_PCI_VENDOR_ID,
  VIRTIO_MSI_NO_VECTOR,
} from '../../spec/virtio-pci.ts';
import type { PciFound } from '../pci/function.ts';
import type { MmioAccess } from '../platform.ts';
import type { QueuePlace, VirtioTransport } from './transport.ts';

const AT = VIRTIO_PCI_COMMON_CFG.offsets;
const CAP = VIRTIO_PCI_CAP.offsets;
const LAST_DEVICE_ID = 0x107f;

/** Whether a function is a modern virtio device. */
export function isVirtio({ vendorId, deviceId }: PciFound): boolean {
  return (
    vendorId === VIRTIO_PCI_VENDOR_ID &&
    deviceId > VIRTIO_PCI_DEVICE_ID_BASE &&
    deviceId <= LAST_DEVICE_ID
  );
}

interface Structures {
  readonly common: number;
  readonly isr: number;
  readonly notify: number;
  readonly multiplier: number;
  /** Absent: the device has no configuration. */
  readonly device?: number;
}

/** VIRTIO 1.3, "Virtio Over PCI Bus", the driver's side. */
export class PciDriverTransport implements VirtioTransport {
  readonly name = 'virtio-pci';
  readonly modern = true;
  readonly deviceId: number;
  readonly #bus: MmioAccess;
  readonly #at: Structures;
  readonly #notifyOffsets = new Map<number, number>();

  /** Undefined when capabilities are missing, or in BARs without an address. */
  static of(bus: MmioAccess, found: PciFound): PciDriverTransport | undefined {
    const structures = findStructures(found);
    return structures && new PciDriverTransport(bus, found, structures);
  }

  constructor(bus: MmioAccess, found: PciFound, structures: Structures) {
    this.#bus = bus;
    this.#at = structures;
    this.deviceId = found.deviceId - VIRTIO_PCI_DEVICE_ID_BASE;
  }

  get status(): number {
    return this.#get(AT.device_status, 1);
  }

  set status(value: number) {
    this.#set(AT.device_status, 1, value);
  }

  deviceFeatures(): bigint {
    let features = 0n;
    for (const select of [0, 1]) {
      this.#set(AT.device_feature_select, 4, select);
      features |= BigInt(this.#get(AT.device_feature, 4)) << BigInt(32 * select);
    }
    return features;
  }

  setDriverFeatures(features: bigint): void {
    for (const select of [0, 1]) {
      this.#set(AT.driver_feature_select, 4, select);
      this.#set(AT.driver_feature, 4, select === 1 ? hiOf(features) : loOf(features));
    }
  }

  queueMax(index: number): number {
    if (index >= this.#get(AT.num_queues, 2)) return 0;
    this.#set(AT.queue_select, 2, index);
    return this.#get(AT.queue_size, 2);
  }

  setQueue(index: number, { size, desc, driver, device, vector }: QueuePlace): boolean {
    this.#set(AT.queue_select, 2, index);
    this.#set(AT.queue_size, 2, size);
    const wanted = vector ?? VIRTIO_MSI_NO_VECTOR;
    this.#set(AT.queue_msix_vector, 2, wanted);
    const taken = this.#get(AT.queue_msix_vector, 2) === wanted;
    this.#set(AT.queue_desc_lo, 4, loOf(desc));
    this.#set(AT.queue_desc_hi, 4, hiOf(desc));
    this.#set(AT.queue_driver_lo, 4, loOf(driver));
    this.#set(AT.queue_driver_hi, 4, hiOf(driver));
    this.#set(AT.queue_device_lo, 4, loOf(device));
    this.#set(AT.queue_device_hi, 4, hiOf(device));
    this.#notifyOffsets.set(index, this.#get(AT.queue_notify_off, 2));
    this.#set(AT.queue_enable, 2, 1);
    return taken;
  }

  notify(index: number): void {
    const offset = (this.#notifyOffsets.get(index) ?? index) * this.#at.multiplier;
    this.#bus.write(this.#at.notify + offset, 2, index);
  }

  setConfigVector(vector: number): boolean {
    this.#set(AT.config_msix_vector, 2, vector);
    return this.#get(AT.config_msix_vector, 2) === vector;
  }

  readConfig(offset: number, size: 1 | 2 | 4): number {
    return this.#at.device === undefined ? 0 : this.#bus.read(this.#at.device + offset, size);
  }

  writeConfig(offset: number, size: 1 | 2 | 4, value: number): void {
    if (this.#at.device !== undefined) this.#bus.write(this.#at.device + offset, size, value);
  }

  generation(): number {
    return this.#get(AT.config_generation, 1);
  }

  takeInterrupt(): number {
    return this.#bus.read(this.#at.isr, 1);
  }

  #get(offset: number, size: number): number {
    return this.#bus.read(this.#at.common + offset, size);
  }

  #set(offset: number, size: number, value: number): void {
    this.#bus.write(this.#at.common + offset, size, value >>> 0);
  }
}

/** Of several capabilities of one type a driver takes the first it can use. */
function findStructures({ config, bars }: PciFound): Structures | undefined {
  const places = new Map<number, number>();
  let multiplier = 0;
  for (const at of config.capabilities(PCI_CAP_ID_VNDR)) {
    const type = config.read(at + CAP.cfg_type, 1);
    const index = config.read(at + CAP.bar, 1);
    const base = bars.find((bar) => bar.index === index)?.base;
    if (base === undefined || places.has(type)) continue;
    places.set(type, base + config.read(at + CAP.offset, 4));
    if (type === VIRTIO_PCI_CAP_NOTIFY_CFG) {
      multiplier = config.read(at + VIRTIO_PCI_NOTIFY_CAP.offsets.notify_off_multiplier, 4);
    }
  }
  const common = places.get(VIRTIO_PCI_CAP_COMMON_CFG);
  const isr = places.get(VIRTIO_PCI_CAP_ISR_CFG);
  const notify = places.get(VIRTIO_PCI_CAP_NOTIFY_CFG);
  const device = places.get(VIRTIO_PCI_CAP_DEVICE_CFG);
  if (common === undefined || isr === undefined || notify === undefined) return undefined;
  return { common, isr, notify, multiplier, ...(device === undefined ? {} : { device }) };
}
