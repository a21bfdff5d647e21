import {
  ACCESS_READ,
  ACCESS_WRITE,
  DirectDma,
  GuestMemory,
  hiOf,
  loOf,
  TRANSLATED,
  TranslatedDma,
  TRANSLATION_FAULT,
  TRANSLATION_MSI,
  type DmaSpace,
  type Translator,
} from '../../src/memory/index.ts';
import {
  makeDeviceQueue,
  makeDriverQueue,
  type BufferSegment,
  type DeviceQueue,
  type DriverQueue,
  type QueueError,
  type QueueLayout,
} from '../../src/virtio/index.ts';

/** An IOMMU of a few pages: what the real one is to `TranslatedDma`, in the plainest way. */
export class PageTranslator implements Translator {
  epoch = 0;
  startHi = 0;
  startLo = 0;
  endHi = 0;
  endLo = 0;
  physHi = 0;
  physLo = 0;
  flags = 0;
  translations = 0;
  readonly faults: string[] = [];
  readonly refusals: string[] = [];
  readonly #pages = new Map<bigint, { physical: bigint; flags: number }>();
  #msi: { start: bigint; end: bigint } | undefined;

  readonly page: bigint;

  constructor(page = 0x1000n) {
    this.page = page;
  }

  map(
    iova: bigint,
    physical: bigint,
    pages = 1n,
    flags: number = ACCESS_READ | ACCESS_WRITE,
  ): this {
    for (let i = 0n; i < pages; i++) {
      this.#pages.set(iova / this.page + i, { physical: physical + i * this.page, flags });
    }
    this.epoch++;
    return this;
  }

  unmap(iova: bigint): void {
    this.#pages.delete(iova / this.page);
    this.epoch++;
  }

  msi(start: bigint, end: bigint): void {
    this.#msi = { start, end };
    this.epoch++;
  }

  translate(endpoint: number, hi: number, lo: number, length: number, access: number): number {
    this.translations++;
    const address = (BigInt(hi) << 32n) | BigInt(lo);
    if (this.#msi && address >= this.#msi.start && address <= this.#msi.end) return TRANSLATION_MSI;
    const page = this.#pages.get(address / this.page);
    if (page === undefined || (page.flags & access) !== access) {
      this.faults.push(`${endpoint}: ${access} at 0x${address.toString(16)}+${length}`);
      return TRANSLATION_FAULT;
    }
    const start = address - (address % this.page);
    [this.startHi, this.startLo] = [hiOf(start), loOf(start)];
    [this.endHi, this.endLo] = [hiOf(start + this.page - 1n), loOf(start + this.page - 1n)];
    [this.physHi, this.physLo] = [hiOf(page.physical), loOf(page.physical)];
    this.flags = page.flags;
    return TRANSLATED;
  }

  refused(endpoint: number, hi: number, lo: number, access: number): void {
    const address = (BigInt(hi) << 32n) | BigInt(lo);
    this.refusals.push(`${endpoint}: ${access} at 0x${address.toString(16)}`);
  }
}

export const RAM = 0xffff_8000n;
export const RAM_BYTES = 0x4_0000;

/** Memory in two windows that meet at an odd place, across the 4 GiB border. */
export function twoWindows(): GuestMemory {
  const first = 0x8123;
  return new GuestMemory([
    { gpa: RAM, bytes: new Uint8Array(first) },
    { gpa: RAM + BigInt(first), bytes: new Uint8Array(RAM_BYTES - first) },
  ]);
}

/** Both ends of one queue over the same memory. */
export interface QueuePair {
  readonly memory: GuestMemory;
  readonly driver: DriverQueue;
  readonly device: DeviceQueue;
  readonly layout: QueueLayout;
  readonly dma: DmaSpace;
  /** Mistakes that the device's side met. */
  readonly errors: QueueError[];
  /** Device address of a GPA. */
  readonly toDevice: (gpa: bigint) => bigint;
  readonly segment: (gpa: bigint, length: number) => BufferSegment;
}

export interface PairOptions {
  readonly size: number;
  readonly features: bigint;
  readonly indirectEntries?: number;
  readonly translated?: boolean;
  readonly area?: bigint;
}

/** IOVAs of translated pairs; pages come in reverse order, so that nothing is contiguous. */
const IOVA = 0xffff_ffff_fff0_0000n;

export function queuePair(options: PairOptions): QueuePair {
  const memory = twoWindows();
  const { size, features, indirectEntries = 0, translated = false, area = RAM + 0x40n } = options;
  const errors: QueueError[] = [];
  let dma: DmaSpace = new DirectDma(memory);
  let toDevice = (gpa: bigint): bigint => gpa;
  let cpu: DmaSpace = memory;
  let cpuArea = area;
  if (translated) {
    const translator = new PageTranslator();
    const pages = BigInt(RAM_BYTES) / 0x1000n;
    for (let i = 0n; i < pages; i++) {
      translator.map(IOVA + i * 0x1000n, RAM + (pages - 1n - i) * 0x1000n);
    }
    // The driver's own view is the contiguous one, as of a kernel's virtual addresses.
    dma = new TranslatedDma(memory, translator, 8);
    cpu = new TranslatedDma(memory, translator, 9);
    toDevice = (gpa) => gpa - RAM + IOVA;
    cpuArea = toDevice(area);
  }
  const driver = makeDriverQueue({
    memory: cpu,
    area: cpuArea,
    size,
    features,
    indirectEntries,
  });
  const layout = layoutOf(driver);
  const device = makeDeviceQueue(layout, features, dma, (error) => errors.push(error));
  return {
    memory,
    driver,
    device,
    layout,
    dma,
    errors,
    toDevice,
    segment: (gpa, length) => {
      const address = toDevice(gpa);
      return { hi: hiOf(address), lo: loOf(address), length };
    },
  };
}

/** What a driver would write to a transport's registers. */
export function layoutOf(driver: DriverQueue, index = 0): QueueLayout {
  return {
    index,
    size: driver.size,
    descHi: hiOf(driver.descArea),
    descLo: loOf(driver.descArea),
    driverHi: hiOf(driver.driverArea),
    driverLo: loOf(driver.driverArea),
    deviceHi: hiOf(driver.deviceArea),
    deviceLo: loOf(driver.deviceArea),
  };
}
