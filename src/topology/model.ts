import type { Range } from '../bytes/index.ts';
import type { KernelVersion, Place } from './diagnostic.ts';

/**
 * The resolved topology: everything derived, every number a number, every name bound.
 *
 * This is the single source. Endpoint IDs in the device tree, in VIOT, in the device model, on
 * QEMU's command line and in the verdict are all read from here and from nowhere else.
 */
export interface Model {
  readonly name: string;
  readonly description: string;
  /** The topology file as it was named by the user. */
  readonly file: string;
  readonly board: Board;
  readonly arch: Arch;
  readonly cpus: number;
  /** RAM, in guest-physical addresses, ascending, disjoint. */
  readonly memory: readonly Range[];
  /** The interrupt controller of an arm64 board; absent on x86-64. */
  readonly gic?: Gic;
  readonly hosts: readonly PciHost[];
  readonly viommus: readonly Viommu[];
  readonly endpoints: readonly Endpoint[];
  readonly doorbells: readonly Doorbell[];
  readonly reserved: readonly ReservedRegion[];
  /**
   * Who translates which requester ID: sorted by segment and requester ID, disjoint, adjacent rows
   * of the same vIOMMU with consecutive IDs merged. A requester ID in no row bypasses.
   */
  readonly coverage: readonly CoverageRow[];
  readonly firmware: FirmwareOptions;
  readonly expect: Expectations;
  /** Kernel and page size this topology is made for; `check` and `boot` assume them. */
  readonly guest: GuestTarget;
  readonly place: Place;
}

/** The guest that a topology is made for. */
export interface GuestTarget {
  /** The oldest Linux it is meant for; absent: whatever is asked about. */
  readonly kernel?: KernelVersion;
  /** Page size in bytes: 4096, 16384 or 65536. */
  readonly pageSize: bigint;
}

export type Board = 'virt' | 'q35' | 'emulator';
export type Arch = 'arm64' | 'x86-64';

/** Addresses are guest-physical. Defaults are those of QEMU's `virt` (docs/reference/topology.md). */
export interface Gic {
  readonly version: 2 | 3;
  readonly distributor: Range;
  /** GICv2: the CPU interface. GICv3: the redistributors. */
  readonly cpuInterface: Range;
  readonly place: Place;
}

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
  readonly place: Place;
  readonly places: Readonly<Record<string, Place>>;
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

/** Where a device writes to raise an MSI. */
export interface Doorbell {
  readonly id: string;
  readonly kind: 'x86' | 'gicv2m' | 'its';
  /** The controller's registers. x86: the whole window. */
  readonly frame: Range;
  /** The pages a device writes to: v2m frame, ITS translation page, x86 window. */
  readonly window: Range;
  /** `reserved`: a RESV_MEM MSI region in PROBE. `mapped`: the guest maps the page by software. */
  readonly delivery: 'reserved' | 'mapped';
  /** GICv2m: first SPI (counted from 0) and how many. */
  readonly spis?: { readonly base: number; readonly count: number };
  readonly place: Place;
}

/** A piece of IOVA space with a meaning of its own. */
export interface ReservedRegion {
  readonly id: string;
  readonly range: Range;
  /** `reserved` and `msi`: RESV_MEM of PROBE. `direct`: identity-mapped, by the device tree. */
  readonly type: 'reserved' | 'msi' | 'direct';
  /** Said by PROBE (`viommu`), by the device tree's reserved-memory (`device-tree`), or both. */
  readonly via: readonly ('probe' | 'device-tree')[];
  /** Endpoints it holds for; for a region of a whole vIOMMU, all of them. */
  readonly endpoints: readonly string[];
  /** The vIOMMU whose every endpoint has it. */
  readonly viommu?: string;
  /** Physical range of a device-tree region, when not the same as `range`. */
  readonly physical?: Range;
  readonly place: Place;
}

/** A run of requester IDs that one vIOMMU translates, with consecutive endpoint IDs. */
export interface CoverageRow {
  readonly host: string;
  readonly segment: number;
  readonly rids: Range<number>;
  readonly viommu: string;
  /** Endpoint ID of `rids.start`. */
  readonly endpointId: number;
  readonly place: Place;
}

