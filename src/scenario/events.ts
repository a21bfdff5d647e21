import type { Range } from '../bytes/index.ts';

/**
 * What a vIOMMU and the endpoints behind it did, one event each, in the order it happened.
 *
 * Every backend speaks this: our own device natively, QEMU's through its trace. A field that a
 * backend cannot know is absent, and its {@link Capability} list says so.
 */
export type DeviceEvent = EventBase &
  (
    | {
        readonly kind: 'probe';
        readonly endpoint: number;
        readonly regions?: readonly EventRegion[];
      }
    | AttachEvent
    | { readonly kind: 'detach'; readonly domain: number; readonly endpoint: number }
    | MapEvent
    | { readonly kind: 'unmap'; readonly domain: number; readonly virt: Range }
    | AccessEvent
    | FaultEvent
    | HostCallEvent
    | HostFaultEvent
    | { readonly kind: 'msi'; readonly endpoint: number; readonly address: bigint }
  );

export interface EventBase {
  /** Position in the run's stream of events; strictly ascending. */
  readonly order: number;
  /** Seconds since the machine started, where the backend has a clock. */
  readonly time?: number;
  /** Topology id of the vIOMMU; absent where the backend cannot tell (QEMU's trace). */
  readonly viommu?: string;
  /** Status byte of a request (VIRTIO 1.3, IOMMU Device / Device operations): 0 is OK. */
  readonly status?: number;
  /** The backend's own words for it, for evidence: a line of QEMU's trace, say. */
  readonly text?: string;
}

export interface AttachEvent {
  readonly kind: 'attach';
  readonly domain: number;
  readonly endpoint: number;
  /** VIRTIO_IOMMU_ATTACH_F_BYPASS. */
  readonly bypass?: boolean;
}

export interface MapEvent {
  readonly kind: 'map';
  readonly domain: number;
  readonly virt: Range;
  readonly phys: bigint;
  /** VIRTIO_IOMMU_MAP_F_*. */
  readonly flags: number;
}

/** One DMA access by an endpoint. */
export interface AccessEvent {
  readonly kind: 'access';
  readonly endpoint: number;
  readonly iova: bigint;
  /** Bytes, where the backend knows. */
  readonly length?: number;
  readonly write: boolean;
  /** Through a mapping, or past the translation. A refused access is a `fault`. */
  readonly how: 'translated' | 'bypassed';
}

/** A fault record (VIRTIO 1.3, IOMMU Device / Fault reporting). */
export interface FaultEvent {
  readonly kind: 'fault';
  readonly endpoint: number;
  readonly reason: 'unknown' | 'domain' | 'mapping';
  readonly address?: bigint;
  readonly write?: boolean;
}

/** A call to the container of the host that an endpoint is passed through from. */
export interface HostCallEvent {
  readonly kind: 'host-call';
  readonly endpoint: number;
  readonly call: 'map' | 'unmap' | 'unmap-all';
  /** I/O virtual addresses; absent for `unmap-all`. */
  readonly virt?: Range;
  /** Of a `map`: the guest-physical address that the host address given stands for. */
  readonly phys?: bigint;
  /** Of a `map`: VFIO_DMA_MAP_FLAG_READ, _WRITE, which are also VIRTIO_IOMMU_MAP_F_READ, _WRITE. */
  readonly access?: number;
  /** The errno of a call that failed. */
  readonly errno?: string;
}

/** An access that the host refused. No vIOMMU hears of it, so there is no fault record. */
export interface HostFaultEvent {
  readonly kind: 'host-fault';
  readonly endpoint: number;
  readonly address: bigint;
  readonly write: boolean;
}

export interface EventRegion {
  readonly range: Range;
  readonly type: 'reserved' | 'msi';
}

/** What a backend can see. A promise that needs more says `not-observable`. */
export type Capability =
  | 'probe'
  /** Only the regions that a PROBE is answered with; one without any leaves no trace. */
  | 'probe-regions'
  | 'attach'
  | 'detach'
  | 'map'
  | 'unmap'
  /** Accesses that went through a mapping. */
  | 'access'
  /** Accesses past the translation. */
  | 'bypassed-access'
  | 'fault'
  | 'msi'
  /** The status of each request. */
  | 'status'
  /** Which vIOMMU an event belongs to. */
  | 'viommu'
  /** What the hosts of passed-through endpoints are asked and refuse. */
  | 'host';
