import type { Range } from '../../bytes/index.ts';
import type { Place } from '../diagnostic.ts';

/** A virtio-iommu (VIRTIO 1.3, IOMMU Device). */
export interface Viommu {
  readonly id: string;
  readonly transport: PciTransport | MmioTransport;
  /** Bit n set: mappings of 2^n bytes can be made. The lowest is the granule. */
  readonly pageSizeMask: bigint;
  /** The lowest bit of the mask, in bytes. */
  readonly granule: bigint;
  /** IOVAs that can be mapped (feature INPUT_RANGE). */
  readonly inputRange: Range;
  /** Domain IDs (feature DOMAIN_RANGE). */
  readonly domainRange: Range<number>;
  /** Bytes of properties in a PROBE reply. */
  readonly probeSize: number;
  /** Initial value of `config.bypass`. */
  readonly bootBypass: boolean;
  /** Feature bits offered, names of VIRTIO 1.3 without the prefix: `INPUT_RANGE` … */
  readonly features: readonly ViommuFeature[];
  readonly requestQueue: QueueOptions;
  readonly eventQueue: QueueOptions;
  readonly place: Place;
  /** Place of each key the user wrote, by its name in the file: `page-size-mask`. */
  readonly places: Readonly<Record<string, Place>>;
}

export type ViommuFeature =
  'INPUT_RANGE' | 'DOMAIN_RANGE' | 'MAP_UNMAP' | 'BYPASS' | 'PROBE' | 'MMIO' | 'BYPASS_CONFIG';

export interface QueueOptions {
  /** Descriptors: a power of two, 1–32768, for split rings. */
  readonly size: number;
  readonly ring: 'split' | 'packed';
}

export interface PciTransport {
  readonly kind: 'pci';
  readonly host: string;
  readonly segment: number;
  /** Requester ID: bus << 8 | device << 3 | function. */
  readonly rid: number;
}

export interface MmioTransport {
  readonly kind: 'mmio';
  readonly base: bigint;
  readonly size: bigint;
  /** Interrupt number: SPI (arm64, counted from 0) or GSI (x86-64). */
  readonly interrupt: number;
  /** virtio-mmio version 1 (legacy); Linux refuses such an IOMMU. */
  readonly legacy: boolean;
}
