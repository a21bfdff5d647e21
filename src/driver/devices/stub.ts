import {
  DMA_ENGINE_BUFFER,
  DMA_ENGINE_C_GO,
  DMA_ENGINE_C_WRITE,
  DMA_ENGINE_DEVICE_ID,
  DMA_ENGINE_R_ADDRESS_HI,
  DMA_ENGINE_R_ADDRESS_LO,
  DMA_ENGINE_R_CONTROL,
  DMA_ENGINE_R_LENGTH,
  DMA_ENGINE_R_OFFSET,
  DMA_ENGINE_R_STATUS,
  DMA_ENGINE_S_DONE,
  DMA_ENGINE_S_FAULT,
  DMA_ENGINE_VENDOR_ID,
  EDU_BUFFER,
  EDU_DEVICE_ID,
  EDU_DMA_MASK,
  EDU_DMA_RUN,
  EDU_DMA_TO_MEMORY,
  EDU_R_DMA_COMMAND,
  EDU_R_DMA_COUNT,
  EDU_R_DMA_SOURCE,
  EDU_R_DMA_TARGET,
  EDU_VENDOR_ID,
} from '../../spec/pci-devices.ts';
import { hiOf, loOf } from '../../memory/index.ts';
import type { BoundDriver, Device } from '../device.ts';
import type { Kernel } from '../kernel.ts';
import { disableFunction, enableFunction } from '../pci/vectors.ts';
import type { PciFound } from '../pci/function.ts';

/** Devices that can be told where to send their DMA, and that no driver of a kernel drives. */
export function aimableKind({ vendorId, deviceId }: PciFound): 'edu' | 'dma-engine' | undefined {
  if (vendorId === EDU_VENDOR_ID && deviceId === EDU_DEVICE_ID) return 'edu';
  if (vendorId === DMA_ENGINE_VENDOR_ID && deviceId === DMA_ENGINE_DEVICE_ID) return 'dma-engine';
  return undefined;
}

/** `pci-stub` on such a device, which is then worked through its BAR. */
export class StubDriver implements BoundDriver {
  readonly name = 'pci-stub';
  readonly #kernel: Kernel;
  readonly #pci: PciFound;
  readonly #base: number;
  readonly #kind: 'edu' | 'dma-engine';

  static bind(kernel: Kernel, { pci }: Device): StubDriver | undefined {
    const kind = pci && aimableKind(pci);
    const base = pci?.bars.find(({ index }) => index === 0)?.base;
    if (pci === undefined || kind === undefined || base === undefined) return undefined;
    return new StubDriver(kernel, pci, base, kind);
  }

  private constructor(kernel: Kernel, pci: PciFound, base: number, kind: 'edu' | 'dma-engine') {
    this.#kernel = kernel;
    this.#pci = pci;
    this.#base = base;
    this.#kind = kind;
    enableFunction(pci);
  }

  /** What of an address the device can drive by itself. */
  get mask(): bigint {
    return this.#kind === 'edu' ? EDU_DMA_MASK : (1n << 64n) - 1n;
  }

  /**
   * One DMA of 4 bytes or more, aimed at any address; nothing is mapped for it.
   *
   * @param write from the device to memory
   * @returns whether the device says that it is done
   */
  transfer(address: bigint, length: number, write: boolean): boolean {
    if (this.#kind === 'edu') return this.#edu(address, length, write);
    return this.#engine(address, length, write);
  }

  /** Whether the last DMA was refused, as the device says itself; undefined: it cannot tell. */
  get refused(): boolean | undefined {
    if (this.#kind === 'edu') return undefined;
    return (this.#get(DMA_ENGINE_R_STATUS) & DMA_ENGINE_S_FAULT) !== 0;
  }

  remove(): void {
    disableFunction(this.#pci);
  }

  #edu(address: bigint, length: number, write: boolean): boolean {
    const buffer = BigInt(EDU_BUFFER);
    this.#wide(EDU_R_DMA_SOURCE, write ? buffer : address);
    this.#wide(EDU_R_DMA_TARGET, write ? address : buffer);
    this.#wide(EDU_R_DMA_COUNT, BigInt(length));
    this.#set(EDU_R_DMA_COMMAND, EDU_DMA_RUN | (write ? EDU_DMA_TO_MEMORY : 0));
    return this.#kernel.waitFor(() => (this.#get(EDU_R_DMA_COMMAND) & EDU_DMA_RUN) === 0);
  }

  #engine(address: bigint, length: number, write: boolean): boolean {
    this.#kernel.bus.write(this.#base + DMA_ENGINE_BUFFER, 4, 0x5a5a_5a5a);
    this.#set(DMA_ENGINE_R_STATUS, 0xffff_ffff);
    this.#set(DMA_ENGINE_R_ADDRESS_LO, loOf(address));
    this.#set(DMA_ENGINE_R_ADDRESS_HI, hiOf(address));
    this.#set(DMA_ENGINE_R_LENGTH, length);
    this.#set(DMA_ENGINE_R_OFFSET, 0);
    this.#set(DMA_ENGINE_R_CONTROL, DMA_ENGINE_C_GO | (write ? DMA_ENGINE_C_WRITE : 0));
    return this.#kernel.waitFor(() => (this.#get(DMA_ENGINE_R_STATUS) & DMA_ENGINE_S_DONE) !== 0);
  }

  #wide(offset: number, value: bigint): void {
    this.#set(offset, loOf(value));
    this.#set(offset + 4, hiOf(value));
  }

  #get(offset: number): number {
    return this.#kernel.bus.read(this.#base + offset, 4);
  }

  #set(offset: number, value: number): void {
    this.#kernel.bus.write(this.#base + offset, 4, value);
  }
}
