import type { CoverageRow, Model } from '../topology/index.ts';

/** Who translates a requester, and by which ID. */
export interface Placement {
  readonly viommu: string;
  readonly endpointId: number;
}

/** Looks up requester IDs in the coverage of a topology, which is sorted and disjoint. */
export class CoverageIndex {
  readonly #segments = new Map<number, CoverageRow[]>();

  constructor(model: Model) {
    for (const row of model.coverage) {
      const rows = this.#segments.get(row.segment) ?? [];
      rows.push(row);
      this.#segments.set(row.segment, rows);
    }
    for (const rows of this.#segments.values()) rows.sort((a, b) => a.rids.start - b.rids.start);
  }

  /** Undefined: the requester bypasses. */
  find(segment: number, rid: number): Placement | undefined {
    const rows = this.#segments.get(segment) ?? [];
    let low = 0;
    let high = rows.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((rows[mid]?.rids.start ?? Infinity) <= rid) low = mid + 1;
      else high = mid;
    }
    const row = rows[low - 1];
    if (row === undefined || rid > row.rids.end) return undefined;
    return { viommu: row.viommu, endpointId: row.endpointId + (rid - row.rids.start) };
  }
}
