import { covers } from '../../../bytes/index.ts';
import type { Doorbell, Endpoint, Model, ReservedRegion, Viommu } from '../../model.ts';

/** A vIOMMU, a doorbell that some of its endpoints write to, and who those are. */
export interface DoorbellUse {
  readonly viommu: Viommu;
  readonly doorbell: Doorbell;
  /** Hosts whose functions are behind the vIOMMU and raise MSIs at the doorbell. */
  readonly hosts: readonly string[];
}

/** Which doorbells the endpoints of each vIOMMU write to. */
export function doorbellUses(model: Model): DoorbellUse[] {
  const viommus = new Map(model.viommus.map((it) => [it.id, it]));
  const doorbells = new Map(model.doorbells.map((it) => [it.id, it]));
  const hosts = new Map(model.hosts.map((it) => [it.id, it]));
  const uses = new Map<string, { viommu: Viommu; doorbell: Doorbell; hosts: Set<string> }>();
  for (const row of model.coverage) {
    const viommu = viommus.get(row.viommu);
    const doorbell = doorbells.get(hosts.get(row.host)?.doorbell ?? '');
    if (viommu === undefined || doorbell === undefined) continue;
    const key = `${viommu.id} ${doorbell.id}`;
    const use = uses.get(key);
    if (use === undefined) uses.set(key, { viommu, doorbell, hosts: new Set([row.host]) });
    else use.hosts.add(row.host);
  }
  return [...uses.values()].map((use) => ({ ...use, hosts: [...use.hosts] }));
}

/** MSI regions that PROBE reports for all endpoints of a vIOMMU. */
export function msiRegionsOf(model: Model, viommu: Viommu): ReservedRegion[] {
  return model.reserved.filter(
    (region) =>
      region.type === 'msi' && region.via.includes('probe') && region.viommu === viommu.id,
  );
}

/** Whether PROBE tells the endpoints of `use` that the doorbell is there. */
export function isReserved(model: Model, { viommu, doorbell }: DoorbellUse): boolean {
  if (!viommu.features.includes('PROBE')) return false;
  if (doorbell.delivery === 'reserved') return true;
  return msiRegionsOf(model, viommu).some((region) => covers(region.range, doorbell.window));
}

/** Regions that PROBE reports for an endpoint, with where they come from. */
export function probeRegionsOf(model: Model, endpoint: Endpoint): ReservedRegion[] {
  return model.reserved.filter(
    (region) =>
      region.via.includes('probe') &&
      (region.endpoints.includes(endpoint.id) ||
        (region.viommu !== undefined && region.viommu === endpoint.viommu)),
  );
}
