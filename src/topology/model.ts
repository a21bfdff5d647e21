import type { Range } from '../bytes/index.ts';
import type { Place } from './diagnostic.ts';
import type { Arch, Board, Gic, GuestTarget } from './model/board.ts';
import type { Endpoint } from './model/endpoint.ts';
import type { Expectations } from './model/expect.ts';
import type { FirmwareOptions } from './model/overrides.ts';
import type { PciHost } from './model/pci.ts';
import type { CoverageRow, Doorbell, ReservedRegion } from './model/regions.ts';
import type { Viommu } from './model/viommu.ts';

export * from './model/board.ts';
export * from './model/endpoint.ts';
export * from './model/expect.ts';
export * from './model/overrides.ts';
export * from './model/pci.ts';
export * from './model/regions.ts';
export * from './model/viommu.ts';

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
