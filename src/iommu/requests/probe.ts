import {
  VIRTIO_IOMMU_F_PROBE,
  VIRTIO_IOMMU_REQ_PROBE,
  VIRTIO_IOMMU_S_INVAL,
  VIRTIO_IOMMU_S_NOENT,
  VIRTIO_IOMMU_S_OK,
  VIRTIO_IOMMU_T_PROBE,
} from '../../spec/virtio-iommu.ts';
import type { Endpoint } from '../endpoint.ts';
import { propertiesOf } from '../properties.ts';
import type { RequestType } from '../request.ts';

const { endpoint } = VIRTIO_IOMMU_REQ_PROBE.offsets;

/** VIRTIO 1.3, "PROBE request". `reserved` must be ignored and is not even read. */
export const PROBE: RequestType = {
  type: VIRTIO_IOMMU_T_PROBE,
  name: 'probe',
  counter: 'probe',
  size: VIRTIO_IOMMU_REQ_PROBE.size,
  isKnown: (state) => state.offers(VIRTIO_IOMMU_F_PROBE),
  replySize: (state) => state.settings.probeSize,
  decode(from, into) {
    into.endpoint = from.getUint32(endpoint, true);
  },
  decide({ state }, request) {
    // Too small a buffer is wrong whatever is asked: INVAL, and no property.
    if (request.room < state.settings.probeSize) return VIRTIO_IOMMU_S_INVAL;
    return state.endpoints.has(request.endpoint) ? VIRTIO_IOMMU_S_OK : VIRTIO_IOMMU_S_NOENT;
  },
  apply({ state, reply }, request) {
    reply.set(propertiesOf(state.endpoints.get(request.endpoint) as Endpoint, state.properties));
    return VIRTIO_IOMMU_S_OK;
  },
  show: (request) => ({ endpoint: request.endpoint }),
};
