import {
  PCI_CAPABILITY_LIST,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_VENDOR_ID,
} from '../../spec/pci-config.ts';
import type { HostView } from '../firmware/view.ts';
import type { MmioAccess } from '../platform.ts';

const FUNCTION_SHIFT = 12;
/** Capabilities of one function; a list that is longer loops. */
const CAPABILITIES_MAX = 48;

/** Configuration space of one function, through ECAM. */
export class ConfigAccess {
  readonly #bus: MmioAccess;
  readonly #base: number;

  constructor(bus: MmioAccess, host: HostView, rid: number) {
    this.#bus = bus;
    this.#base = Number(host.ecam) + (rid - (host.buses.start << 8)) * 2 ** FUNCTION_SHIFT;
  }

  read(offset: number, size: number): number {
    return this.#bus.read(this.#base + offset, size);
  }

  write(offset: number, size: number, value: number): void {
    this.#bus.write(this.#base + offset, size, value >>> 0);
  }

  /** Whether something answers. */
  get present(): boolean {
    const vendor = this.read(PCI_VENDOR_ID, 2);
    return vendor !== 0xffff && vendor !== 0;
  }

  /** Capabilities of that ID, or all of them, in the order of the list. */
  capabilities(id?: number): number[] {
    if ((this.read(PCI_STATUS, 2) & PCI_STATUS_CAP_LIST) === 0) return [];
    const found: number[] = [];
    let at = this.read(PCI_CAPABILITY_LIST, 1) & ~3;
    for (let i = 0; i < CAPABILITIES_MAX && at >= 0x40; i++) {
      if (id === undefined || this.read(at, 1) === id) found.push(at);
      at = this.read(at + 1, 1) & ~3;
    }
    return found;
  }
}
