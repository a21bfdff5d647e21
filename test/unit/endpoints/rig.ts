import {
  addressOf,
  DirectDma,
  GuestMemory,
  hiOf,
  loOf,
  TRANSLATED,
  TRANSLATION_FAULT,
  TranslatedDma,
  type DmaSpace,
  type Translator,
} from '../../../src/memory/index.ts';
import { VirtioPciFunction, type VirtioPciOptions } from '../../../src/endpoints/index.ts';
import { PciHost } from '../../../src/pci/index.ts';
import { PCI_CAP_ID_MSIX, PCI_CLASS_SP_OTHER } from '../../../src/spec/pci-config.ts';
import {
  PCI_CAP_ID_VNDR,
  VIRTIO_PCI_CAP,
  VIRTIO_PCI_CAP_COMMON_CFG,
  VIRTIO_PCI_CAP_DEVICE_CFG,
  VIRTIO_PCI_CAP_ISR_CFG,
  VIRTIO_PCI_CAP_NOTIFY_CFG,
  VIRTIO_PCI_COMMON_CFG,
} from '../../../src/spec/virtio-pci.ts';
import {
  driverQueueParts,
  makeDriverQueue,
  type BufferSegment,
  type DriverQueue,
  type VirtioDevice,
} from '../../../src/virtio/index.ts';
import { PciGuest } from '../pci/guest.ts';

const PAGE = 0x1000;
const RAM = 0x4000_0000;
const PAGES = 1024;
/** Where IOVAs begin: above 4 GiB, so that upper halves matter. */
const FIRST_IOVA = 0x7_0000_0000;
export const DOORBELL = 0x0802_0040;

/** Maps single pages, each to a page far from its neighbours. */
export class PageTranslator implements Translator {
  epoch = 0;
  startHi = 0;
  startLo = 0;
  endHi = 0;
  endLo = 0;
  physHi = 0;
  physLo = 0;
  flags = 0;
  readonly pages = new Map<number, { phys: number; flags: number }>();
  readonly faults: bigint[] = [];

  translate(_endpoint: number, hi: number, lo: number, _length: number, access: number): number {
    const page = Math.floor((hi * 2 ** 32 + lo) / PAGE);
    const found = this.pages.get(page);
    if (found === undefined || (found.flags & access) !== access) {
      this.faults.push(addressOf(hi, lo));
      return TRANSLATION_FAULT;
    }
    const start = BigInt(page * PAGE);
    [this.startHi, this.startLo] = [hiOf(start), loOf(start)];
    [this.endHi, this.endLo] = [hiOf(start), loOf(start) + PAGE - 1];
    [this.physHi, this.physLo] = [0, found.phys];
    this.flags = found.flags;
    return TRANSLATED;
  }

  refused(_endpoint: number, hi: number, lo: number): void {
    this.faults.push(addressOf(hi, lo));
  }
}

/** Guest memory, allocated where the device finds it: at its own address, or behind scattered pages. */
export class Arena {
  readonly ram = new Uint8Array(PAGES * PAGE);
  readonly memory = new GuestMemory([{ gpa: BigInt(RAM), bytes: this.ram }]);
  /** The device's IOMMU, when there is one; the CPU has all pages of its own table always. */
  readonly iommu = new PageTranslator();
  readonly messages: { address: number; value: number }[] = [];
  readonly device: DmaSpace;
  readonly cpu: DmaSpace;
  readonly #mmu = new PageTranslator();
  readonly #translated: boolean;
  #pages = 0;
  #iova = FIRST_IOVA;

