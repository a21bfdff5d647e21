import type { Range } from '../../bytes/index.ts';
import type { Place } from '../diagnostic.ts';

/** A PCI root complex: an ECAM window, a segment and a bus range (PCI Firmware 3.3, MCFG). */
export interface PciHost {
  readonly id: string;
  /** `root`: the board's own root complex. `pxb`: an extra host bridge beside it. */
  readonly kind: 'root' | 'pxb';
  /** PCI segment group, 0–0xffff; `linux,pci-domain` in the device tree. */
  readonly segment: number;
  /** Bus numbers, 0–0xff, both included. */
  readonly buses: Range<number>;
  /** Configuration space of bus `buses.start`… (1 MiB per bus). */
  readonly ecam: Range;
  /** I/O port window as the CPU sees it. PCI address 0. */
  readonly io?: Range;
  /** Non-prefetchable 32-bit memory window, identity-mapped. */
  readonly mem32: Range;
  /** Prefetchable 64-bit memory window, identity-mapped. */
  readonly mem64?: Range;
  /** Added to a requester ID to make the derived endpoint ID: `segment << 16` unless stated. */
  readonly endpointIdBase: number;
  /** The vIOMMU that translates what no endpoint entry says otherwise; absent: bypass. */
  readonly viommu?: string;
  /** `msi-map`/`msi-parent` go to this doorbell; absent: no MSI for this host. */
  readonly doorbell?: string;
  /** Bus addresses that devices may use for DMA (`dma-ranges`); absent: everything. */
  readonly dmaRange?: Range;
  readonly bridges: readonly PciBridge[];
  readonly place: Place;
}

/** A bridge below a host. */
export interface PciBridge {
  readonly id: string;
  readonly kind: 'root-port' | 'pcie-pci-bridge';
  /** Requester ID of the bridge itself. */
  readonly rid: number;
  /** Secondary to subordinate bus. */
  readonly buses: Range<number>;
  readonly hotplug: boolean;
  readonly place: Place;
}
