import type { PciFunction } from '../pci/index.ts';
import { PCI_STD_NUM_BARS } from '../spec/pci-config.ts';
import { EINVAL, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_NUM_REGIONS } from '../spec/vfio-user.ts';
import { IrqLines } from './irq-lines.ts';
import type { Sys } from './sys.ts';

/**
 * One PCI function as vfio-user shows it: regions, interrupts, reset. The VMM plays BARs' addresses,
 * the MSI-X table and the ROM itself; here arrive accesses by region and offset.
 */
export class ServedDevice {
  readonly fn: PciFunction;
  readonly irqs: IrqLines;
  /** Told after each store to a BAR: the guest drives the device. */
  onDriven: (() => void) | undefined;

  constructor(fn: PciFunction, sys: Sys) {
    this.fn = fn;
    this.irqs = new IrqLines(fn, sys);
  }

  /** Bytes of a region, 0 for one that the function does not have; undefined: there is none such. */
  regionSize(index: number): number | undefined {
    if (index >= VFIO_PCI_NUM_REGIONS) return undefined;
    if (index === VFIO_PCI_CONFIG_REGION_INDEX) return this.fn.config.size;
    if (index >= PCI_STD_NUM_BARS) return 0;
    return this.fn.bars.find((bar) => bar.index === index)?.size ?? 0;
  }

  /** Reads into `out` at `at`. @returns an errno */
  read(region: number, offset: number, count: number, out: DataView, at: number): number {
    const size = this.regionSize(region) ?? 0;
    if (count === 0 || offset + count > size) return EINVAL;
    const { fn } = this;
    if (region !== VFIO_PCI_CONFIG_REGION_INDEX) {
      for (let done = 0; done < count;) {
        const width = widthAt(offset + done, count - done);
        put(out, at + done, width, fn.barRead(region, offset + done, width));
        done += width;
      }
    } else if (count > 4) {
      // A VMM looks at all of it at once. That is no guest's load, so it has no effects.
      for (let i = 0; i < count; i++) out.setUint8(at + i, fn.config.get(offset + i, 1));
    } else {
      put(out, at, count, fn.config.read(offset, count));
    }
    return 0;
  }

  /** Writes what lies in `from` at `at`. @returns an errno */
  write(region: number, offset: number, count: number, from: DataView, at: number): number {
    const size = this.regionSize(region) ?? 0;
    if (count === 0 || offset + count > size) return EINVAL;
    const { fn } = this;
    const config = region === VFIO_PCI_CONFIG_REGION_INDEX;
    for (let done = 0; done < count;) {
      const width = widthAt(offset + done, count - done);
      const value = take(from, at + done, width);
      if (config) fn.config.write(offset + done, width, value);
      else fn.barWrite(region, offset + done, width, value);
      done += width;
    }
    if (!config) this.onDriven?.();
    return 0;
  }

  /** DEVICE_RESET: the power-on state. The VMM's eventfds stay. */
  reset(): void {
    this.fn.reset();
  }

  /** Nobody is connected any more. */
  abandon(): void {
    this.irqs.clear();
    this.fn.reset();
  }
}

/** A natural access of 1, 2 or 4 bytes at that offset. */
function widthAt(offset: number, left: number): number {
  if (left >= 4 && offset % 4 === 0) return 4;
  return left >= 2 && offset % 2 === 0 ? 2 : 1;
}

function put(out: DataView, at: number, width: number, value: number): void {
  if (width === 4) out.setUint32(at, value, true);
  else for (let i = 0; i < width; i++) out.setUint8(at + i, value >>> (8 * i));
}

function take(from: DataView, at: number, width: number): number {
  if (width === 4) return from.getUint32(at, true);
  return width === 2 ? from.getUint16(at, true) : from.getUint8(at);
}
