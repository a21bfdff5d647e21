import { overlaps, type Range } from '../../bytes/index.ts';
import type { Device } from '../device.ts';
import type { Domain } from './domain.ts';
import type { IommuMapper } from './mapper.ts';

/** A region as `reserved_regions` of a group lists it. */
export interface GroupRegion {
  readonly range: Range;
  readonly type: 'reserved' | 'msi' | 'direct';
}

/** Devices that an IOMMU cannot tell apart; they share a domain (R10). */
export class IommuGroup {
  readonly id: number;
  readonly type: 'DMA' | 'identity';
  readonly domain: Domain;
  readonly mapper: IommuMapper | undefined;
  readonly devices: Set<Device> = new Set();
  readonly #regions = new Map<Device, readonly GroupRegion[]>();

  constructor(id: number, domain: Domain, mapper: IommuMapper | undefined) {
    this.id = id;
    this.type = mapper === undefined ? 'identity' : 'DMA';
    this.domain = domain;
    this.mapper = mapper;
  }

  add(device: Device, regions: readonly GroupRegion[]): void {
    this.devices.add(device);
    this.#regions.set(device, regions);
  }

  remove(device: Device): void {
    this.devices.delete(device);
    this.#regions.delete(device);
  }

  /** Those of all members; of one type, those that overlap become one (iommu_insert_resv_region). */
  regions(): GroupRegion[] {
    const all = [...this.#regions.values()].flat();
    const out: GroupRegion[] = [];
    for (const region of all.toSorted((a, b) => (a.range.start < b.range.start ? -1 : 1))) {
      const at = out.findIndex(
        (other) => other.type === region.type && overlaps(other.range, region.range),
      );
      const other = out[at];
      if (other === undefined) out.push(region);
      else if (region.range.end > other.range.end) {
        out[at] = { ...other, range: { start: other.range.start, end: region.range.end } };
      }
    }
    return out;
  }
}
