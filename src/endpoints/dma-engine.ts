import {
  ACCESS_READ,
  ACCESS_WRITE,
  addressOf,
  hiOf,
  loOf,
  type DmaSpace,
} from '../memory/index.ts';
import { PciFunction, type BarRegion, type PciDevice } from '../pci/index.ts';
import { PCI_CLASS_SP_OTHER } from '../spec/pci-config.ts';
import {
  DMA_ENGINE_BAR_SIZE,
  DMA_ENGINE_BUFFER,
  DMA_ENGINE_BUFFER_SIZE,
  DMA_ENGINE_C_GO,
  DMA_ENGINE_C_INTERRUPT,
  DMA_ENGINE_C_MESSAGE,
  DMA_ENGINE_C_WRITE,
  DMA_ENGINE_DEVICE_ID,
  DMA_ENGINE_MAGIC,
  DMA_ENGINE_R_ADDRESS_HI,
  DMA_ENGINE_R_ADDRESS_LO,
  DMA_ENGINE_R_CONTROL,
  DMA_ENGINE_R_COUNT,
  DMA_ENGINE_R_DATA,
  DMA_ENGINE_R_DELAY,
  DMA_ENGINE_R_DONE,
  DMA_ENGINE_R_FAULT_HI,
  DMA_ENGINE_R_FAULT_LO,
  DMA_ENGINE_R_LENGTH,
  DMA_ENGINE_R_MAGIC,
  DMA_ENGINE_R_OFFSET,
  DMA_ENGINE_R_STATUS,
  DMA_ENGINE_R_VECTOR,
  DMA_ENGINE_R_VERSION,
  DMA_ENGINE_S_BUSY,
  DMA_ENGINE_S_DONE,
  DMA_ENGINE_S_FAULT,
  DMA_ENGINE_S_INVALID,
  DMA_ENGINE_VENDOR_ID,
  DMA_ENGINE_VERSION,
} from '../spec/pci-devices.ts';
import { RegisterBlock, type Register } from '../virtio/index.ts';

/** A transfer that is over, for whoever watches. */
export interface DmaEngineEvent {
  readonly address: bigint;
  readonly length: number;
  /** ACCESS_READ or ACCESS_WRITE. */
  readonly access: number;
  /** Bytes that were transferred. */
  readonly done: number;
}

export interface DmaEngineOptions {
  readonly name: string;
  readonly dma: DmaSpace;
  /** MSI-X vectors; default 1. */
  readonly vectors?: number;
  readonly express?: boolean;
  readonly onTransfer?: (event: DmaEngineEvent) => void;
}

type Values = Record<
  | 'addressLo'
  | 'addressHi'
  | 'length'
  | 'offset'
  | 'status'
  | 'done'
  | 'faultLo'
  | 'faultHi'
  | 'vector'
  | 'data'
  | 'delay'
  | 'count'
  /** The command that runs, and the steps that are left. */
  | 'command'
  | 'steps',
  number
>;

interface EngineState {
  readonly values: Values;
  readonly buffer: Uint8Array;
}

const POWER_ON: Values = {
  addressLo: 0,
  addressHi: 0,
  length: 0,
  offset: 0,
  status: 0,
  done: 0,
  faultLo: 0,
  faultHi: 0,
  vector: 0,
  data: 0,
  delay: 0,
  count: 0,
  command: 0,
  steps: 0,
};

/**
 * A PCI function that transfers whatever it is told, to and from wherever it is told: the endpoint of
 * tests that need to know each access (registers: src/spec/pci-devices.ts).
 *
 * With a DELAY it accesses memory only after so many calls of `step`. Nothing is translated before, so
 * an UNMAP in between makes it fault.
 */
export class DmaEngine implements PciDevice, BarRegion {
  readonly fn: PciFunction;
  readonly buffer: Uint8Array = new Uint8Array(DMA_ENGINE_BUFFER_SIZE);
  values: Values = { ...POWER_ON };
  readonly #onTransfer: ((event: DmaEngineEvent) => void) | undefined;

  constructor({ name, dma, vectors = 1, express = true, onTransfer }: DmaEngineOptions) {
    this.#onTransfer = onTransfer;
    this.fn = new PciFunction({
      name,
      vendorId: DMA_ENGINE_VENDOR_ID,
      deviceId: DMA_ENGINE_DEVICE_ID,
      classCode: PCI_CLASS_SP_OTHER,
      subsystem: { vendorId: DMA_ENGINE_VENDOR_ID, deviceId: DMA_ENGINE_DEVICE_ID },
      interruptPin: 1,
      express,
      bars: [{ index: 0, kind: 'mem32', size: DMA_ENGINE_BAR_SIZE, region: this }],
      msix: { vectors, bar: 1 },
      dma,
      device: this,
    });
  }

  get busy(): boolean {
    return (this.values.status & DMA_ENGINE_S_BUSY) !== 0;
  }

  /** Time passes: a transfer that waits comes one step nearer. True while one waits. */
  step(): boolean {
    if (!this.busy) return false;
    this.values.steps--;
    if (this.values.steps <= 0) this.#run();
    return this.busy;
  }

