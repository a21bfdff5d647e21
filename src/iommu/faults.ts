import {
  VIRTIO_IOMMU_FAULT,
  VIRTIO_IOMMU_FAULT_F_ADDRESS,
  VIRTIO_IOMMU_FAULT_R_DOMAIN,
  VIRTIO_IOMMU_FAULT_R_MAPPING,
  VIRTIO_IOMMU_FAULT_R_UNKNOWN,
} from '../spec/virtio-iommu.ts';

/** Fault reasons as data; one to be added needs a line here. */
export const FAULT_REASONS = {
  unknown: VIRTIO_IOMMU_FAULT_R_UNKNOWN,
  domain: VIRTIO_IOMMU_FAULT_R_DOMAIN,
  mapping: VIRTIO_IOMMU_FAULT_R_MAPPING,
} as const;

export type FaultReason = keyof typeof FAULT_REASONS;

/** A fault record before it is bytes (VIRTIO 1.3, "Fault reporting"). */
export interface FaultReport {
  readonly reason: number;
  /** VIRTIO_IOMMU_FAULT_F_READ and _WRITE are ACCESS_READ and ACCESS_WRITE. */
  readonly flags: number;
  readonly endpoint: number;
  readonly addressHi: number;
  readonly addressLo: number;
}

export function reportOf(
  reason: FaultReason,
  endpoint: number,
  access: number,
  hi: number,
  lo: number,
): FaultReport {
  return {
    reason: FAULT_REASONS[reason],
    flags: (access & 3) | VIRTIO_IOMMU_FAULT_F_ADDRESS,
    endpoint,
    addressHi: hi,
    addressLo: lo,
  };
}

const { reason, flags, endpoint, address } = VIRTIO_IOMMU_FAULT.offsets;

/** Writes the 24 bytes of a record; every byte, so that reserved ones are zero. */
export function encodeReport(report: FaultReport, into: Uint8Array): void {
  const data = new DataView(into.buffer, into.byteOffset, VIRTIO_IOMMU_FAULT.size);
  into.fill(0, 0, VIRTIO_IOMMU_FAULT.size);
  data.setUint8(reason, report.reason);
  data.setUint32(flags, report.flags, true);
  data.setUint32(endpoint, report.endpoint, true);
  data.setUint32(address, report.addressLo, true);
  data.setUint32(address + 4, report.addressHi, true);
}

/** Reports that wait for a buffer; bounded, for a guest decides how often its endpoints fault. */
export class PendingFaults {
  readonly #limit: number;
  #reports: FaultReport[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#reports.length;
  }

  get isFull(): boolean {
    return this.#reports.length >= this.#limit;
  }

  /** False when there is no room. */
  add(report: FaultReport): boolean {
    if (this.isFull) return false;
    this.#reports.push(report);
    return true;
  }

  first(): FaultReport | undefined {
    return this.#reports[0];
  }

  removeFirst(): void {
    this.#reports.shift();
  }

  /** Answers how many went. */
  clear(): number {
    return this.#reports.splice(0).length;
  }

  list(): readonly FaultReport[] {
    return [...this.#reports];
  }

  restore(reports: readonly FaultReport[]): void {
    this.#reports = [...reports];
  }
}
