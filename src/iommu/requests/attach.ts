import {
  VIRTIO_IOMMU_ATTACH_F_BYPASS,
  VIRTIO_IOMMU_F_BYPASS_CONFIG,
  VIRTIO_IOMMU_REQ_ATTACH,
  VIRTIO_IOMMU_S_INVAL,
  VIRTIO_IOMMU_S_NOENT,
  VIRTIO_IOMMU_S_NOMEM,
  VIRTIO_IOMMU_S_OK,
  VIRTIO_IOMMU_S_RANGE,
  VIRTIO_IOMMU_S_UNSUPP,
  VIRTIO_IOMMU_T_ATTACH,
} from '../../spec/virtio-iommu.ts';
import { join, leave } from '../attachment.ts';
import type { Domain } from '../domain.ts';
import type { Endpoint } from '../endpoint.ts';
import { HOST_STATUS, type PassthroughPort } from '../port.ts';
import { anySet, type Request, type RequestType } from '../request.ts';
import { granuleMask, type IommuState } from '../state.ts';
import { lower, upper } from '../wide.ts';

const { domain, endpoint, flags, reserved } = VIRTIO_IOMMU_REQ_ATTACH.offsets;
const RESERVED_SIZE = VIRTIO_IOMMU_REQ_ATTACH.size - reserved;

/** VIRTIO 1.3, "ATTACH request". */
export const ATTACH: RequestType = {
  type: VIRTIO_IOMMU_T_ATTACH,
  name: 'attach',
  counter: 'attach',
  size: VIRTIO_IOMMU_REQ_ATTACH.size,
  isKnown: () => true,
  replySize: () => 0,
  decode(from, into) {
    into.domain = from.getUint32(domain, true);
    into.endpoint = from.getUint32(endpoint, true);
    into.flags = from.getUint32(flags, true);
    into.reserved = anySet(from, reserved, RESERVED_SIZE);
  },
  decide({ state, relay }, request) {
    // Without the feature the flag is one we do not know.
    const known = state.has(VIRTIO_IOMMU_F_BYPASS_CONFIG) ? VIRTIO_IOMMU_ATTACH_F_BYPASS : 0;
    if ((request.flags & ~known) !== 0 || request.reserved) return VIRTIO_IOMMU_S_INVAL;
    const ep = state.endpoints.get(request.endpoint);
    if (ep === undefined) return VIRTIO_IOMMU_S_NOENT;
    const { start, end } = state.settings.domainRange;
    if (request.domain < start || request.domain > end) return VIRTIO_IOMMU_S_RANGE;
    const target = state.domain(request.domain);
    const bypass = wantsBypass(request);
    if (target !== undefined) {
      if (target.bypass !== bypass) return VIRTIO_IOMMU_S_INVAL;
      if (target === ep.domain) {
        return state.settings.reattach === 'keep' ? VIRTIO_IOMMU_S_OK : VIRTIO_IOMMU_S_INVAL;
      }
      if (!state.settings.sharedDomains || isIncompatible(ep, target)) return VIRTIO_IOMMU_S_UNSUPP;
    }
    if (relay.isTorn(ep, request.domain)) return VIRTIO_IOMMU_S_UNSUPP;
    if (ep.port && !bypass && !hostHasGranule(state, ep.port)) return VIRTIO_IOMMU_S_UNSUPP;
    return target === undefined && isFull(state, ep) ? VIRTIO_IOMMU_S_NOMEM : VIRTIO_IOMMU_S_OK;
  },
  apply({ state, relay }, request) {
    const ep = state.endpoints.get(request.endpoint) as Endpoint;
    const old = ep.domain;
    const target = state.domain(request.domain);
    if (target !== undefined && target === old) return VIRTIO_IOMMU_S_OK;
    const bypass = wantsBypass(request);
    const outcome = relay.attach(ep, target, bypass);
    // "If the device cannot do that" after a DETACH, it must say UNSUPP.
    if (outcome !== 'ok') return old ? VIRTIO_IOMMU_S_UNSUPP : HOST_STATUS[outcome];
    // Accesses through the old attachment, or past the translation, must be over first.
    state.pins.waitForEndpoint(ep);
    leave(state, ep);
    relay.attached(ep, join(state, ep, request.domain, bypass));
    return VIRTIO_IOMMU_S_OK;
  },
  show: (request) => ({
    domain: request.domain,
    endpoint: request.endpoint,
    flags: request.flags,
  }),
};

function wantsBypass(request: Request): boolean {
  return (request.flags & VIRTIO_IOMMU_ATTACH_F_BYPASS) !== 0;
}

/** Whether the domain maps what the endpoint reserves: it could not have been attached earlier. */
function isIncompatible(ep: Endpoint, target: Domain): boolean {
  return ep.regions.list.some(({ range: { start, end } }) =>
    target.mappings.overlaps(upper(start), lower(start), upper(end), lower(end)),
  );
}

/** A host that maps in larger pages than we promise cannot follow the domain's mappings. */
function hostHasGranule(state: IommuState, port: PassthroughPort): boolean {
  return granuleMask(port.pageSizeMask) <= granuleMask(state.settings.pageSizeMask);
}

/** Whether there is no room for a new domain, the old one counted out when the endpoint ends it. */
function isFull(state: IommuState, ep: Endpoint): boolean {
  const freed = ep.domain?.endpoints.size === 1 ? 1 : 0;
  return state.domains.size - freed >= state.settings.domains;
}
