import type { Range } from '../../bytes/index.ts';
import type { Place } from '../diagnostic.ts';

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
