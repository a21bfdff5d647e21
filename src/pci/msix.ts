import { addressOf, type DmaSpace } from '../memory/index.ts';
import { PCI_CAP_ID_MSIX } from '../spec/pci-config.ts';
import {
  PCI_CAP_MSIX_SIZEOF,
  PCI_MSIX_ENTRY,
  PCI_MSIX_ENTRY_CTRL_MASKBIT,
  PCI_MSIX_ENTRY_SIZE,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_ENABLE,
  PCI_MSIX_FLAGS_MASKALL,
  PCI_MSIX_PBA,
  PCI_MSIX_TABLE,
  PCI_MSIX_VECTORS_MAX,
} from '../spec/msix.ts';
import type { BarRegion } from './bar.ts';
import type { Capability } from './capabilities.ts';

/** A message-signalled interrupt that left a function, or could not. */
export interface MsiMessage {
  readonly vector: number;
  /** As the function sees it: before translation; 0 when it went to an outlet, which has the table. */
  readonly address: bigint;
  readonly data: number;
  /** False when the write was refused: a fault of the IOMMU, no doorbell there, or no bus mastering. */
  readonly delivered: boolean;
}

export interface MsixState {
  readonly table: Uint8Array;
  readonly pending: Uint8Array;
  readonly control: number;
}

const AT = PCI_MSIX_ENTRY.offsets;

/**
 * MSI-X of one function: table, pending bits and the control register (PCI Local Bus 3.0, 6.8.2).
 *
 * Table and pending bits fill one BAR, half each. A message is a 32-bit write through the function's
 * DMA: an IOMMU in its way translates a doorbell that software mapped, and lets one that is reserved.
 */
export class Msix implements BarRegion {
  readonly vectors: number;
  readonly barSize: number;
  readonly pbaOffset: number;
  /** Told of each message that was sent. */
  onMessage: ((message: MsiMessage) => void) | undefined;
  /**
   * Takes the messages when somebody else has the table and its masks, as a VMM has that plugs the
   * function into its own bus; false when it could not pass one on.
   */
  outlet: ((vector: number) => boolean) | undefined;
  /** Told when Enable or Function Mask changed. */
  onControl: (() => void) | undefined;
  readonly #dma: DmaSpace;
  readonly #table: Uint8Array;
  readonly #data: DataView;
  readonly #pending: Uint8Array;
  #control = 0;

  /** @param vectors 1–2048 */
  constructor(vectors: number, dma: DmaSpace) {
    if (!Number.isInteger(vectors) || vectors < 1 || vectors > PCI_MSIX_VECTORS_MAX) {
      throw new RangeError(`${vectors} MSI-X vectors`);
    }
    this.vectors = vectors;
    this.#dma = dma;
    const table = vectors * PCI_MSIX_ENTRY_SIZE;
    this.pbaOffset = Math.max(0x800, 2 ** Math.ceil(Math.log2(table)));
    this.barSize = 2 * this.pbaOffset;
    this.#table = new Uint8Array(table);
    this.#data = new DataView(this.#table.buffer);
    // Pending bits come in quadwords, "the last one of which may not be fully populated".
    this.#pending = new Uint8Array(Math.ceil(vectors / 64) * 8);
    this.reset();
  }

