import { addressOf, hiOf, loOf, type DmaSpace } from '../memory/index.ts';
import { PciFunction, type BarRegion, type PciDevice } from '../pci/index.ts';
import {
  EDU_BAR_SIZE,
  EDU_BUFFER,
  EDU_BUFFER_SIZE,
  EDU_CLASS,
  EDU_DEVICE_ID,
  EDU_DMA_INTERRUPT,
  EDU_DMA_MASK,
  EDU_DMA_RUN,
  EDU_DMA_TO_MEMORY,
  EDU_ID,
  EDU_INTERRUPT_DMA,
  EDU_INTERRUPT_FACTORIAL,
  EDU_R_ACK,
  EDU_R_DMA_COMMAND,
  EDU_R_DMA_COUNT,
  EDU_R_DMA_SOURCE,
  EDU_R_DMA_TARGET,
  EDU_R_FACTORIAL,
  EDU_R_ID,
  EDU_R_INTERRUPTS,
  EDU_R_LIVENESS,
  EDU_R_RAISE,
  EDU_R_STATUS,
  EDU_REVISION,
  EDU_STATUS_FACTORIAL_INTERRUPT,
  EDU_VENDOR_ID,
} from '../spec/pci-devices.ts';
import { RegisterBlock, type Register } from '../virtio/index.ts';

export interface EduOptions {
  readonly name: string;
  readonly dma: DmaSpace;
  /** Bits of an address that the device can drive; default 28 bits, as QEMU's. */
  readonly dmaMask?: bigint;
}

interface EduValues {
  liveness: number;
  factorial: number;
  status: number;
  interrupts: number;
  source: bigint;
  target: bigint;
  count: bigint;
  command: number;
}

interface EduState {
  readonly values: EduValues;
  readonly buffer: Uint8Array;
}

function powerOn(): EduValues {
  return {
    liveness: 0,
    factorial: 0,
    status: 0,
    interrupts: 0,
    source: 0n,
    target: 0n,
    count: 0n,
    command: 0,
  };
}

/**
 * QEMU's `edu`: what a driver can do to that device it can do to this one, so that one driver gets
 * the same DMA out of both. Computations and transfers are over when the write that starts them is.
 */
export class Edu implements PciDevice, BarRegion {
  readonly fn: PciFunction;
  readonly buffer: Uint8Array = new Uint8Array(EDU_BUFFER_SIZE);
  values: EduValues = powerOn();
  readonly #mask: bigint;

  constructor({ name, dma, dmaMask = EDU_DMA_MASK }: EduOptions) {
    this.#mask = dmaMask;
    this.fn = new PciFunction({
      name,
      vendorId: EDU_VENDOR_ID,
      deviceId: EDU_DEVICE_ID,
      revision: EDU_REVISION,
      classCode: EDU_CLASS,
      subsystem: { vendorId: 0x1af4, deviceId: 0x1100 },
      interruptPin: 1,
      express: false,
      bars: [{ index: 0, kind: 'mem32', size: EDU_BAR_SIZE, region: this }],
      msi: true,
      dma,
      device: this,
    });
  }

  read(offset: number, size: number): number {
    return REGISTERS.read(this, offset, size);
  }

  write(offset: number, size: number, value: number): void {
    REGISTERS.write(this, offset, size, value);
  }

  raise(bits: number): void {
    this.values.interrupts = (this.values.interrupts | bits) >>> 0;
    if (this.values.interrupts === 0) return;
    if (this.fn.msi?.enabled === true) this.fn.message(0);
    else this.fn.setIntx(true);
  }

  acknowledge(bits: number): void {
    this.values.interrupts = (this.values.interrupts & ~bits) >>> 0;
    if (this.values.interrupts === 0) this.fn.setIntx(false);
  }

