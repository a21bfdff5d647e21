import type { DmaEngine } from '../endpoints/index.ts';
import type { IommuDevice } from '../iommu/index.ts';
import type { TranslatedDma } from '../memory/index.ts';
import type { PciFunction, PciHost as PciHostBridge } from '../pci/index.ts';
import type { Endpoint, PciHost, Viommu } from '../topology/index.ts';
import type { MmioTransport, VirtioCore } from '../virtio/index.ts';
import type { Placement } from './coverage.ts';
import type { HostSide } from './passthrough.ts';
import type { Route } from './route.ts';

/** A host bridge of the topology, and what plays it. */
export interface MachineHost {
  readonly host: PciHost;
  readonly pci: PciHostBridge;
}

/** Something that is plugged in: an endpoint, a vIOMMU, a bridge. */
export interface Unit {
  /** Topology id. */
  readonly id: string;
  readonly kind: 'endpoint' | 'viommu' | 'bridge';
  /** Its PCI function, and the host bridge it is below. */
  readonly pci?: { readonly at: MachineHost; readonly fn: PciFunction };
  /** Its registers, when it is a platform device. */
  readonly mmio?: { readonly base: number; readonly transport: MmioTransport };
  readonly core?: VirtioCore;
  readonly engine?: DmaEngine;
  /** How its DMA goes; a vIOMMU's own goes straight. */
  readonly route?: Route;
  /** Its way to memory, with the translations that it keeps. */
  readonly dma?: TranslatedDma;
  /** False: the device does not go through its vIOMMU, though that knows it (no ACCESS_PLATFORM). */
  readonly translates: boolean;
  /** The host that the device is passed through from. */
  readonly hostSide?: HostSide;
  /** A bridge below which functions lose their own requester IDs. */
  readonly conventional?: boolean;
  /** What the topology says of it, when it is an endpoint. */
  readonly endpoint?: Endpoint;
  /** As which endpoint of which vIOMMU it is known now. */
  placed?: Placement;
}

/** A vIOMMU of the machine. */
export interface MachineViommu {
  readonly viommu: Viommu;
  readonly device: IommuDevice;
  readonly core: VirtioCore;
}
