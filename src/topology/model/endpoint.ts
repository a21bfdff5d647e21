import type { Range } from '../../bytes/index.ts';
import type { Place } from '../diagnostic.ts';

/** Who issues DMA: one PCI function, a range of requester IDs, or a platform device. */
export interface Endpoint {
  readonly id: string;
  readonly location: PciLocation | PlatformLocation;
  /** What is there. Absent for ranges that only say who translates them. */
  readonly device?: EndpointDevice;
  /** The vIOMMU it is behind; absent: it bypasses. */
  readonly viommu?: string;
  /** Endpoint ID of the (first) requester; consecutive for a range. Present when behind a vIOMMU. */
  readonly endpointId?: number;
  /** Whether the file states the ID. */
  readonly explicitId: boolean;
  /** The device is the host's: the mappings of its domain are relayed there. */
  readonly passthrough?: Passthrough;
  /** What drives it in the guest, when it is not the driver that its kernel chooses. */
  readonly guestDriver?: 'vfio-pci';
  readonly place: Place;
  readonly places: Readonly<Record<string, Place>>;
}

/** What the IOMMU of the host can do, as VFIO type 1 tells it. */
export interface Passthrough {
  /** Bit n: pages of 2^n bytes. */
  readonly pageSizeMask: bigint;
  /** I/O virtual addresses that can be mapped. */
  readonly aperture: Range;
  /** Mappings at once. */
  readonly mappings: number;
  /** Addresses in the aperture that the host keeps for itself. */
  readonly reserved: readonly Range[];
}

export interface PciLocation {
  readonly kind: 'pci';
  readonly host: string;
  readonly segment: number;
  /** Requester IDs, both ends included; one function has start = end. */
  readonly rids: Range<number>;
  /** What the file named: a function, a range of functions, or whole buses. */
  readonly form: 'function' | 'range' | 'buses';
}

export interface PlatformLocation {
  readonly kind: 'platform';
  readonly base: bigint;
  readonly size: bigint;
  readonly interrupt?: number;
  /** Device-tree `compatible`, most specific first. */
  readonly compatible: readonly string[];
}

export type DeviceKind =
  | 'virtio-blk'
  | 'virtio-net'
  | 'virtio-rng'
  | 'edu'
  | 'dma-engine'
  | 'e1000e'
  | 'nvme'
  | 'xhci'
  | 'generic';

export interface EndpointDevice {
  readonly kind: DeviceKind;
  /** VIRTIO_F_ACCESS_PLATFORM is offered. True for whatever is behind a vIOMMU unless stated. */
  readonly accessPlatform: boolean;
  /** Whether firmware (SeaBIOS, EDK2) may boot from it. */
  readonly bootable: boolean;
  /** Bytes, for disks. */
  readonly size?: bigint;
  /** Anything else, as written. */
  readonly options: Readonly<Record<string, string | number | boolean>>;
}