  constructor(translated: boolean) {
    const doorbell = (hi: number, lo: number, value: number): boolean => {
      this.messages.push({ address: hi * 2 ** 32 + lo, value });
      return hi === 0 && lo === DOORBELL;
    };
    this.#translated = translated;
    const { memory } = this;
    this.device = translated
      ? new TranslatedDma(memory, this.iommu, 8, doorbell)
      : new DirectDma(memory, doorbell);
    this.cpu = translated ? new TranslatedDma(memory, this.#mmu, 0) : memory;
    this.iommu.pages.set(Math.floor(DOORBELL / PAGE), { phys: DOORBELL - 0x40, flags: 2 });
  }

  /** Address of `length` fresh bytes, page-aligned. */
  alloc(length: number): bigint {
    const count = Math.ceil(length / PAGE);
    const first = this.#translated ? this.#iova : RAM + this.#pages * PAGE;
    for (let i = 0; i < count; i++) {
      // 383 is odd: every page of the RAM comes once.
      const index = this.#translated ? (this.#pages * 383) % PAGES : this.#pages;
      this.#pages++;
      if (this.#pages > PAGES) throw new RangeError('the test needs more memory');
      const entry = { phys: RAM + index * PAGE, flags: 3 };
      this.#mmu.pages.set(first / PAGE + i, entry);
      this.iommu.pages.set(first / PAGE + i, { ...entry });
    }
    // A hole after each allocation, so that an overrun is a fault.
    this.#iova += (count + 1) * PAGE;
    return BigInt(first);
  }

  /** UNMAP: the device cannot reach the page any more. */
  unmap(address: bigint): void {
    this.iommu.pages.delete(Number(address) / PAGE);
    this.iommu.epoch++;
  }

  put(address: bigint, bytes: Uint8Array): void {
    this.cpu.write(hiOf(address), loOf(address), bytes);
  }

  get(address: bigint, length: number): Uint8Array {
    const out = new Uint8Array(length);
    this.cpu.read(hiOf(address), loOf(address), out);
    return out;
  }

  /** Fresh memory with these bytes, as a segment. */
  hold(bytes: Uint8Array): BufferSegment {
    const address = this.alloc(bytes.length);
    this.put(address, bytes);
    return segment(address, bytes.length);
  }
}

export function segment(address: bigint, length: number): BufferSegment {
  return { hi: hiOf(address), lo: loOf(address), length };
}

export function addressIn({ hi, lo }: BufferSegment): bigint {
  return addressOf(hi, lo);
}

const COMMON = VIRTIO_PCI_COMMON_CFG.offsets;
const CAP = VIRTIO_PCI_CAP.offsets;
export const RID = 0x0018;

export interface RigOptions extends Partial<Omit<VirtioPciOptions, 'dma'>> {
  readonly translated?: boolean;
}

/** A virtio device on a PCI bus, and a driver that finds it as Linux does. */
export class VirtioRig {
  readonly arena: Arena;
  readonly host: PciHost;
  readonly guest: PciGuest;
  readonly function: VirtioPciFunction;
  readonly queues: DriverQueue[] = [];
  readonly lines: boolean[] = [false, false, false, false];
  /** Structures by cfg_type: address on the bus. */
  readonly at = new Map<number, number>();
  features = 0n;

  constructor(device: VirtioDevice, options: RigOptions = {}) {
    const { translated = false } = options;
    this.arena = new Arena(translated);
    this.host = new PciHost({
      segment: 0,
      buses: { start: 0, end: 0 },
      windows: [{ start: 0x1000_0000n, end: 0x1fff_ffffn }],
      intx: (line, level) => void (this.lines[line] = level),
    });
    this.function = new VirtioPciFunction(device, {
      name: 'device',
      classCode: PCI_CLASS_SP_OTHER,
      accessPlatform: translated ? 'demanded' : 'absent',
      ...options,
      dma: this.arena.device,
    });
    this.host.root.plug(RID & 0xff, this.function.fn);
    this.guest = new PciGuest(this.host, 0x1000_0000);
    const bars = this.guest.assign(RID);
    for (const { id, at } of this.guest.capabilities(RID)) {
      if (id !== PCI_CAP_ID_VNDR) continue;
      const type = this.guest.read(RID, at + CAP.cfg_type, 1);
      const bar = bars.get(this.guest.read(RID, at + CAP.bar, 1)) ?? 0;
      if (!this.at.has(type)) this.at.set(type, bar + this.guest.read(RID, at + CAP.offset, 4));
    }
    this.msixTable = bars.get(1) ?? 0;
  }

  readonly msixTable: number;

  /** Points every vector at the doorbell, data being its number plus 100, and turns MSI-X on. */
  enableMsix(): void {
    const at = this.guest.capability(RID, PCI_CAP_ID_MSIX);
    const count = (this.guest.read(RID, at + 2, 2) & 0x7ff) + 1;
    for (let vector = 0; vector < count; vector++) {
      const entry = this.msixTable + 16 * vector;
      this.host.write(entry, 4, DOORBELL);
      this.host.write(entry + 4, 4, 0);
      this.host.write(entry + 8, 4, 100 + vector);
      this.host.write(entry + 12, 4, 0);
    }
    this.guest.write(RID, at + 2, 2, 0x8000);
  }

  common(name: keyof typeof COMMON, size: 1 | 2 | 4): number {
    return this.host.read((this.at.get(VIRTIO_PCI_CAP_COMMON_CFG) ?? 0) + COMMON[name], size);
  }

  setCommon(name: keyof typeof COMMON, size: 1 | 2 | 4, value: number): void {
    this.host.write((this.at.get(VIRTIO_PCI_CAP_COMMON_CFG) ?? 0) + COMMON[name], size, value);
  }

  isr(): number {
    return this.host.read(this.at.get(VIRTIO_PCI_CAP_ISR_CFG) ?? 0, 1);
  }

  config(offset: number, size: 1 | 2 | 4): number {
    return this.host.read((this.at.get(VIRTIO_PCI_CAP_DEVICE_CFG) ?? 0) + offset, size);
  }

  notify(queue: number): void {
    const at = this.at.get(VIRTIO_PCI_CAP_NOTIFY_CFG) ?? 0;
    this.host.write(at + 4 * queue, 2, queue);
  }

  /** Negotiates, sets up all queues, DRIVER_OK; false when FEATURES_OK did not stay. */
  start(without = 0n): boolean {
    for (const status of [0, 1, 3]) this.setCommon('device_status', 1, status);
    this.features = 0n;
    for (const word of [0, 1]) {
      this.setCommon('device_feature_select', 4, word);
      this.features |= BigInt(this.common('device_feature', 4)) << BigInt(32 * word);
    }
    this.features &= ~without;
    for (const word of [0, 1]) {
      this.setCommon('driver_feature_select', 4, word);
      const bits = Number((this.features >> BigInt(32 * word)) & 0xffff_ffffn);
      this.setCommon('driver_feature', 4, bits);
    }
    this.setCommon('device_status', 1, 11);
    if ((this.common('device_status', 1) & 8) === 0) return false;
    for (let index = 0; index < this.common('num_queues', 2); index++) this.#queue(index);
    this.setCommon('device_status', 1, 15);
    return true;
  }

  /** Adds a buffer, tells the device, answers what came back used. */
  run(
    queue: number,
    readable: readonly BufferSegment[],
    writable: readonly BufferSegment[],
  ): number | undefined {
    const driver = this.queues[queue];
    driver?.add(readable, writable);
    this.notify(queue);
    return driver?.poll()?.length;
  }

  #queue(index: number): void {
    const { features } = this;
    this.setCommon('queue_select', 2, index);
    const size = this.common('queue_size', 2);
    const { bytes } = driverQueueParts({ size, features });
    const queue = makeDriverQueue({
      memory: this.arena.cpu,
      area: this.arena.alloc(bytes),
      size,
      features,
    });
    this.queues[index] = queue;
    const parts = [
      ['queue_desc_lo', 'queue_desc_hi', queue.descArea],
      ['queue_driver_lo', 'queue_driver_hi', queue.driverArea],
      ['queue_device_lo', 'queue_device_hi', queue.deviceArea],
    ] as const;
    for (const [low, high, address] of parts) {
      this.setCommon(low, 4, loOf(address));
      this.setCommon(high, 4, hiOf(address));
    }
    this.setCommon('queue_msix_vector', 2, index + 1);
    this.setCommon('queue_enable', 2, 1);
  }
}
