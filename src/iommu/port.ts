import type { Range } from '../bytes/index.ts';
import {
  VIRTIO_IOMMU_S_DEVERR,
  VIRTIO_IOMMU_S_INVAL,
  VIRTIO_IOMMU_S_IOERR,
  VIRTIO_IOMMU_S_NOMEM,
  VIRTIO_IOMMU_S_OK,
  VIRTIO_IOMMU_S_RANGE,
} from '../spec/virtio-iommu.ts';
import type { ReservedRegion } from './regions.ts';

/**
 * What the host's IOMMU said; `ok`, or why not. `lost`: the call failed and could not be undone, so
 * that nobody knows what the host maps; after every other failure nothing has changed.
 */
export type HostOutcome =
  'ok' | 'no-memory' | 'out-of-range' | 'invalid' | 'busy' | 'io-error' | 'lost';

/**
 * The host side of a passed-through endpoint (the RFC's first scenario): where the mappings of its
 * domain are repeated. Several endpoints of one host group give the same port.
 */
export interface PassthroughPort {
  /** Page sizes of the pIOMMU, as in `config.page_size_mask`. */
  readonly pageSizeMask: bigint;
  /** IOVAs the pIOMMU can map; what lies outside is reported as RESERVED. */
  readonly aperture: readonly Range[];
  /** Regions of the host that the guest must keep clear of. */
  readonly reserved: readonly ReservedRegion[];
  /** All or nothing. `flags` are VIRTIO_IOMMU_MAP_F_*. */
  map(iova: Range, physical: bigint, flags: number): HostOutcome;
  /** Removes every mapping that lies in the range; when it returns `ok`, no DMA uses them any more. */
  unmap(iova: Range): HostOutcome;
  /** Removes everything, identity included. */
  unmapAll(): HostOutcome;
  /** Lets the endpoint reach all guest memory at its guest-physical address: bypass. */
  mapIdentity(): HostOutcome;
}

/** The status byte that tells a driver what its host said. */
export const HOST_STATUS: Readonly<Record<HostOutcome, number>> = {
  ok: VIRTIO_IOMMU_S_OK,
  'no-memory': VIRTIO_IOMMU_S_NOMEM,
  'out-of-range': VIRTIO_IOMMU_S_RANGE,
  invalid: VIRTIO_IOMMU_S_INVAL,
  busy: VIRTIO_IOMMU_S_DEVERR,
  'io-error': VIRTIO_IOMMU_S_IOERR,
  lost: VIRTIO_IOMMU_S_DEVERR,
};
