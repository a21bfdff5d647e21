import { addressOf, type DmaSpace } from '../memory/index.ts';
import { PCI_CAP_ID_MSI } from '../spec/pci-config.ts';
import {
  PCI_CAP_MSI_64_SIZEOF,
  PCI_MSI_ADDRESS_HI,
  PCI_MSI_ADDRESS_LO,
  PCI_MSI_DATA_64,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_ENABLE,
  PCI_MSI_FLAGS_QSIZE,
} from '../spec/msix.ts';
import type { Capability } from './capabilities.ts';
import type { ConfigSpace } from './config-space.ts';
import type { MsiMessage } from './msix.ts';

/** MSI with one vector and a 64-bit address (PCI Local Bus 3.0, 6.8.1). All its state is registers. */
export class Msi {
  onMessage: ((message: MsiMessage) => void) | undefined;
  onControl: (() => void) | undefined;
  /** Takes the messages, as {@link Msix.outlet} does. */
  outlet: ((vector: number) => boolean) | undefined;
  readonly #dma: DmaSpace;
  #config: ConfigSpace | undefined;
  #at = 0;

  constructor(dma: DmaSpace) {
    this.#dma = dma;
  }

  capability(): Capability {
    const whole = 0xffff_ffff;
    return {
      name: 'MSI',
      id: PCI_CAP_ID_MSI,
      size: PCI_CAP_MSI_64_SIZEOF,
      registers: [
        {
          name: 'Message Control',
          offset: PCI_MSI_FLAGS,
          size: 2,
          value: PCI_MSI_FLAGS_64BIT,
          writable: PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE,
          wrote: () => this.onControl?.(),
        },
        {
          name: 'Message Address',
          offset: PCI_MSI_ADDRESS_LO,
          size: 4,
          value: 0,
          writable: 0xffff_fffc,
        },
        {
          name: 'Message Upper Address',
          offset: PCI_MSI_ADDRESS_HI,
          size: 4,
          value: 0,
          writable: whole,
        },
        { name: 'Message Data', offset: PCI_MSI_DATA_64, size: 2, value: 0, writable: 0xffff },
      ],
    };
  }

  /** For the function: where the capability is. */
  placed(config: ConfigSpace, offset: number): void {
    this.#config = config;
    this.#at = offset;
  }

  get enabled(): boolean {
    return ((this.#config?.get(this.#at + PCI_MSI_FLAGS, 2) ?? 0) & PCI_MSI_FLAGS_ENABLE) !== 0;
  }

  notify(): void {
    const config = this.#config;
    if (config === undefined || !this.enabled) return;
    if (this.outlet !== undefined) {
      const delivered = this.outlet(0);
      if (this.onMessage) this.onMessage({ vector: 0, address: 0n, data: 0, delivered });
      return;
    }
    const lo = config.get(this.#at + PCI_MSI_ADDRESS_LO, 4);
    const hi = config.get(this.#at + PCI_MSI_ADDRESS_HI, 4);
    const data = config.get(this.#at + PCI_MSI_DATA_64, 2);
    const delivered = this.#dma.writeU32(hi, lo, data);
    if (this.onMessage) this.onMessage({ vector: 0, address: addressOf(hi, lo), data, delivered });
  }
}
