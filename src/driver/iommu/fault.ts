import type { StructValue } from '../../bytes/index.ts';
import {
  VIRTIO_IOMMU_FAULT_F_ADDRESS,
  VIRTIO_IOMMU_FAULT_F_READ,
  VIRTIO_IOMMU_FAULT_F_WRITE,
  VIRTIO_IOMMU_FAULT_R_DOMAIN,
  VIRTIO_IOMMU_FAULT_R_MAPPING,
} from '../../spec/virtio-iommu.ts';

/** A fault record as it comes out of the event queue. */
export type FaultRecord = StructValue<{
  reason: 'u8';
  reserved: readonly ['bytes', 3];
  flags: 'u32';
  endpoint: 'u32';
  reserved1: 'u32';
  address: 'u64';
}>;

/**
 * What the driver prints of a fault; undefined when the record is to be ignored, because its
 * `reserved` is not zero (R31). `reserved1` and unknown flags say nothing (R32), an unknown reason is
 * UNKNOWN (R33).
 */
export function faultLine(fault: FaultRecord): string | undefined {
  if (fault.reserved.some((byte) => byte !== 0)) return undefined;
  const { flags, endpoint, address } = fault;
  const reason = REASONS[fault.reason] ?? 'unknown';
  const read = (flags & VIRTIO_IOMMU_FAULT_F_READ) === 0 ? '' : 'R';
  const write = (flags & VIRTIO_IOMMU_FAULT_F_WRITE) === 0 ? '' : 'W';
  const at = (flags & VIRTIO_IOMMU_FAULT_F_ADDRESS) === 0 ? '' : ` at 0x${address.toString(16)}`;
  return `${reason} fault from EP ${endpoint}${at} [${read}${write}]`;
}

const REASONS: Readonly<Record<number, string>> = {
  [VIRTIO_IOMMU_FAULT_R_DOMAIN]: 'domain',
  [VIRTIO_IOMMU_FAULT_R_MAPPING]: 'page',
};
