import { contains, hex } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import type { Model } from '../../topology/index.ts';

export interface EndpointName {
  readonly name: string;
  /** Topology id, where the topology has such an endpoint. */
  readonly drawn?: string;
}

/** Names of endpoints by vIOMMU (empty: not known) and endpoint ID, for people. */
export function endpointNames(model: Model): (viommu: string, id: number) => EndpointName {
  const byKey = new Map<string, EndpointName>();
  for (const { id, viommu, endpointId, location } of model.endpoints) {
    if (endpointId === undefined || viommu === undefined) continue;
    if (location.kind === 'pci' && location.rids.start !== location.rids.end) continue;
    const place =
      location.kind === 'pci' ? showBdf(location.rids.start, location.segment) : hex(location.base);
    const name = { name: `${id} (${place})`, drawn: id };
    byKey.set(`${viommu}/${endpointId}`, name);
    // QEMU's trace does not say which vIOMMU it was; its IDs are then those of the whole machine.
    if (!byKey.has(`/${endpointId}`)) byKey.set(`/${endpointId}`, name);
  }
  return (viommu, id) => {
    const known = byKey.get(`${viommu}/${id}`);
    if (known !== undefined) return known;
    const row = model.coverage.find(
      (one) =>
        (viommu === '' || one.viommu === viommu) &&
        contains(
          { start: one.endpointId, end: one.endpointId + one.rids.end - one.rids.start },
          id,
        ),
    );
    if (row === undefined) return { name: `endpoint ${hex(id)}` };
    return { name: showBdf(row.rids.start + id - row.endpointId, row.segment) };
  };
}
