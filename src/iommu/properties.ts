import { ByteSink } from '../bytes/index.ts';
import {
  VIRTIO_IOMMU_PROBE_PROPERTY,
  VIRTIO_IOMMU_PROBE_RESV_MEM,
  VIRTIO_IOMMU_PROBE_T_RESV_MEM,
} from '../spec/virtio-iommu.ts';
import type { Endpoint } from './endpoint.ts';
import { SUBTYPE } from './regions.ts';

/** A kind of property that PROBE reports: what to add to tell drivers more about an endpoint. */
export interface PropertySource {
  readonly type: number;
  /** Appends the properties of that type, headers included. */
  write(endpoint: Endpoint, sink: ByteSink): void;
}

/** VIRTIO 1.3, "PROBE request / Property RESV_MEM". */
const RESV_MEM: PropertySource = {
  type: VIRTIO_IOMMU_PROBE_T_RESV_MEM,
  write(endpoint, sink) {
    for (const { range, type } of endpoint.regions.list) {
      VIRTIO_IOMMU_PROBE_RESV_MEM.write(sink, {
        type: VIRTIO_IOMMU_PROBE_T_RESV_MEM,
        length: VIRTIO_IOMMU_PROBE_RESV_MEM.size - VIRTIO_IOMMU_PROBE_PROPERTY.size,
        subtype: SUBTYPE[type],
        start: range.start,
        end: range.end,
      });
    }
  },
};

/** The properties of VIRTIO 1.3. A device can be given more. */
export const BASE_PROPERTIES: readonly PropertySource[] = [RESV_MEM];

/** The property list of an endpoint, without the zeros that end it. */
export function propertiesOf(endpoint: Endpoint, sources: readonly PropertySource[]): Uint8Array {
  const sink = new ByteSink('le');
  for (const source of sources) source.write(endpoint, sink);
  return sink.bytes();
}