  get enabled(): boolean {
    return (this.#control & PCI_MSIX_FLAGS_ENABLE) !== 0;
  }

  /** The capability, when table and pending bits are in that BAR. */
  capability(bar: number): Capability {
    return {
      name: 'MSI-X',
      id: PCI_CAP_ID_MSIX,
      size: PCI_CAP_MSIX_SIZEOF,
      registers: [
        {
          name: 'Message Control',
          offset: PCI_MSIX_FLAGS,
          size: 2,
          value: this.vectors - 1,
          writable: PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL,
          wrote: (now) => this.#setControl(now),
        },
        { name: 'Table', offset: PCI_MSIX_TABLE, size: 4, value: bar },
        { name: 'PBA', offset: PCI_MSIX_PBA, size: 4, value: this.pbaOffset | bar },
      ],
    };
  }

  /**
   * Sends the message of a vector, or keeps it pending while the vector or the function is masked.
   * Nothing happens while MSI-X is off, or when there is no such vector.
   */
  notify(vector: number): void {
    if (!this.enabled || vector < 0 || vector >= this.vectors) return;
    if (this.outlet !== undefined) {
      const delivered = this.outlet(vector);
      if (this.onMessage) this.onMessage({ vector, address: 0n, data: 0, delivered });
    } else if (this.#masked(vector)) this.#setPending(vector, true);
    else this.#send(vector);
  }

  isPending(vector: number): boolean {
    return ((this.#pending[vector >> 3] ?? 0) & (1 << (vector & 7))) !== 0;
  }

  read(offset: number, size: number): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 0x100 + this.#byte(offset + i);
    return value;
  }

  write(offset: number, size: number, value: number): void {
    const first = Math.floor(offset / PCI_MSIX_ENTRY_SIZE);
    for (let i = 0; i < size; i++) {
      const at = offset + i;
      const field = at % PCI_MSIX_ENTRY_SIZE;
      // Reserved bits, and the two low ones of an address that software must write as zero.
      const reserved = field > AT.vector_ctrl;
      const mask =
        field === AT.vector_ctrl ? PCI_MSIX_ENTRY_CTRL_MASKBIT : field === 0 ? 0xfc : 0xff;
      if (!reserved && at < this.#table.length) this.#table[at] = (value >>> (8 * i)) & mask;
    }
    // An unaligned store may touch two entries.
    for (const entry of [first, first + 1]) this.#flush(entry);
  }

  reset(): void {
    this.#control = 0;
    this.#table.fill(0);
    this.#pending.fill(0);
    for (let vector = 0; vector < this.vectors; vector++) {
      const at = vector * PCI_MSIX_ENTRY_SIZE + AT.vector_ctrl;
      this.#table[at] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
    }
  }

  snapshot(): MsixState {
    return {
      table: this.#table.slice(),
      pending: this.#pending.slice(),
      control: this.#control,
    };
  }

  restore(state: MsixState): void {
    this.#table.set(state.table.subarray(0, this.#table.length));
    this.#pending.set(state.pending.subarray(0, this.#pending.length));
    this.#control = state.control;
  }

  #byte(at: number): number {
    if (at < this.pbaOffset) return this.#table[at] ?? 0;
    return this.#pending[at - this.pbaOffset] ?? 0;
  }

  #masked(vector: number): boolean {
    if ((this.#control & PCI_MSIX_FLAGS_MASKALL) !== 0) return true;
    const at = vector * PCI_MSIX_ENTRY_SIZE + AT.vector_ctrl;
    return ((this.#table[at] ?? 0) & PCI_MSIX_ENTRY_CTRL_MASKBIT) !== 0;
  }

  #setControl(control: number): void {
    this.#control = control & (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    // "MSI-X disabled … pending bits are clear": what was pending is the driver's to find out.
    if (!this.enabled) this.#pending.fill(0);
    for (let vector = 0; vector < this.vectors; vector++) this.#flush(vector);
    this.onControl?.();
  }

  /** Sends what was pending, if nothing masks it any more. */
  #flush(vector: number): void {
    if (!this.enabled || !this.isPending(vector) || this.#masked(vector)) return;
    this.#setPending(vector, false);
    this.#send(vector);
  }

  #setPending(vector: number, on: boolean): void {
    const now = this.#pending[vector >> 3] ?? 0;
    const bit = 1 << (vector & 7);
    this.#pending[vector >> 3] = on ? now | bit : now & ~bit;
  }

  #send(vector: number): void {
    const at = vector * PCI_MSIX_ENTRY_SIZE;
    const lo = this.#data.getUint32(at + AT.lower_addr, true);
    const hi = this.#data.getUint32(at + AT.upper_addr, true);
    const data = this.#data.getUint32(at + AT.data, true);
    const delivered = this.#dma.writeU32(hi, lo, data);
    if (this.onMessage) this.onMessage({ vector, address: addressOf(hi, lo), data, delivered });
  }
}
