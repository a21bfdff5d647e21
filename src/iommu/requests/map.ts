import {
  VIRTIO_IOMMU_F_MAP_UNMAP,
  VIRTIO_IOMMU_F_MMIO,
  VIRTIO_IOMMU_MAP_F_MMIO,
  VIRTIO_IOMMU_MAP_F_READ,
  VIRTIO_IOMMU_MAP_F_WRITE,
  VIRTIO_IOMMU_REQ_MAP,
  VIRTIO_IOMMU_S_FAULT,
  VIRTIO_IOMMU_S_INVAL,
  VIRTIO_IOMMU_S_NOENT,
  VIRTIO_IOMMU_S_NOMEM,
  VIRTIO_IOMMU_S_OK,
  VIRTIO_IOMMU_S_RANGE,
  VIRTIO_IOMMU_T_MAP,
} from '../../spec/virtio-iommu.ts';
import type { Domain } from '../domain.ts';
import { HOST_STATUS } from '../port.ts';
import type { Request, RequestType } from '../request.ts';
import type { IommuState } from '../state.ts';
import { HALF, less, wide } from '../wide.ts';

const { domain, virt_start, virt_end, phys_start, flags } = VIRTIO_IOMMU_REQ_MAP.offsets;
const READ_WRITE = VIRTIO_IOMMU_MAP_F_READ | VIRTIO_IOMMU_MAP_F_WRITE;

/** VIRTIO 1.3, "MAP request". */
export const MAP: RequestType = {
  type: VIRTIO_IOMMU_T_MAP,
  name: 'map',
  counter: 'map',
  size: VIRTIO_IOMMU_REQ_MAP.size,
  isKnown: (state) => state.offers(VIRTIO_IOMMU_F_MAP_UNMAP),
  replySize: () => 0,
  decode(from, into) {
    into.domain = from.getUint32(domain, true);
    into.startLo = from.getUint32(virt_start, true);
    into.startHi = from.getUint32(virt_start + 4, true);
    into.endLo = from.getUint32(virt_end, true);
    into.endHi = from.getUint32(virt_end + 4, true);
    into.physLo = from.getUint32(phys_start, true);
    into.physHi = from.getUint32(phys_start + 4, true);
    into.flags = from.getUint32(flags, true);
  },
  decide({ state }, request) {
    const known = state.has(VIRTIO_IOMMU_F_MMIO)
      ? READ_WRITE | VIRTIO_IOMMU_MAP_F_MMIO
      : READ_WRITE;
    if ((request.flags & ~known) !== 0) return VIRTIO_IOMMU_S_INVAL;
    const target = state.domain(request.domain);
    if (target === undefined) return VIRTIO_IOMMU_S_NOENT;
    if (target.bypass) return VIRTIO_IOMMU_S_INVAL;
    return rangeStatus(state, request) || placeStatus(state, target, request);
  },
  apply({ state, relay }, request) {
    const target = state.domain(request.domain) as Domain;
    const { startHi, startLo, endHi, endLo, physHi, physLo } = request;
    if (target.ports.length > 0) {
      const iova = { start: wide(startHi, startLo), end: wide(endHi, endLo) };
      const outcome = relay.map(target, iova, wide(physHi, physLo), request.flags);
      if (outcome !== 'ok') return HOST_STATUS[outcome];
    }
    target.mappings.insert(startHi, startLo, endHi, endLo, physHi, physLo, request.flags);
    state.mappings++;
    state.counters.mapped++;
    return VIRTIO_IOMMU_S_OK;
  },
  show: (request) => ({
    domain: request.domain,
    virt: {
      start: wide(request.startHi, request.startLo),
      end: wide(request.endHi, request.endLo),
    },
    phys: wide(request.physHi, request.physLo),
    flags: request.flags,
  }),
};

/** Order, alignment, input_range and physical range; OK is 0. */
function rangeStatus(state: IommuState, request: Request): number {
  const { startHi, startLo, endHi, endLo, physHi, physLo } = request;
  const { settings, bounds } = state;
  if (less(endHi, endLo, startHi, startLo)) {
    return settings.reversed === 'inval' ? VIRTIO_IOMMU_S_INVAL : VIRTIO_IOMMU_S_RANGE;
  }
  // virt_end + 1 is aligned when all bits of virt_end inside the granule are set.
  const misaligned =
    ((startLo | physLo | ~endLo) & bounds.granuleLo) |
    ((startHi | physHi | ~endHi) & bounds.granuleHi);
  if (misaligned !== 0) return VIRTIO_IOMMU_S_RANGE;
  if (
    less(startHi, startLo, bounds.inputStartHi, bounds.inputStartLo) ||
    less(bounds.inputEndHi, bounds.inputEndLo, endHi, endLo)
  ) {
    return VIRTIO_IOMMU_S_RANGE;
  }
  // The last physical address, as exact halves; a carry out of the upper one passes 2^64 - 1.
  const low = physLo + (endLo - startLo);
  const carry = Math.floor(low / HALF);
  const lastLo = low - carry * HALF;
  const lastHi = physHi + (endHi - startHi) + carry;
  if (
    lastHi >= HALF ||
    less(physHi, physLo, bounds.physStartHi, bounds.physStartLo) ||
    less(bounds.physEndHi, bounds.physEndLo, lastHi, lastLo)
  ) {
    return settings.physicalOutside === 'fault' ? VIRTIO_IOMMU_S_FAULT : VIRTIO_IOMMU_S_RANGE;
  }
  return VIRTIO_IOMMU_S_OK;
}

/** Overlap with reserved regions and mappings, then capacity. */
function placeStatus(state: IommuState, target: Domain, request: Request): number {
  const { startHi, startLo, endHi, endLo } = request;
  if (target.isReserved(startHi, startLo, endHi, endLo)) return VIRTIO_IOMMU_S_INVAL;
  if (target.mappings.overlaps(startHi, startLo, endHi, endLo)) return VIRTIO_IOMMU_S_INVAL;
  const full =
    target.mappings.size >= state.settings.mappingsPerDomain ||
    state.mappings >= state.settings.mappings;
  return full ? VIRTIO_IOMMU_S_NOMEM : VIRTIO_IOMMU_S_OK;
}
