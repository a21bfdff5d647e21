import { DirectDma, GuestMemory, type DmaSpace } from '../../../src/memory/index.ts';
import {
  PciFunction,
  PciHost,
  type BarRegion,
  type PciFunctionOptions,
} from '../../../src/pci/index.ts';
import { PCI_CLASS_SP_OTHER } from '../../../src/spec/pci-config.ts';

/** Memory behind a BAR that remembers what was stored. */
export class Scratch implements BarRegion {
  readonly bytes: Uint8Array;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  read(offset: number, size: number): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 0x100 + (this.bytes[offset + i] ?? 0);
    return value;
  }

  write(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) this.bytes[offset + i] = value >>> (8 * i);
  }
}

export interface Message {
  readonly address: number;
  readonly value: number;
}

export const DOORBELL = 0x0802_0040;

/** RAM of 64 KiB at 0x40000000 and one doorbell. */
export function memory(): { dma: DmaSpace; messages: Message[]; ram: Uint8Array } {
  const ram = new Uint8Array(0x1_0000);
  const messages: Message[] = [];
  const guest = new GuestMemory([{ gpa: 0x4000_0000n, bytes: ram }]);
  const dma = new DirectDma(guest, (hi, lo, value) => {
    const address = hi * 2 ** 32 + lo;
    if (address !== DOORBELL) return false;
    messages.push({ address, value });
    return true;
  });
  return { dma, messages, ram };
}

export const WINDOW = { start: 0x1000_0000n, end: 0x3eff_ffffn };
export const WIDE_WINDOW = { start: 0x80_0000_0000n, end: 0xff_ffff_ffffn };

export function host(
  intx?: (line: number, level: boolean) => void,
  buses = { start: 0, end: 15 },
): PciHost {
  const windows = [WINDOW, WIDE_WINDOW];
  return new PciHost({ segment: 0, buses, windows, ...(intx ? { intx } : {}) });
}

/** A function with a 32-bit BAR 0, a prefetchable 64-bit BAR 4 and MSI-X in BAR 1. */
export function sample(
  dma: DmaSpace,
  more: Partial<PciFunctionOptions> = {},
): {
  fn: PciFunction;
  small: Scratch;
  large: Scratch;
} {
  const small = new Scratch(0x100);
  const large = new Scratch(0x4000);
  const fn = new PciFunction({
    name: 'sample',
    vendorId: 0x1234,
    deviceId: 0x5678,
    revision: 3,
    classCode: PCI_CLASS_SP_OTHER,
    subsystem: { vendorId: 0xabcd, deviceId: 0xef01 },
    interruptPin: 1,
    bars: [
      { index: 0, kind: 'mem32', size: 0x100, region: small },
      { index: 4, kind: 'mem64', prefetchable: true, size: 0x4000, region: large },
    ],
    msix: { vectors: 3, bar: 1 },
    dma,
    ...more,
  });
  return { fn, small, large };
}