/** What the generated firmware says beyond the plain description. */
export interface FirmwareOptions {
  /** Which descriptions this board's guest is given. */
  readonly deviceTree: boolean;
  readonly acpi: boolean;
  /** Deviations written on purpose, to build wrong firmware; see `overrides.ts`. */
  readonly overrides?: FirmwareOverrides;
}

/** One cell of a raw row: a number, or the name of a node whose phandle stands there. */
export type RawCell = number | string;

/**
 * Firmware that is wrong on purpose, for tests of kernels, firmware and of this tool.
 * Each entry replaces what would be derived; everything else stays derived.
 */
export interface FirmwareOverrides {
  readonly hosts: Readonly<Record<string, HostOverrides>>;
  readonly viommus: Readonly<Record<string, ViommuOverrides>>;
  readonly endpoints: Readonly<Record<string, EndpointOverrides>>;
  readonly regions: Readonly<Record<string, RegionOverrides>>;
  readonly viot?: ViotOverrides;
  readonly iort?: IortOverrides;
  /** Bytes added to the tree as an unused property, to show what its size limit does. */
  readonly padding?: bigint;
}

export interface HostOverrides {
  readonly iommuMap?: readonly (readonly RawCell[])[];
  readonly iommuMapMask?: number;
  readonly msiMap?: readonly (readonly RawCell[])[] | 'none';
  /** A doorbell, or `none`: the property is left out. */
  readonly msiParent?: string;
  /** A number, or the property left out. */
  readonly pciDomain?: number | 'none';
  readonly places: Readonly<Record<string, Place>>;
}

export interface ViommuOverrides {
  /** False: the IOMMU has no node. */
  readonly described?: boolean;
  /** First cell of `reg` of a PCI IOMMU (requester ID << 8). */
  readonly reg?: number;
  readonly nodeName?: string;
  readonly iommuCells?: number | 'none';
  readonly status?: 'okay' | 'disabled';
  readonly places: Readonly<Record<string, Place>>;
}

export interface EndpointOverrides {
  readonly iommus?: readonly (readonly RawCell[])[];
  readonly places: Readonly<Record<string, Place>>;
}

export interface RegionOverrides {
  /** Raw cells after the phandle. */
  readonly iommuAddresses?: readonly number[];
  /** False: the device does not point back. */
  readonly memoryRegion?: boolean;
  readonly places: Readonly<Record<string, Place>>;
}

export interface ViotOverrides {
  readonly nodeCount?: number;
  readonly nodeOffset?: number;
  /** Replaces all nodes, in this order. */
  readonly nodes?: readonly ViotNodeOverride[];
  readonly places: Readonly<Record<string, Place>>;
}

/** A VIOT node as the user wrote it; `output` counts nodes from 0, or is a raw byte offset. */
export type ViotNodeOverride = (
  | {
      readonly type: 'pci-range';
      readonly endpointStart: number;
      readonly segments: Range<number>;
      readonly rids: Range<number>;
      readonly output: ViotOutput;
    }
  | {
      readonly type: 'mmio-endpoint';
      readonly endpoint: number;
      readonly base: bigint;
      readonly output: ViotOutput;
    }
  | { readonly type: 'pci-iommu'; readonly segment: number; readonly rid: number }
  | { readonly type: 'mmio-iommu'; readonly base: bigint }
  | { readonly type: 'unknown'; readonly number: number }
) & { readonly length?: number; readonly place: Place };

export type ViotOutput = { readonly node: number } | { readonly offset: number };

export interface IortOverrides {
  /** Added to each ID mapping's `id_count`; 1 is the well-known off-by-one. */
  readonly idCountDelta?: number;
  readonly places: Readonly<Record<string, Place>>;
}

/** What the user expects where it differs from what the topology implies. */
export interface Expectations {
  /** Endpoint id → what the guest must show. */
  readonly endpoints: Readonly<Record<string, EndpointExpectation>>;
  /** Regular expressions that must (not) match a line of the kernel log. */
  readonly log: { readonly present: readonly string[]; readonly absent: readonly string[] };
  readonly place?: Place;
}

export interface EndpointExpectation {
  /** True: in an IOMMU group. */
  readonly translated?: boolean;
  /** Type of its default domain. */
  readonly groupType?: 'DMA' | 'DMA-FQ' | 'identity';
  /** False: reading it is expected to fail or hang. */
  readonly works?: boolean;
  readonly place: Place;
}
