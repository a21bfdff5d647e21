import { contains, covers, overlaps, type Range } from '../../bytes/index.ts';
import {
  VIRTIO_IOMMU_ATTACH_F_BYPASS,
  VIRTIO_IOMMU_MAP_F_MMIO,
  VIRTIO_IOMMU_MAP_F_READ,
  VIRTIO_IOMMU_MAP_F_WRITE,
  VIRTIO_IOMMU_S_INVAL,
  VIRTIO_IOMMU_S_OK,
  VIRTIO_IOMMU_S_RANGE,
} from '../../spec/virtio-iommu.ts';
import { attachRequest, detachRequest, mapRequest, unmapRequest } from './requests.ts';
import type { Viommu } from './viommu.ts';

interface Mapping {
  readonly range: Range;
  readonly phys: bigint;
  readonly flags: number;
}

const KNOWN_FLAGS = VIRTIO_IOMMU_MAP_F_READ | VIRTIO_IOMMU_MAP_F_WRITE | VIRTIO_IOMMU_MAP_F_MMIO;

/**
 * A domain of a vIOMMU. What the specification forbids a driver is refused here and never sent, with
 * the status that the device would give.
 */
export class Domain {
  readonly viommu: Viommu;
  readonly id: number;
  /** Attached with the bypass flag: nothing can be mapped (R14, R22). */
  readonly bypass: boolean;
  readonly endpoints: Set<number> = new Set();
  /** Regions that must not be mapped (R28). */
  readonly reserved: Range[] = [];
  /** By first IOVA. A domain without endpoints does not exist to the device: they are kept for it. */
  readonly #mappings = new Map<bigint, Mapping>();

  constructor(viommu: Viommu, id: number, bypass = false) {
    this.viommu = viommu;
    this.id = id;
    this.bypass = bypass;
  }

  /** Live mappings, ascending. */
  mappings(): Mapping[] {
    return [...this.#mappings.values()].toSorted((a, b) =>
      a.range.start < b.range.start ? -1 : 1,
    );
  }

  /** ATTACH, always with the flag that the domain began with (R11); the first one replays mappings. */
  attach(endpoint: number): number {
    const flags = this.bypass ? VIRTIO_IOMMU_ATTACH_F_BYPASS : 0;
    const { status } = this.viommu.request(attachRequest(this.id, endpoint, flags));
    if (status !== VIRTIO_IOMMU_S_OK) return status;
    const first = this.endpoints.size === 0;
    this.endpoints.add(endpoint);
    if (first) {
      for (const { range, phys, flags: access } of this.mappings()) {
        this.viommu.request(mapRequest(this.id, range, phys, access));
      }
    }
    return status;
  }

  /** DETACH. With the last endpoint the device forgets the mappings; the driver keeps them. */
  detach(endpoint: number): number {
    const { status } = this.viommu.request(detachRequest(this.id, endpoint));
    this.endpoints.delete(endpoint);
    return status;
  }

  /**
   * MAP. Before the first ATTACH it is only remembered.
   *
   * @returns a status; INVAL and RANGE also for what is never sent
   */
  map(range: Range, phys: bigint, flags: number): number {
    const { granule, inputRange, mmio } = this.viommu;
    if (this.bypass || range.end <= range.start) return VIRTIO_IOMMU_S_INVAL;
    // R13, R16 and R18; R17 is the caller's, who knows whether the device reads.
    if ((flags & ~KNOWN_FLAGS) !== 0) return VIRTIO_IOMMU_S_INVAL;
    if ((flags & VIRTIO_IOMMU_MAP_F_MMIO) !== 0 && !mmio) return VIRTIO_IOMMU_S_INVAL;
    const misaligned = (range.start | phys | (range.end + 1n)) & (granule - 1n);
    if (misaligned !== 0n || !covers(inputRange, range)) return VIRTIO_IOMMU_S_RANGE;
    if (this.reserved.some((region) => overlaps(region, range))) return VIRTIO_IOMMU_S_INVAL;
    if (this.endpoints.size > 0) {
      const { status } = this.viommu.request(mapRequest(this.id, range, phys, flags));
      if (status !== VIRTIO_IOMMU_S_OK) return status;
    }
    this.#mappings.set(range.start, { range, phys, flags });
    return VIRTIO_IOMMU_S_OK;
  }

  /** UNMAP of whole mappings and the holes between them (R20, R21). */
  unmap(range: Range): number {
    if (this.bypass || range.end < range.start) return VIRTIO_IOMMU_S_INVAL;
    const inside: Mapping[] = [];
    for (const mapping of this.#mappings.values()) {
      if (!overlaps(mapping.range, range)) continue;
      if (!covers(range, mapping.range)) return VIRTIO_IOMMU_S_RANGE;
      inside.push(mapping);
    }
    if (inside.length === 0) return VIRTIO_IOMMU_S_OK;
    for (const mapping of inside) this.#mappings.delete(mapping.range.start);
    if (this.endpoints.size === 0) return VIRTIO_IOMMU_S_OK;
    return this.viommu.request(unmapRequest(this.id, range)).status;
  }

  /** What an IOVA leads to by the driver's own books. */
  lookUp(iova: bigint): bigint | undefined {
    for (const { range, phys } of this.#mappings.values()) {
      if (contains(range, iova)) return phys + (iova - range.start);
    }
    return undefined;
  }
}
