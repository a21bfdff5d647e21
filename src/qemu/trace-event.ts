import type { Range } from '../bytes/index.ts';

/**
 * What QEMU's virtio-iommu tells through its trace points, typed.
 *
 * QEMU does not say which vIOMMU an event belongs to, nor how a request ended; with two vIOMMUs
 * only the endpoint tells them apart. Numbers that QEMU prints as signed are made unsigned here.
 */
export type TraceEvent = TraceBase &
  (
    | { readonly kind: 'features'; readonly features: bigint }
    | { readonly kind: 'status'; readonly status: number }
    | { readonly kind: 'reset'; readonly system: boolean }
    | TraceConfig
    | { readonly kind: 'set-config'; readonly bypass: boolean }
    /** PROBE answered with a region. An endpoint without regions leaves no trace of its PROBE. */
    | {
        readonly kind: 'probe-region';
        readonly endpoint: number;
        readonly type: 'reserved' | 'msi';
        readonly range: Range;
      }
    | { readonly kind: 'attach' | 'detach'; readonly domain: number; readonly endpoint: number }
    | {
        readonly kind: 'map';
        readonly domain: number;
        readonly virt: Range;
        readonly phys: bigint;
        /** VIRTIO_IOMMU_MAP_F_*. */
        readonly flags: number;
      }
    | { readonly kind: 'unmap' | 'unmap-done'; readonly domain: number; readonly virt: Range }
    | {
        readonly kind: 'endpoint' | 'endpoint-gone';
        readonly endpoint: number;
      }
    | { readonly kind: 'domain' | 'domain-gone'; readonly domain: number }
    | {
        readonly kind: 'translate';
        readonly region: string;
        readonly rid: number;
        readonly iova: bigint;
        /** IOMMU_RO 1, IOMMU_WO 2, IOMMU_RW 3. */
        readonly flag: number;
      }
    | {
        readonly kind: 'translated';
        readonly endpoint: number;
        readonly iova: bigint;
        readonly phys: bigint;
      }
    | {
        readonly kind: 'fault';
        readonly reason: 'unknown' | 'domain' | 'mapping';
        readonly endpoint: number;
        readonly write: boolean;
        readonly address?: bigint;
      }
    /** The device refused an access; QEMU's error message, not a trace point. */
    | { readonly kind: 'complaint'; readonly endpoint: number; readonly message: string }
  );

export interface TraceBase {
  /** Seconds since the epoch, with `-msg timestamp=on`. */
  readonly time?: number;
  /** The line itself. */
  readonly text: string;
}

export interface TraceConfig {
  readonly kind: 'config';
  readonly pageSizeMask: bigint;
  readonly inputRange: Range;
  readonly domainRange: Range<number>;
  readonly probeSize: number;
  readonly bypass: boolean;
}
