import { buildMachine, type Machine } from '../../src/machine/index.ts';
import type { GuestPlatform, PlatformInterrupt } from '../../src/driver/index.ts';
import { GuestMemory } from '../../src/memory/index.ts';
import {
  PCI_BASE_ADDRESS_0,
  PCI_CAP_ID_MSIX,
  PCI_CAPABILITY_LIST,
  PCI_INTERRUPT_PIN,
  PCI_STD_NUM_BARS,
} from '../../src/spec/pci-config.ts';
import {
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
} from '../../src/spec/vfio-user.ts';
import { deviceIdBase, type Model } from '../../src/topology/index.ts';
import type { ServedFunction } from '../../src/vfio-user/index.ts';
import { VfioClient } from './vfio-client.ts';
import { closeFd, makeEventfd, mapShared, memfd, takeCount } from './vfio-ffi.ts';

const CONFIG = VFIO_PCI_CONFIG_REGION_INDEX;
const SET_FDS = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_EVENTFD;
const MSIX_ENABLE = 0x8000;

interface RemoteBar {
  readonly index: number;
  readonly size: number;
  readonly wide: boolean;
  readonly type: number;
}

/** A function as QEMU's vfio-user-pci has it: BARs, MSI-X table and masks are the VMM's own. */
class RemoteFunction {
  readonly client: VfioClient;
  readonly served: ServedFunction;
  readonly bars: readonly RemoteBar[];
  readonly pin: number;
  readonly line: number;
  readonly #registers = new Uint32Array(PCI_STD_NUM_BARS);
  readonly #fds: number[] = [];
  readonly #intxFd: number | undefined;
  #msix: { readonly at: number; readonly bar: number; readonly table: DataView } | undefined;
  #enabled = false;
  #level = false;

