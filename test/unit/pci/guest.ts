import type { PciHost } from '../../../src/pci/index.ts';
import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_MEM_TYPE_64,
  PCI_CAPABILITY_LIST,
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_HEADER_TYPE,
  PCI_HEADER_TYPE_BRIDGE,
  PCI_HEADER_TYPE_MFD,
  PCI_MEMORY_BASE,
  PCI_MEMORY_LIMIT,
  PCI_PREF_MEMORY_BASE,
  PCI_PREF_MEMORY_LIMIT,
  PCI_PREF_BASE_UPPER32,
  PCI_PREF_LIMIT_UPPER32,
  PCI_PRIMARY_BUS,
  PCI_SECONDARY_BUS,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_SUBORDINATE_BUS,
} from '../../../src/spec/pci-config.ts';

export interface SizedBar {
  readonly index: number;
  readonly wide: boolean;
  readonly size: number;
}

/** What Linux does to a PCI hierarchy when it boots, access for access where it matters. */
export class PciGuest {
  readonly host: PciHost;
  /** Next free address of the 32-bit window. */
  #free: number;

  constructor(host: PciHost, free: number) {
    this.host = host;
    this.#free = free;
  }

  read(rid: number, at: number, size: 1 | 2 | 4): number {
    const first = this.host.buses.start << 8;
    return this.host.ecamRead(((rid - first) << 12) + at, size);
  }

  write(rid: number, at: number, size: 1 | 2 | 4, value: number): void {
    const first = this.host.buses.start << 8;
    this.host.ecamWrite(((rid - first) << 12) + at, size, value);
  }

  /** pci_scan_child_bus: every function of a bus, and of the buses below, which get numbers. */
  scan(bus: number, next = { bus: bus + 1 }): number[] {
    const found: number[] = [];
    for (let device = 0; device < 32; device++) {
      for (let fn = 0; fn < 8; fn++) {
        const rid = (bus << 8) | (device << 3) | fn;
        if (this.read(rid, 0, 4) === 0xffff_ffff) {
          if (fn === 0) break;
          continue;
        }
        found.push(rid);
        const type = this.read(rid, PCI_HEADER_TYPE, 1);
        if ((type & ~PCI_HEADER_TYPE_MFD) === PCI_HEADER_TYPE_BRIDGE) {
          const secondary = next.bus++;
          this.write(rid, PCI_PRIMARY_BUS, 1, bus);
          this.write(rid, PCI_SECONDARY_BUS, 1, secondary);
          this.write(rid, PCI_SUBORDINATE_BUS, 1, 0xff);
          found.push(...this.scan(secondary, next));
          this.write(rid, PCI_SUBORDINATE_BUS, 1, next.bus - 1);
        }
        if (fn === 0 && (type & PCI_HEADER_TYPE_MFD) === 0) break;
      }
    }
    return found;
  }

  /** __pci_read_base: decode off, ones, read back, restored. */
  sizeBars(rid: number): SizedBar[] {
    const type = this.read(rid, PCI_HEADER_TYPE, 1) & ~PCI_HEADER_TYPE_MFD;
    const count = type === PCI_HEADER_TYPE_BRIDGE ? 2 : 6;
    const command = this.read(rid, PCI_COMMAND, 2);
    this.write(rid, PCI_COMMAND, 2, command & ~PCI_COMMAND_MEMORY);
    const bars: SizedBar[] = [];
    const ones = (at: number): number => {
      const before = this.read(rid, at, 4);
      this.write(rid, at, 4, 0xffff_ffff);
      const size = this.read(rid, at, 4);
      this.write(rid, at, 4, before);
      return size;
    };
    for (let index = 0; index < count; index++) {
      const at = PCI_BASE_ADDRESS_0 + 4 * index;
      const low = ones(at);
      if (low === 0) continue;
      const wide = (low & PCI_BASE_ADDRESS_MEM_TYPE_64) !== 0;
      const high = wide ? ones(at + 4) : 0xffff_ffff;
      const mask = (BigInt(high) << 32n) | BigInt((low & ~0xf) >>> 0);
      bars.push({ index, wide, size: Number(BigInt.asUintN(64, ~mask) + 1n) });
      if (wide) index++;
    }
    this.write(rid, PCI_COMMAND, 2, command);
    return bars;
  }

  /** Gives each BAR a place in the 32-bit window, naturally aligned, and turns decoding on. */
  assign(rid: number): Map<number, number> {
    const places = new Map<number, number>();
    for (const { index, size, wide } of this.sizeBars(rid)) {
      const base = Math.ceil(this.#free / size) * size;
      this.#free = base + size;
      this.write(rid, PCI_BASE_ADDRESS_0 + 4 * index, 4, base);
      if (wide) this.write(rid, PCI_BASE_ADDRESS_0 + 4 * index + 4, 4, 0);
      places.set(index, base);
    }
    this.write(rid, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    return places;
  }

  /** Opens a bridge's window over `[start, end]`, MiB-aligned, and turns it on. */
  openWindow(rid: number, start: number, end: number): void {
    this.write(rid, PCI_MEMORY_BASE, 2, (start / 0x1_0000) & 0xfff0);
    this.write(rid, PCI_MEMORY_LIMIT, 2, (end / 0x1_0000) & 0xfff0);
    // Closed, as Linux leaves it when nothing needs it: base above limit.
    this.write(rid, PCI_PREF_LIMIT_UPPER32, 4, 0);
    this.write(rid, PCI_PREF_MEMORY_BASE, 2, 0xfff0);
    this.write(rid, PCI_PREF_MEMORY_LIMIT, 2, 0);
    this.write(rid, PCI_PREF_BASE_UPPER32, 4, 0);
    this.write(rid, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  }

  /** __pci_find_next_cap: IDs and places of all capabilities, in their order. */
  capabilities(rid: number): { id: number; at: number }[] {
    if ((this.read(rid, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST) === 0) return [];
    const found: { id: number; at: number }[] = [];
    let at = this.read(rid, PCI_CAPABILITY_LIST, 1);
    for (let ttl = 48; at >= 0x40 && ttl > 0; ttl--) {
      at &= ~3;
      const id = this.read(rid, at, 1);
      if (id === 0xff) break;
      found.push({ id, at });
      at = this.read(rid, at + 1, 1);
    }
    return found;
  }

  capability(rid: number, id: number): number {
    const found = this.capabilities(rid).find((each) => each.id === id);
    if (found === undefined) throw new Error(`no capability ${id}`);
    return found.at;
  }
}
