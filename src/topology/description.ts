import type { Range } from '../bytes/index.ts';
import type { Place, Severity } from './diagnostic.ts';

/**
 * What a piece of firmware says about I/O topology, as a kernel reads it.
 *
 * Two ways lead here: `describe/` derives it from a {@link Model} (that is what `firmware` then
 * writes as bytes), and `firmware`'s readers decode it from a `.dtb` or an ACPI table of anyone's.
 * The rules see only this, so they judge both alike. It can hold every mistake the formats can.
 */

/** A device tree's view. */
export interface TreeDescription {
  readonly hosts: readonly TreeHost[];
  readonly iommus: readonly TreeIommu[];
  /** Platform devices with `iommus`, and those that could have it. */
  readonly devices: readonly TreeDevice[];
  readonly regions: readonly TreeRegion[];
  readonly msiControllers: readonly TreeMsiController[];
  readonly memory: readonly Range[];
  /** Bytes of the blob, where there is one. */
  readonly size?: number;
  /** What the reader of the blob found wrong with its form: `fdt/property-after-child` … */
  readonly formProblems: readonly FormProblem[];
  readonly place: Place;
}

/** Damage that a reader could step over, but that changes what a kernel sees. */
export interface FormProblem {
  readonly code: string;
  /** `warning`: a kernel copes, or does not look. Absent: error, it loses something. */
  readonly severity?: Severity;
  readonly message: string;
  readonly place: Place;
}

/** A reference to another node: its key in this description, or a phandle that names nothing. */
export type NodeRef = { readonly key: string } | { readonly phandle: number };

export interface TreeHost {
  /** Unique in the description: the topology's id, or the node's path. */
  readonly key: string;
  readonly path: string;
  /** `linux,pci-domain`; absent: the property is missing. */
  readonly segment?: number;
  /** `bus-range`; a missing property means 0–0xff. */
  readonly buses: Range<number>;
  readonly iommuMap?: RidMap;
  readonly iommuMapMask?: { readonly value: number; readonly place: Place };
  readonly msiMap?: RidMap;
  readonly msiParent?: { readonly target: NodeRef; readonly place: Place };
  /** Windows of `dma-ranges`, bus addresses. */
  readonly dmaRanges?: readonly Range[];
  readonly dmaCoherent: boolean;
  readonly place: Place;
}

/** `iommu-map` or `msi-map`. */
export interface RidMap {
  /** The whole rows; a remainder that makes no row is in `leftover`. */
  readonly rows: readonly RidMapRow[];
  /** Cells after the last whole row. */
  readonly leftover: number;
  /** Bytes of the property. */
  readonly bytes: number;
  readonly place: Place;
}

export interface RidMapRow {
  readonly ridBase: number;
  readonly target: NodeRef;
  readonly outputBase: number;
  readonly length: number;
  readonly place: Place;
}

export interface TreeIommu {
  readonly key: string;
  readonly path: string;
  readonly phandle?: number;
  readonly location:
    | {
        readonly kind: 'pci';
        /** Key of the host or bridge it is a child of: the same as `host` on the root bus. */
        readonly parent: string;
        /** Key of the host above, however deep. */
        readonly host: string;
        /** Requester ID of `reg`'s first cell. */
        readonly rid: number;
      }
    | { readonly kind: 'mmio'; readonly base: bigint };
  readonly compatible: readonly string[];
  /** Name without path: `iommu@1,0`. */
  readonly nodeName: string;
  /** `#iommu-cells`; absent: the property is missing. */
  readonly iommuCells?: number;
  readonly enabled: boolean;
  /** Whether it is a virtio-iommu; other IOMMUs (SMMU) are listed to be left alone. */
  readonly virtio: boolean;
  readonly place: Place;
}

export interface TreeDevice {
  readonly key: string;
  readonly path: string;
  readonly base?: bigint;
  readonly compatible: readonly string[];
  readonly iommus: readonly TreeIommusEntry[];
  /** Keys of reserved regions it points to (`memory-region`). */
  readonly memoryRegions: readonly string[];
  /** Requester ID and host, when it is a PCI child node. */
  readonly pci?: { readonly host: string; readonly rid: number };
  readonly place: Place;
}

export interface TreeIommusEntry {
  readonly target: NodeRef;
  /** Specifier cells. */
  readonly ids: readonly number[];
  readonly place: Place;
}

/** A `reserved-memory` child with `iommu-addresses`. */
export interface TreeRegion {
  readonly key: string;
  readonly path: string;
  /** Physical range (`reg`), when it has one. */
  readonly physical?: Range;
  readonly addresses: readonly TreeIommuAddress[];
  readonly place: Place;
}

export interface TreeIommuAddress {
  readonly device: NodeRef;
  /** Raw cells after the phandle, as written. */
  readonly cells: readonly number[];
  /** The IOVA range they mean with the cells of the device's parent bus; absent: they do not fit. */
  readonly range?: Range;
  readonly place: Place;
}

export interface TreeMsiController {
  readonly key: string;
  readonly path: string;
  readonly phandle?: number;
  readonly kind: 'gicv2m' | 'its' | 'other';
  /** `#msi-cells`; absent: the property is missing. */
  readonly msiCells?: number;
  /** The page a device writes to. */
  readonly window?: Range;
  readonly place: Place;
}

/** VIOT's view (ACPI 6.5, 5.2.34). */
export interface ViotDescription {
  /** In table order, those a kernel reaches. */
  readonly nodes: readonly ViotNode[];
  readonly nodeCount: number;
  readonly nodeOffset: number;
  readonly formProblems: readonly FormProblem[];
  readonly place: Place;
}

export type ViotNode =
  | {
      readonly type: 'pci-range';
      readonly offset: number;
      readonly endpointStart: number;
      readonly segments: Range<number>;
      readonly rids: Range<number>;
      /** Byte offset in the table. */
      readonly output: number;
      readonly place: Place;
    }
  | {
      readonly type: 'mmio-endpoint';
      readonly offset: number;
      readonly endpoint: number;
      readonly base: bigint;
      readonly output: number;
      readonly place: Place;
    }
  | {
      readonly type: 'pci-iommu';
      readonly offset: number;
      readonly segment: number;
      readonly rid: number;
      readonly place: Place;
    }
  | {
      readonly type: 'mmio-iommu';
      readonly offset: number;
      readonly base: bigint;
      readonly place: Place;
    }
  | {
      readonly type: 'unknown';
      readonly offset: number;
      readonly number: number;
      readonly length: number;
      readonly place: Place;
    };

/** IORT's view, as far as MSI and precedence over VIOT need it (Arm DEN0049E.f). */
export interface IortDescription {
  readonly rootComplexes: readonly IortRootComplex[];
  readonly formProblems: readonly FormProblem[];
  readonly place: Place;
}

export interface IortRootComplex {
  readonly segment: number;
  readonly mappings: readonly IortMapping[];
  readonly place: Place;
}

export interface IortMapping {
  readonly input: Range<number>;
  readonly outputBase: number;
  /** What the IDs go to. */
  readonly target: 'its' | 'smmu' | 'other' | 'none';
  readonly place: Place;
}

/** MCFG's view: which buses of which segment exist. */
export interface McfgDescription {
  readonly hosts: readonly {
    readonly segment: number;
    readonly buses: Range<number>;
    readonly ecam: bigint;
    readonly place: Place;
  }[];
  readonly place: Place;
}
