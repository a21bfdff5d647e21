import {
  VIRTIO_MSI_NO_VECTOR,
  VIRTIO_PCI_COMMON_CFG,
  VIRTIO_PCI_ISR_CONFIG,
  VIRTIO_PCI_ISR_QUEUE,
} from '../spec/virtio-pci.ts';
import type { VirtioCore } from './core.ts';
import type { VirtioState } from './core-state.ts';
import type { InterruptSink } from './device.ts';
import { COMMON_REGISTERS } from './pci-registers.ts';
import type { QueueSlot } from './queue-slot.ts';
import { isConfigAccess } from './registers.ts';

/** What the PCI function around a device must be able to do: its MSI-X table and INTx pin. */
export interface PciInterrupts {
  /** MSI-X Enable of the function's capability. */
  readonly msixEnabled: boolean;
  /** Entries of its MSI-X table. */
  readonly vectors: number;
  /** Sends the message of a table entry; the function minds masks and pending bits. */
  message(vector: number): void;
  /** Level of INTx; the function minds Interrupt Disable. Told of changes only. */
  intx(level: boolean): void;
}

/** A structure of the device inside its BAR. */
export interface PciRegion {
  readonly offset: number;
  readonly length: number;
}

/** Where the structures lie in the BAR; one page each, so that a VMM can map them apart. */
export interface PciLayout {
  readonly common: PciRegion;
  readonly isr: PciRegion;
  readonly device: PciRegion;
  readonly notify: PciRegion;
  /** Size of the BAR, a power of two. */
  readonly size: number;
}

/** `notify_off_multiplier`: bytes between the notification addresses of two queues. */
export const NOTIFY_MULTIPLIER = 4;

/** State of the transport, as plain data. */
export interface PciState {
  readonly core: VirtioState;
  readonly deviceSelect: number;
  readonly driverSelect: number;
  readonly queueSelect: number;
  readonly configVector: number;
  readonly queueVectors: readonly number[];
  readonly isr: number;
}

/**
 * VIRTIO 1.3, "Virtio Over PCI Bus": everything behind the device's one memory BAR. Config space,
 * BARs and MSI-X are the function's, which gives {@link PciInterrupts}.
 */
export class PciTransport implements InterruptSink {
  readonly core: VirtioCore;
  readonly layout: PciLayout;
  deviceSelect = 0;
  driverSelect = 0;
  queueSelect = 0;
  configVector: number = VIRTIO_MSI_NO_VECTOR;
  /** "ISR status": read by the driver through `read`, which clears it. */
  isr = 0;
  readonly #queueVectors: number[];
  readonly #interrupts: PciInterrupts;
  #level = false;

  constructor(core: VirtioCore, interrupts: PciInterrupts) {
    this.core = core;
    this.#interrupts = interrupts;
    this.#queueVectors = core.queues.map(() => VIRTIO_MSI_NO_VECTOR);
    this.layout = {
      common: { offset: 0, length: VIRTIO_PCI_COMMON_CFG.size },
      isr: { offset: 0x1000, length: 1 },
      device: { offset: 0x2000, length: core.device.config.length },
      notify: { offset: 0x3000, length: NOTIFY_MULTIPLIER * core.queues.length },
      size: 0x4000,
    };
    core.sink = this;
  }

  /** A load of 1, 2 or 4 bytes from the BAR. */
  read(offset: number, size: number): number {
    const { common, isr, device } = this.layout;
    if (inside(common, offset)) return COMMON_REGISTERS.read(this, offset - common.offset, size);
    if (inside(isr, offset)) return size === 1 ? this.#readIsr() : 0;
    const at = offset - device.offset;
    if (inside(device, offset) && isConfigAccess(at, size)) return this.core.configRead(at, size);
    return 0;
  }

  /** A store to the BAR. */
  write(offset: number, size: number, value: number): void {
    const { common, device, notify } = this.layout;
    if (inside(common, offset)) {
      COMMON_REGISTERS.write(this, offset - common.offset, size, value >>> 0);
    } else if (inside(device, offset)) {
      const at = offset - device.offset;
      if (isConfigAccess(at, size)) this.core.configWrite(at, size, value >>> 0);
    } else if (inside(notify, offset)) {
      // The address names the queue. Its value says the same, or more (NOTIFICATION_DATA).
      const at = offset - notify.offset;
      const whole = size === 2 || size === 4;
      if (whole && at % NOTIFY_MULTIPLIER === 0) this.core.notify(at / NOTIFY_MULTIPLIER);
    }
  }

  /** The queue that queue_select names, if there is one. */
  get selected(): QueueSlot | undefined {
    return this.core.queues[this.queueSelect];
  }

  /** A vector as a driver finds it after writing it: one that is not there becomes NO_VECTOR. */
  vectorOf(written: number): number {
    return written < this.#interrupts.vectors ? written : VIRTIO_MSI_NO_VECTOR;
  }

  queueVector(index: number): number {
    return this.#queueVectors[index] ?? VIRTIO_MSI_NO_VECTOR;
  }

  setQueueVector(index: number, written: number): void {
    if (index < this.#queueVectors.length) this.#queueVectors[index] = this.vectorOf(written);
  }

  config(): void {
    // "ISR status capability": this bit is set with MSI-X too.
    this.isr |= VIRTIO_PCI_ISR_CONFIG;
    this.#interrupt(this.configVector);
  }

  queue(index: number): void {
    if (!this.#interrupts.msixEnabled) this.isr |= VIRTIO_PCI_ISR_QUEUE;
    this.#interrupt(this.queueVector(index));
  }

  /** What INTx should be now; also to be called by the function when MSI-X was switched. */
  updateIntx(): boolean {
    const level = this.isr !== 0 && !this.#interrupts.msixEnabled;
    if (level !== this.#level) {
      this.#level = level;
      this.#interrupts.intx(level);
    }
    return level;
  }

  writeStatus(value: number): void {
    this.core.writeStatus(value);
    if ((value & 0xff) === 0) this.#forget();
  }

  /** The machine, or the function, was reset. */
  systemReset(): void {
    this.core.systemReset();
    this.#forget();
  }

  snapshot(): PciState {
    const { deviceSelect, driverSelect, queueSelect, configVector, isr } = this;
    const queueVectors = [...this.#queueVectors];
    const core = this.core.snapshot();
    return { core, deviceSelect, driverSelect, queueSelect, configVector, queueVectors, isr };
  }

  restore(state: PciState): void {
    this.core.restore(state.core);
    this.deviceSelect = state.deviceSelect;
    this.driverSelect = state.driverSelect;
    this.queueSelect = state.queueSelect;
    this.configVector = state.configVector;
    for (const [index, vector] of state.queueVectors.entries()) {
      if (index < this.#queueVectors.length) this.#queueVectors[index] = vector;
    }
    this.isr = state.isr;
    this.updateIntx();
  }

  #readIsr(): number {
    const value = this.isr;
    this.isr = 0;
    this.updateIntx();
    return value;
  }

  #interrupt(vector: number): void {
    if (!this.#interrupts.msixEnabled) this.updateIntx();
    else if (vector !== VIRTIO_MSI_NO_VECTOR) this.#interrupts.message(vector);
  }

  #forget(): void {
    this.deviceSelect = 0;
    this.driverSelect = 0;
    this.queueSelect = 0;
    this.configVector = VIRTIO_MSI_NO_VECTOR;
    this.#queueVectors.fill(VIRTIO_MSI_NO_VECTOR);
    this.isr = 0;
    this.updateIntx();
  }
}

function inside({ offset, length }: PciRegion, at: number): boolean {
  return at >= offset && at < offset + length;
}
