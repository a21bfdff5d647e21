import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_MEM_PREFETCH,
  PCI_BASE_ADDRESS_MEM_TYPE_64,
  PCI_STD_NUM_BARS,
} from '../spec/pci-config.ts';
import type { ConfigRegister, ConfigSpace } from './config-space.ts';

/** Memory of a device behind a BAR. Offsets may pass its end by up to 3 bytes; nothing may throw. */
export interface BarRegion {
  /** A load of 1, 2 or 4 bytes. */
  read(offset: number, size: number): number;
  write(offset: number, size: number, value: number): void;
}

export interface BarOptions {
  /** 0–5; a mem64 BAR takes the next one too. */
  readonly index: number;
  readonly kind: 'mem32' | 'mem64';
  readonly prefetchable?: boolean;
  /** Bytes: a power of two, 16 to 2^31. */
  readonly size: number;
  readonly region: BarRegion;
}

/** A base address register (PCI Local Bus 3.0, 6.2.5.1). */
export class Bar {
  readonly index: number;
  readonly wide: boolean;
  readonly prefetchable: boolean;
  readonly size: number;
  readonly region: BarRegion;

  /** @throws RangeError on a size or index that no BAR can have: our own mistake */
  constructor({ index, kind, prefetchable = false, size, region }: BarOptions) {
    this.index = index;
    this.wide = kind === 'mem64';
    this.prefetchable = prefetchable;
    this.size = size;
    this.region = region;
    const last = index + (this.wide ? 1 : 0);
    if (index < 0 || last >= PCI_STD_NUM_BARS) throw new RangeError(`there is no BAR ${last}`);
    if (size < 16 || size > 2 ** 31 || !Number.isInteger(Math.log2(size))) {
      throw new RangeError(`BAR ${index}: ${size} bytes is no power of two from 16 to 2^31`);
    }
  }

  /** Offset in configuration space. */
  get offset(): number {
    return PCI_BASE_ADDRESS_0 + 4 * this.index;
  }

  /** Writing ones to the address bits and reading them back tells the size: low ones stay 0. */
  registers(): ConfigRegister[] {
    const type =
      (this.wide ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0) |
      (this.prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0);
    const name = `BAR ${this.index}`;
    const low: ConfigRegister = {
      name,
      offset: this.offset,
      size: 4,
      value: type,
      writable: -this.size >>> 0,
    };
    if (!this.wide) return [low];
    const offset = this.offset + 4;
    return [low, { name: `${name} high`, offset, size: 4, value: 0, writable: 0xffff_ffff }];
  }

  /**
   * Where it was put, or undefined when nowhere: at 0, as after a reset, at its size's last place, as
   * while it is sized, or above 2^53, where no bus leads.
   */
  base(config: ConfigSpace): number | undefined {
    const low = (config.get(this.offset, 4) & -this.size) >>> 0;
    const high = this.wide ? config.get(this.offset + 4, 4) : 0;
    const base = high * 2 ** 32 + low;
    if (base === 0 || base + this.size > Number.MAX_SAFE_INTEGER) return undefined;
    return !this.wide && base + this.size === 2 ** 32 ? undefined : base;
  }
}