  read(offset: number, size: number): number {
    if (offset < DMA_ENGINE_BUFFER) return REGISTERS.read(this, offset, size);
    let value = 0;
    for (let i = size - 1; i >= 0; i--) {
      value = value * 0x100 + (this.buffer[offset - DMA_ENGINE_BUFFER + i] ?? 0);
    }
    return value;
  }

  write(offset: number, size: number, value: number): void {
    if (offset < DMA_ENGINE_BUFFER) {
      REGISTERS.write(this, offset, size, value);
      return;
    }
    // A typed array ignores what is beyond its end.
    for (let i = 0; i < size; i++) {
      this.buffer[offset - DMA_ENGINE_BUFFER + i] = value >>> (8 * i);
    }
  }

  /** A write to CONTROL. */
  command(command: number): void {
    const { values } = this;
    if ((command & DMA_ENGINE_C_GO) === 0) return;
    const message = (command & DMA_ENGINE_C_MESSAGE) !== 0;
    const inside = values.offset + values.length <= DMA_ENGINE_BUFFER_SIZE;
    if (this.busy || (!message && !inside)) {
      values.status |= DMA_ENGINE_S_INVALID;
      return;
    }
    values.count = (values.count + 1) >>> 0;
    values.command = command;
    values.steps = values.delay;
    values.status = DMA_ENGINE_S_BUSY;
    if (values.delay === 0) this.#run();
  }

  clearStatus(bits: number): void {
    this.values.status &= ~(bits & ~DMA_ENGINE_S_BUSY);
    this.#updateIntx();
  }

  reset(): void {
    this.values = { ...POWER_ON };
    this.buffer.fill(0);
  }

  messagesSwitched(): void {
    this.#updateIntx();
  }

  snapshot(): EngineState {
    return { values: { ...this.values }, buffer: this.buffer.slice() };
  }

  restore(state: unknown): void {
    const { values, buffer } = state as EngineState;
    this.values = { ...values };
    this.buffer.set(buffer);
  }

  #run(): void {
    const { values } = this;
    const { command, addressHi, addressLo, offset } = values;
    const message = (command & DMA_ENGINE_C_MESSAGE) !== 0;
    const write = message || (command & DMA_ENGINE_C_WRITE) !== 0;
    const length = message ? 4 : values.length;
    const done = message
      ? Number(this.fn.dma.writeU32(addressHi, addressLo, values.data)) * 4
      : write
        ? this.fn.dma.write(addressHi, addressLo, this.buffer, offset, length)
        : this.fn.dma.read(addressHi, addressLo, this.buffer, offset, length);
    values.done = done;
    values.status = DMA_ENGINE_S_DONE;
    if (done < length) {
      const { address } = this.fn.dma.fault();
      values.status |= DMA_ENGINE_S_FAULT;
      values.faultHi = hiOf(address);
      values.faultLo = loOf(address);
    }
    const address = addressOf(addressHi, addressLo);
    this.#onTransfer?.({ address, length, access: write ? ACCESS_WRITE : ACCESS_READ, done });
    if ((command & DMA_ENGINE_C_INTERRUPT) === 0) return;
    if (this.fn.msixEnabled) this.fn.message(values.vector);
    else this.#updateIntx();
  }

  #updateIntx(): void {
    const { status, command } = this.values;
    const wants = (status & DMA_ENGINE_S_DONE) !== 0 && (command & DMA_ENGINE_C_INTERRUPT) !== 0;
    this.fn.setIntx(wants && !this.fn.msixEnabled);
  }
}

function plain(name: keyof Values, offset: number, writable = true): Register<DmaEngine> {
  return {
    name,
    offset,
    size: 4,
    read: ({ values }) => values[name],
    ...(writable ? { write: ({ values }: DmaEngine, to: number) => void (values[name] = to) } : {}),
  };
}

const REGISTERS = new RegisterBlock<DmaEngine>([
  { name: 'magic', offset: DMA_ENGINE_R_MAGIC, size: 4, read: () => DMA_ENGINE_MAGIC },
  { name: 'version', offset: DMA_ENGINE_R_VERSION, size: 4, read: () => DMA_ENGINE_VERSION },
  plain('addressLo', DMA_ENGINE_R_ADDRESS_LO),
  plain('addressHi', DMA_ENGINE_R_ADDRESS_HI),
  plain('length', DMA_ENGINE_R_LENGTH),
  plain('offset', DMA_ENGINE_R_OFFSET),
  {
    name: 'control',
    offset: DMA_ENGINE_R_CONTROL,
    size: 4,
    write: (engine, command) => engine.command(command),
  },
  {
    name: 'status',
    offset: DMA_ENGINE_R_STATUS,
    size: 4,
    read: ({ values }) => values.status,
    write: (engine, bits) => engine.clearStatus(bits),
  },
  plain('done', DMA_ENGINE_R_DONE, false),
  plain('faultLo', DMA_ENGINE_R_FAULT_LO, false),
  plain('faultHi', DMA_ENGINE_R_FAULT_HI, false),
  plain('vector', DMA_ENGINE_R_VECTOR),
  plain('data', DMA_ENGINE_R_DATA),
  plain('delay', DMA_ENGINE_R_DELAY),
  plain('count', DMA_ENGINE_R_COUNT, false),
]);
