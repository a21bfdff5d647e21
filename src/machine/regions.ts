import type { ReservedRegion } from '../iommu/index.ts';
import type { Model, PciHost } from '../topology/index.ts';

/**
 * What PROBE reports for an endpoint: the doorbell of its host bridge when that is delivered as a
 * reserved region, and the regions of the topology that are for it or for its whole vIOMMU.
 */
export function reservedRegions(
  model: Model,
  who: {
    readonly viommu: string;
    readonly host?: PciHost;
    /** Topology id, when the function is an endpoint of the topology. */
    readonly endpoint?: string;
  },
): ReservedRegion[] {
  const regions: ReservedRegion[] = [];
  const doorbell = model.doorbells.find(({ id }) => id === who.host?.doorbell);
  if (doorbell?.delivery === 'reserved') regions.push({ range: doorbell.window, type: 'msi' });
  for (const { range, type, via, endpoints, viommu } of model.reserved) {
    if (!via.includes('probe') || type === 'direct') continue;
    const mine = who.endpoint !== undefined && endpoints.includes(who.endpoint);
    if (mine || viommu === who.viommu) regions.push({ range, type });
  }
  return regions;
}
