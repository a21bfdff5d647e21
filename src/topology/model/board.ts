import type { Range } from '../../bytes/index.ts';
import type { KernelVersion, Place } from '../diagnostic.ts';

/** The guest that a topology is made for. */
export interface GuestTarget {
  /** The oldest Linux it is meant for; absent: whatever is asked about. */
  readonly kernel?: KernelVersion;
  /** Page size in bytes: 4096, 16384 or 65536. */
  readonly pageSize: bigint;
  /** What its endpoints' default domains are made to be; absent: whatever the kernel's default is. */
  readonly defaultDomain?: DefaultDomain;
  /** What is tried beyond a boot. */
  readonly checks: readonly GuestCheck[];
  /** Bytes each way of `transfer`. */
  readonly transferSize: bigint;
}

/** Default domains: `identity` as with `iommu.passthrough=1`, the others with `iommu.strict=1`, `=0`. */
export const DEFAULT_DOMAINS = ['identity', 'strict', 'lazy'] as const;
export type DefaultDomain = (typeof DEFAULT_DOMAINS)[number];

/** What can be tried beyond a boot. */
export const GUEST_CHECKS = ['rebind', 'hotplug', 'reboot', 'transfer'] as const;
export type GuestCheck = (typeof GUEST_CHECKS)[number];

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