  /** n! modulo 2^32. */
  compute(n: number): void {
    let result = 1;
    // From 34 on there are 32 factors of two: the rest of the product changes nothing.
    for (let i = Math.min(n, 34); i > 1; i--) result = Math.imul(result, i) >>> 0;
    this.values.factorial = result;
    if ((this.values.status & EDU_STATUS_FACTORIAL_INTERRUPT) !== 0) {
      this.raise(EDU_INTERRUPT_FACTORIAL);
    }
  }

  transfer(command: number): void {
    if ((command & EDU_DMA_RUN) === 0) return;
    const { source, target, count } = this.values;
    const out = (command & EDU_DMA_TO_MEMORY) !== 0;
    const at = (out ? source : target) - BigInt(EDU_BUFFER);
    const address = (out ? target : source) & this.#mask;
    // QEMU ends itself when a transfer leaves the buffer; here nothing is done.
    if (at >= 0n && at + count <= BigInt(EDU_BUFFER_SIZE)) {
      const { dma } = this.fn;
      const [hi, lo, from, length] = [hiOf(address), loOf(address), Number(at), Number(count)];
      if (out) dma.write(hi, lo, this.buffer, from, length);
      else dma.read(hi, lo, this.buffer, from, length);
    }
    this.values.command = command & ~EDU_DMA_RUN;
    if ((command & EDU_DMA_INTERRUPT) !== 0) this.raise(EDU_INTERRUPT_DMA);
  }

  reset(): void {
    this.values = powerOn();
    this.buffer.fill(0);
  }

  snapshot(): EduState {
    return { values: { ...this.values }, buffer: this.buffer.slice() };
  }

  restore(state: unknown): void {
    const { values, buffer } = state as EduState;
    this.values = { ...values };
    this.buffer.set(buffer);
  }
}

/** A 64-bit register. A write of its lower half alone clears the upper, as QEMU's 32-bit write does. */
function wide(name: 'source' | 'target' | 'count', offset: number): Register<Edu>[] {
  return [
    {
      name,
      offset,
      size: 4,
      read: ({ values }) => loOf(values[name]),
      write: ({ values }, to) => void (values[name] = BigInt(to >>> 0)),
    },
    {
      name: `${name} high`,
      offset: offset + 4,
      size: 4,
      read: ({ values }) => hiOf(values[name]),
      write: ({ values }, to) => void (values[name] = addressOf(to >>> 0, loOf(values[name]))),
    },
  ];
}

const REGISTERS = new RegisterBlock<Edu>([
  { name: 'id', offset: EDU_R_ID, size: 4, read: () => EDU_ID },
  {
    name: 'liveness',
    offset: EDU_R_LIVENESS,
    size: 4,
    read: ({ values }) => values.liveness,
    write: ({ values }, to) => void (values.liveness = ~to >>> 0),
  },
  {
    name: 'factorial',
    offset: EDU_R_FACTORIAL,
    size: 4,
    read: ({ values }) => values.factorial,
    write: (edu, n) => edu.compute(n),
  },
  {
    name: 'status',
    offset: EDU_R_STATUS,
    size: 4,
    read: ({ values }) => values.status,
    write: ({ values }, to) => void (values.status = to & EDU_STATUS_FACTORIAL_INTERRUPT),
  },
  { name: 'interrupts', offset: EDU_R_INTERRUPTS, size: 4, read: (edu) => edu.values.interrupts },
  { name: 'raise', offset: EDU_R_RAISE, size: 4, write: (edu, bits) => edu.raise(bits) },
  { name: 'acknowledge', offset: EDU_R_ACK, size: 4, write: (edu, b) => edu.acknowledge(b) },
  ...wide('source', EDU_R_DMA_SOURCE),
  ...wide('target', EDU_R_DMA_TARGET),
  ...wide('count', EDU_R_DMA_COUNT),
  {
    name: 'command',
    offset: EDU_R_DMA_COMMAND,
    size: 4,
    read: ({ values }) => values.command,
    write: (edu, command) => edu.transfer(command),
  },
]);
