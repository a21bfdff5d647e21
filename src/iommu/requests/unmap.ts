import {
  VIRTIO_IOMMU_F_MAP_UNMAP,
  VIRTIO_IOMMU_REQ_UNMAP,
  VIRTIO_IOMMU_S_INVAL,
  VIRTIO_IOMMU_S_NOENT,
  VIRTIO_IOMMU_S_OK,
  VIRTIO_IOMMU_S_RANGE,
  VIRTIO_IOMMU_T_UNMAP,
} from '../../spec/virtio-iommu.ts';
import type { Domain } from '../domain.ts';
import { HOST_STATUS } from '../port.ts';
import type { Request, RequestType } from '../request.ts';
import type { IommuState } from '../state.ts';
import { less, wide } from '../wide.ts';

const { domain, virt_start, virt_end, reserved } = VIRTIO_IOMMU_REQ_UNMAP.offsets;

/** VIRTIO 1.3, "UNMAP request". */
export const UNMAP: RequestType = {
  type: VIRTIO_IOMMU_T_UNMAP,
  name: 'unmap',
  counter: 'unmap',
  size: VIRTIO_IOMMU_REQ_UNMAP.size,
  isKnown: (state) => state.offers(VIRTIO_IOMMU_F_MAP_UNMAP),
  replySize: () => 0,
  decode(from, into) {
    into.domain = from.getUint32(domain, true);
    into.startLo = from.getUint32(virt_start, true);
    into.startHi = from.getUint32(virt_start + 4, true);
    into.endLo = from.getUint32(virt_end, true);
    into.endHi = from.getUint32(virt_end + 4, true);
    into.reserved = from.getUint32(reserved, true) !== 0;
  },
  decide({ state }, request) {
    if (request.reserved && state.settings.unmapReserved === 'inval') return VIRTIO_IOMMU_S_INVAL;
    const target = state.domain(request.domain);
    if (target === undefined) return VIRTIO_IOMMU_S_NOENT;
    if (target.bypass) return VIRTIO_IOMMU_S_INVAL;
    const { startHi, startLo, endHi, endLo } = request;
    if (less(endHi, endLo, startHi, startLo)) return VIRTIO_IOMMU_S_INVAL;
    if (state.settings.unmapOutside === 'range' && isOutside(state, request)) {
      return VIRTIO_IOMMU_S_RANGE;
    }
    // Nothing at all is removed when a mapping would have to be split.
    return target.mappings.wouldSplit(startHi, startLo, endHi, endLo)
      ? VIRTIO_IOMMU_S_RANGE
      : VIRTIO_IOMMU_S_OK;
  },
  apply({ state, relay }, request) {
    const target = state.domain(request.domain) as Domain;
    const { startHi, startLo, endHi, endLo } = request;
    if (target.ports.length > 0) {
      const iova = { start: wide(startHi, startLo), end: wide(endHi, endLo) };
      const outcome = relay.unmap(target, iova);
      if (outcome !== 'ok') return HOST_STATUS[outcome];
    }
    const removed = target.mappings.removeWithin(startHi, startLo, endHi, endLo);
    if (removed > 0) {
      state.mappings -= removed;
      state.counters.unmapped += removed;
      if (state.canary !== 'unmap-keeps-translation') state.epoch++;
    }
    // Even when nothing was left to remove: a reset of the request queue may have cut short the
    // UNMAP that did, while its accesses were in flight.
    if (state.pins.size > 0) state.pins.waitForRange(target, startHi, startLo, endHi, endLo);
    return VIRTIO_IOMMU_S_OK;
  },
  show: (request) => ({
    domain: request.domain,
    virt: {
      start: wide(request.startHi, request.startLo),
      end: wide(request.endHi, request.endLo),
    },
  }),
};

function isOutside({ bounds }: IommuState, request: Request): boolean {
  return (
    less(request.startHi, request.startLo, bounds.inputStartHi, bounds.inputStartLo) ||
    less(bounds.inputEndHi, bounds.inputEndLo, request.endHi, request.endLo)
  );
}
