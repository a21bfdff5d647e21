import { showRange, type Range } from '../bytes/index.ts';
import { PCI_INTERRUPT_PINS } from '../spec/pci-config.ts';
import { showBdf } from '../spec/pci.ts';
import { PciBus } from './bus.ts';
import type { PciFunction, PciFunctionState } from './function.ts';
import { MmioMap } from './mmio-map.ts';

/** Bytes of ECAM for a bus, a device and a function. */
const ECAM_BUS_SHIFT = 20;
const ECAM_FUNCTION_SHIFT = 12;
const ECAM_REGISTER_MASK = 0xfff;

export interface PciHostOptions {
  /** PCI segment group. */
  readonly segment: number;
  /** Bus numbers behind it, both included; its own is the first. */
  readonly buses: Range<number>;
  /** Addresses that it forwards to its bus, identity-mapped; below 2^53. */
  readonly windows: readonly Range[];
  /**
   * One of the four INTx lines changed, several functions wired together. Line n serves pin p of the
   * devices d with (d + p - 1) % 4 = n: the turn that device trees of `virt` state.
   */
  readonly intx?: (line: number, level: boolean) => void;
}

/** All functions of a host, as plain data, by their place. */
export interface PciHostState {
  readonly functions: Readonly<Record<string, PciFunctionState>>;
}

/**
 * A PCI host bridge: an ECAM window (PCI Express Base 5.0, 7.2.2), memory windows, a root bus.
 *
 * Addresses on the bus are numbers: a window ends below 2^53. Loads and stores are 1, 2 or 4 bytes at
 * any address; where nobody answers, loads give ones and stores are lost, as a master abort does.
 */
export class PciHost {
  readonly segment: number;
  readonly buses: Range<number>;
  readonly root: PciBus;
  readonly #windows: readonly Range<number>[];
  readonly #map = new MmioMap();
  #stale = true;
  /** Functions that hold each line. */
  readonly #lines: number[] = Array.from({ length: PCI_INTERRUPT_PINS }, () => 0);
  readonly #intx: ((line: number, level: boolean) => void) | undefined;

  /** @throws RangeError on windows that pass 2^53 or buses that are none: our own mistake */
  constructor(options: PciHostOptions) {
    const { start, end } = options.buses;
    if (start < 0 || end > 0xff || start > end)
      throw new RangeError(`buses ${showRange({ start, end })}`);
    this.segment = options.segment;
    this.buses = options.buses;
    this.#intx = options.intx;
    this.#windows = options.windows.map((window) => {
      if (window.end > BigInt(Number.MAX_SAFE_INTEGER)) {
        throw new RangeError(`a window at ${showRange(window)} passes 2^53`);
      }
      return { start: Number(window.start), end: Number(window.end) };
    });
    this.root = new PciBus({
      number: start,
      isRoot: true,
      sourceOf: (rid) => rid,
      decodeChanged: () => void (this.#stale = true),
      intx: (devfn, pin, level) => this.#pin(devfn, pin, level),
    });
  }

  /** Bytes of the ECAM window. */
  get ecamSize(): number {
    return (this.buses.end - this.buses.start + 1) << ECAM_BUS_SHIFT;
  }

  /** A load from ECAM: `offset` counts from the configuration space of the first bus. */
  ecamRead(offset: number, size: number): number {
    const fn = this.find(this.#ecamRid(offset));
    return fn ? fn.config.read(offset & ECAM_REGISTER_MASK, size) : ones(size);
  }

  ecamWrite(offset: number, size: number, value: number): void {
    this.find(this.#ecamRid(offset))?.config.write(offset & ECAM_REGISTER_MASK, size, value);
  }

  /** A configuration load by requester ID, for guests without ECAM. */
  configRead(rid: number, offset: number, size: number): number {
    return this.find(rid)?.config.read(offset, size) ?? ones(size);
  }

  configWrite(rid: number, offset: number, size: number, value: number): void {
    this.find(rid)?.config.write(offset, size, value);
  }

  /** The function that answers to a requester ID, with the bus numbers as they are now. */
  find(rid: number): PciFunction | undefined {
    const bus = rid >> 8;
    if (bus < this.buses.start || bus > this.buses.end) return undefined;
    return this.root.find(bus, rid & 0xff);
  }

  /** Whether the address is in one of its windows. */
  claims(address: number): boolean {
    return this.#windows.some(({ start, end }) => address >= start && address <= end);
  }

  /** A load from a memory window. */
  read(address: number, size: number): number {
    const claim = this.#claim(address);
    if (claim === undefined || address + size - 1 > claim.end) return ones(size);
    return claim.region.read(address - claim.base, size) >>> 0;
  }

  /** A store to a memory window. */
  write(address: number, size: number, value: number): void {
    const claim = this.#claim(address);
    if (claim === undefined || address + size - 1 > claim.end) return;
    // What is beyond the width is not on the bus.
    claim.region.write(address - claim.base, size, (value & ones(size)) >>> 0);
  }

  /** Every function, with its place: `01.0/00.0` is below the port at 01.0. */
  walk(): Generator<{ readonly path: string; readonly fn: PciFunction }> {
    return this.root.walk();
  }

  /** Power-on state of everything. */
  reset(): void {
    this.root.reset();
  }

  snapshot(): PciHostState {
    const functions: Record<string, PciFunctionState> = {};
    for (const { path, fn } of this.walk()) functions[path] = fn.snapshot();
    return { functions };
  }

  /**
   * Into a host with the same functions in the same places.
   *
   * @throws RangeError when a function is missing or too much: the caller's mistake
   */
  restore({ functions }: PciHostState): void {
    const here = [...this.walk()];
    const odd = here.find(({ path }) => functions[path] === undefined);
    if (odd || here.length !== Object.keys(functions).length) {
      throw new RangeError(`other functions than in the state: ${odd?.path ?? 'some are missing'}`);
    }
    for (const { path, fn } of here) {
      const state = functions[path];
      if (state) fn.restore(state);
    }
    this.#stale = true;
  }

  /** `0000:00:03.0 disk`, for messages. */
  show(fn: PciFunction): string {
    const rid = fn.requesterId;
    return rid === undefined ? fn.name : `${showBdf(rid, this.segment)} ${fn.name}`;
  }

  #claim(address: number): ReturnType<MmioMap['find']> {
    if (this.#stale) {
      this.#stale = false;
      this.#map.rebuild(this.root, this.#windows);
    }
    return this.#map.find(address);
  }

  #ecamRid(offset: number): number {
    if (offset < 0 || offset >= this.ecamSize) return -1;
    return (this.buses.start << 8) + (offset >>> ECAM_FUNCTION_SHIFT);
  }

  #pin(devfn: number, pin: number, level: boolean): void {
    const line = ((devfn >> 3) + pin - 1) % PCI_INTERRUPT_PINS;
    const before = this.#lines[line] ?? 0;
    const now = before + (level ? 1 : -1);
    this.#lines[line] = now;
    if (before > 0 !== now > 0) this.#intx?.(line, now > 0);
  }
}

/** What a load gives that nobody answers. */
function ones(size: number): number {
  return 2 ** (8 * size) - 1;
}