  constructor(served: ServedFunction, ram: { fd: number; size: number; gpa: bigint }) {
    const client = VfioClient.open(served.socket);
    this.client = client;
    this.served = served;
    if (client.map(ram.gpa, BigInt(ram.size), 0n, ram.fd) !== 0) throw new Error('DMA_MAP');
    const bars: RemoteBar[] = [];
    for (let index = 0; index < PCI_STD_NUM_BARS; index++) {
      const size = client.regionSize(index);
      if (size === 0) continue;
      const type = client.read(CONFIG, PCI_BASE_ADDRESS_0 + 4 * index, 4) & 0xf;
      bars.push({ index, size, type, wide: (type & 4) !== 0 });
    }
    this.bars = bars;
    this.#findMsix();
    this.pin = client.read(CONFIG, PCI_INTERRUPT_PIN, 1);
    this.line = (((served.rid >> 3) & 31) + this.pin - 1) % 4;
    if (this.pin !== 0) {
      this.#intxFd = makeEventfd();
      client.setIrqs(SET_FDS, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, [this.#intxFd]);
    }
  }

  configRead(offset: number, size: number): number {
    const bar = Math.floor((offset - PCI_BASE_ADDRESS_0) / 4);
    if (bar < 0 || bar >= PCI_STD_NUM_BARS) return this.client.read(CONFIG, offset, size);
    return ((this.#registers[bar] ?? 0) >>> (8 * (offset % 4))) & (2 ** (8 * size) - 1);
  }

  configWrite(offset: number, size: number, value: number): void {
    const index = Math.floor((offset - PCI_BASE_ADDRESS_0) / 4);
    this.client.write(CONFIG, offset, size, value);
    if (index >= 0 && index < PCI_STD_NUM_BARS) this.#setBar(index, value);
    const msix = this.#msix;
    if (msix === undefined || offset + size <= msix.at + 2 || offset > msix.at + 3) return;
    this.#switch((this.client.read(CONFIG, msix.at + 2, 2) & MSIX_ENABLE) !== 0);
  }

  /** The BAR that an address is in, and the offset there. */
  find(address: number): { readonly bar: RemoteBar; readonly offset: number } | undefined {
    for (const bar of this.bars) {
      const high = bar.wide ? (this.#registers[bar.index + 1] ?? 0) : 0;
      const base = high * 2 ** 32 + (((this.#registers[bar.index] ?? 0) & ~0xf) >>> 0);
      const offset = address - base;
      if (base !== 0 && offset >= 0 && offset < bar.size) return { bar, offset };
    }
    return undefined;
  }

  read(bar: number, offset: number, size: number): number {
    const table = this.#msix?.bar === bar ? this.#msix.table : undefined;
    const value =
      table === undefined ? this.client.read(bar, offset, size) : table.getUint32(offset, true);
    this.#handled();
    return value;
  }

  write(bar: number, offset: number, size: number, value: number): void {
    if (this.#msix?.bar === bar) this.#msix.table.setUint32(offset, value, true);
    else this.client.write(bar, offset, size, value, true);
    this.#handled();
  }

  /** Messages that came, as address and data. */
  messages(): { address: bigint; data: number }[] {
    const { table } = this.#msix ?? {};
    if (table === undefined) return [];
    return this.#fds.flatMap((fd, vector) => {
      if (takeCount(fd) === 0) return [];
      const address = table.getBigUint64(16 * vector, true);
      return [{ address, data: table.getUint32(16 * vector + 8, true) }];
    });
  }

  /** Whether the INTx line came up since the last call. */
  pinRose(): boolean {
    if (this.#intxFd === undefined || takeCount(this.#intxFd) === 0) return false;
    this.#level = true;
    return true;
  }

  close(): void {
    this.client.close();
    for (const fd of this.#fds.splice(0)) closeFd(fd);
    if (this.#intxFd !== undefined) closeFd(this.#intxFd);
  }

  /** QEMU takes any access to a BAR for the end of an INTx. */
  #handled(): void {
    if (!this.#level) return;
    this.#level = false;
    const flags = VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_DATA_NONE;
    this.client.setIrqs(flags, VFIO_PCI_INTX_IRQ_INDEX, 0, 1);
  }

  #setBar(index: number, value: number): void {
    const low = this.bars.find((bar) => bar.index === index);
    const high = this.bars.some((bar) => bar.wide && bar.index === index - 1);
    if (low !== undefined) {
      this.#registers[index] = ((value & -low.size) | low.type) >>> 0;
    } else if (high) this.#registers[index] = value;
  }

  #findMsix(): void {
    const { client } = this;
    let at = client.read(CONFIG, PCI_CAPABILITY_LIST, 1);
    for (let count = 0; at !== 0 && count < 48; count++) {
      if (client.read(CONFIG, at, 1) === PCI_CAP_ID_MSIX) {
        const bar = client.read(CONFIG, at + 4, 4) & 7;
        const size = this.bars.find(({ index }) => index === bar)?.size ?? 0x1000;
        this.#msix = { at, bar, table: new DataView(new ArrayBuffer(size)) };
      }
      at = client.read(CONFIG, at + 1, 1);
    }
  }

  /** As QEMU: one vector without a descriptor, all off, then all with theirs. */
  #switch(on: boolean): void {
    if (on === this.#enabled) return;
    this.#enabled = on;
    const index = VFIO_PCI_MSIX_IRQ_INDEX;
    const off = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_NONE;
    for (const fd of this.#fds.splice(0)) closeFd(fd);
    if (!on) {
      this.client.setIrqs(off, index, 0, 0);
      return;
    }
    const count = this.client.irqCount(index);
    this.client.setIrqs(SET_FDS, index, 0, 1);
    this.client.setIrqs(off, index, 0, 0);
    this.#fds.push(...Array.from({ length: count }, makeEventfd));
    this.client.setIrqs(SET_FDS, index, 0, count, this.#fds);
  }
}

/**
 * A VMM in miniature, for root buses: RAM in a memfd, functions that are elsewhere, and everything
 * that is not PCI from a machine of ours. What runs on it is the model guest.
 */
export class TestVmm {
  readonly functions: readonly RemoteFunction[];
  readonly memory: GuestMemory;
  readonly platform: GuestPlatform;
  readonly #model: Model;
  readonly #board: Machine;
  readonly #ram: { fd: number; size: number; gpa: bigint; release: () => void };
  readonly #waiting: PlatformInterrupt[] = [];

  /** @param shared false: the guest runs in other pages than those that are passed, as with share=off */
  constructor(model: Model, served: readonly ServedFunction[], shared = true) {
    this.#model = model;
    const [range] = model.memory;
    if (range === undefined) throw new Error('no RAM');
    const size = Number(range.end - range.start + 1n);
    const fd = memfd(size);
    const { bytes, release } = shared
      ? mapShared(fd, size)
      : { bytes: new Uint8Array(size), release: () => undefined };
    // What a boot loader leaves: without it RAM looks as if no guest ran.
    bytes.set(Buffer.from('a kernel'), 0);
    this.#ram = { fd, size, gpa: range.start, release };
    this.memory = new GuestMemory([{ gpa: range.start, bytes }]);
    this.#board = buildMachine(model, { memory: this.memory });
    this.functions = served.map((one) => new RemoteFunction(one, this.#ram));
    this.platform = {
      memory: this.memory,
      bus: {
        read: (address, width) => this.#read(address, width),
        write: (address, width, value) => this.#write(address, width, value),
      },
      takeInterrupts: () => {
        this.#collect();
        return this.#waiting.splice(0);
      },
      run: () => this.#run(),
    };
  }

  close(): void {
    for (const one of this.functions) one.close();
    this.memory.setWindows([]);
    closeFd(this.#ram.fd);
    this.#ram.release();
  }

  #read(address: number, size: number): number {
    const config = this.#config(address);
    if (config === null) return 2 ** (8 * size) - 1;
    if (config !== undefined) return config.fn.configRead(config.offset, size);
    for (const fn of this.functions) {
      const found = fn.find(address);
      if (found) return fn.read(found.bar.index, found.offset, size);
    }
    return this.#board.bus.read(address, size);
  }

  #write(address: number, size: number, value: number): void {
    const config = this.#config(address);
    if (config === null) return;
    if (config !== undefined) {
      config.fn.configWrite(config.offset, size, value);
      return;
    }
    for (const fn of this.functions) {
      const found = fn.find(address);
      if (!found) continue;
      fn.write(found.bar.index, found.offset, size, value);
      return;
    }
    this.#board.bus.write(address, size, value);
  }

  /** Null: configuration space of nobody. Undefined: not configuration space. */
  #config(address: number): { fn: RemoteFunction; offset: number } | null | undefined {
    for (const host of this.#model.hosts) {
      const offset = address - Number(host.ecam.start);
      if (offset < 0 || address > Number(host.ecam.end)) continue;
      const rid = (host.buses.start << 8) + (offset >>> 12);
      const fn = this.functions.find(
        ({ served }) => served.segment === host.segment && served.rid === rid,
      );
      return fn === undefined ? null : { fn, offset: offset & 0xfff };
    }
    return undefined;
  }

  #collect(): void {
    for (const fn of this.functions) {
      for (const one of fn.messages()) this.#waiting.push(this.#interrupt(fn.served, one));
      if (fn.pinRose()) this.#waiting.push({ kind: 'line', number: 3 + fn.line, level: true });
    }
  }

  #interrupt(
    served: ServedFunction,
    { address, data }: { address: bigint; data: number },
  ): PlatformInterrupt {
    const bell = this.#model.doorbells.find(
      ({ frame }) => address >= frame.start && address <= frame.end,
    );
    const host = this.#model.hosts.find(({ id }) => id === served.host);
    if (bell === undefined || host === undefined) throw new Error(`no doorbell at ${address}`);
    if (bell.kind === 'gicv2m') return { kind: 'edge', number: data - 32 };
    if (bell.kind === 'its') {
      const deviceId = deviceIdBase(this.#model, host) + served.rid;
      return { kind: 'its', deviceId, eventId: data };
    }
    return { kind: 'apic', destination: 0, vector: data & 0xff };
  }

  /**
   * Devices run by themselves. A load from each waits for what was posted, and the second for what
   * was put off then; if no interrupt has come by that time, nothing happens any more.
   */
  #run(): boolean {
    for (let round = 0; round < 2; round++) {
      for (const { client } of this.functions) client.read(CONFIG, 0, 2);
    }
    this.#collect();
    return this.#waiting.length > 0;
  }
}
