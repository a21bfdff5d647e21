import {
  VIRTIO_IOMMU_REQ_DETACH,
  VIRTIO_IOMMU_S_INVAL,
  VIRTIO_IOMMU_S_NOENT,
  VIRTIO_IOMMU_S_OK,
  VIRTIO_IOMMU_T_DETACH,
} from '../../spec/virtio-iommu.ts';
import { leave } from '../attachment.ts';
import type { Endpoint } from '../endpoint.ts';
import { HOST_STATUS } from '../port.ts';
import type { Request, RequestType } from '../request.ts';

const { domain, endpoint } = VIRTIO_IOMMU_REQ_DETACH.offsets;

/** VIRTIO 1.3, "DETACH request". `reserved` must be ignored and is not even read. */
export const DETACH: RequestType = {
  type: VIRTIO_IOMMU_T_DETACH,
  name: 'detach',
  counter: 'detach',
  size: VIRTIO_IOMMU_REQ_DETACH.size,
  isKnown: () => true,
  replySize: () => 0,
  decode(from, into) {
    into.domain = from.getUint32(domain, true);
    into.endpoint = from.getUint32(endpoint, true);
  },
  decide({ state }, request) {
    const ep = state.endpoints.get(request.endpoint);
    if (ep === undefined) return VIRTIO_IOMMU_S_NOENT;
    if (isAttachedThere(ep, request)) return VIRTIO_IOMMU_S_OK;
    return state.settings.detachMismatch === 'ok' ? VIRTIO_IOMMU_S_OK : VIRTIO_IOMMU_S_INVAL;
  },
  apply({ state, relay }, request) {
    const ep = state.endpoints.get(request.endpoint) as Endpoint;
    if (!isAttachedThere(ep, request)) return VIRTIO_IOMMU_S_OK;
    const outcome = relay.detach(ep);
    if (outcome !== 'ok') return HOST_STATUS[outcome];
    state.pins.waitForEndpoint(ep);
    leave(state, ep);
    return VIRTIO_IOMMU_S_OK;
  },
  show: (request) => ({ domain: request.domain, endpoint: request.endpoint }),
};

function isAttachedThere(ep: Endpoint, request: Request): boolean {
  return ep.domain !== undefined && ep.domain.id === request.domain;
}
