import {
  VIRTIO_MMIO_CONFIG,
  VIRTIO_MMIO_INT_CONFIG,
  VIRTIO_MMIO_INT_VRING,
  VIRTIO_MMIO_SIZE,
} from '../spec/virtio-mmio.ts';
import type { VirtioCore } from './core.ts';
import type { VirtioState } from './core-state.ts';
import type { InterruptSink } from './device.ts';
import { LEGACY_REGISTERS, MMIO_REGISTERS } from './mmio-registers.ts';
import type { QueueSlot } from './queue-slot.ts';
import { isConfigAccess } from './registers.ts';

export interface MmioOptions {
  /** The interrupt line, level-triggered; told of changes only. */
  readonly line: (level: boolean) => void;
  /**
   * 2, or 1 for the legacy interface. A virtio-iommu cannot work over the latter, as VERSION_1 is
   * out of a driver's reach there; it exists so that a topology can show what a guest does then: it
   * finds the device, sees no VERSION_1, and gives up. No queue can be set up. Default 2.
   */
  readonly version?: 1 | 2;
  /** VendorID; default `VTOP` in little-endian. */
  readonly vendorId?: number;
}

/** State of the transport, as plain data. */
export interface MmioState {
  readonly core: VirtioState;
  readonly deviceSelect: number;
  readonly driverSelect: number;
  readonly queueSelect: number;
  readonly interrupts: number;
}

const VENDOR_ID = 0x504f5456;

/** VIRTIO 1.3, "Virtio Over MMIO". */
export class MmioTransport implements InterruptSink {
  readonly core: VirtioCore;
  readonly version: 1 | 2;
  readonly vendorId: number;
  /** Bytes that the device answers to. */
  readonly size: number = VIRTIO_MMIO_SIZE;
  deviceSelect = 0;
  driverSelect = 0;
  queueSelect = 0;
  /** InterruptStatus. */
  interrupts = 0;
  readonly #line: (level: boolean) => void;

  constructor(core: VirtioCore, options: MmioOptions) {
    this.core = core;
    this.version = options.version ?? 2;
    this.vendorId = options.vendorId ?? VENDOR_ID;
    this.#line = options.line;
    core.sink = this;
  }

  /** A guest's load: `size` 1, 2 or 4 bytes at an offset in the window. */
  read(offset: number, size: number): number {
    if (offset < VIRTIO_MMIO_CONFIG) return this.#registers.read(this, offset, size);
    const at = offset - VIRTIO_MMIO_CONFIG;
    return isConfigAccess(at, size) ? this.core.configRead(at, size) : 0;
  }

  /** A guest's store. */
  write(offset: number, size: number, value: number): void {
    if (offset < VIRTIO_MMIO_CONFIG) {
      this.#registers.write(this, offset, size, value >>> 0);
      return;
    }
    const at = offset - VIRTIO_MMIO_CONFIG;
    if (isConfigAccess(at, size)) this.core.configWrite(at, size, value >>> 0);
  }

  /** The queue that QueueSel names, if there is one. */
  get selected(): QueueSlot | undefined {
    return this.core.queues[this.queueSelect];
  }

  config(): void {
    this.setInterrupts(this.interrupts | VIRTIO_MMIO_INT_CONFIG);
  }

  queue(): void {
    this.setInterrupts(this.interrupts | VIRTIO_MMIO_INT_VRING);
  }

  /** Level of the interrupt line. */
  get asserted(): boolean {
    return this.interrupts !== 0;
  }

  setInterrupts(interrupts: number): void {
    const before = this.asserted;
    this.interrupts = interrupts;
    if (this.asserted !== before) this.#line(this.asserted);
  }

  writeStatus(value: number): void {
    this.core.writeStatus(value);
    if ((value & 0xff) === 0) this.#forget();
  }

  /** The machine was reset. */
  systemReset(): void {
    this.core.systemReset();
    this.#forget();
  }

  snapshot(): MmioState {
    const { deviceSelect, driverSelect, queueSelect, interrupts } = this;
    return { core: this.core.snapshot(), deviceSelect, driverSelect, queueSelect, interrupts };
  }

  restore(state: MmioState): void {
    this.core.restore(state.core);
    this.deviceSelect = state.deviceSelect;
    this.driverSelect = state.driverSelect;
    this.queueSelect = state.queueSelect;
    this.setInterrupts(state.interrupts);
  }

  get #registers(): typeof MMIO_REGISTERS {
    return this.version === 1 ? LEGACY_REGISTERS : MMIO_REGISTERS;
  }

  #forget(): void {
    this.deviceSelect = 0;
    this.driverSelect = 0;
    this.queueSelect = 0;
    this.setInterrupts(0);
  }
}
