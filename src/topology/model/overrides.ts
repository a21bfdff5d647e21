import type { Range } from '../../bytes/index.ts';
import type { Place } from '../diagnostic.ts';

/** What the generated firmware says beyond the plain description. */
export interface FirmwareOptions {
  /** Which descriptions this board's guest is given. */
  readonly deviceTree: boolean;
  readonly acpi: boolean;
  /** Deviations written on purpose, to build wrong firmware; see {@link FirmwareOverrides}. */
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
