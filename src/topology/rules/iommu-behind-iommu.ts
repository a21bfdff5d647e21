import type { Facts, Finding, Rule } from '../facts.ts';
import { iommuRuns, lookup } from './support/rid-map.ts';
import { linux, showFunction } from './support/text.ts';

export const iommuBehindIommu: Rule = {
  id: 'iommu-behind-iommu',
  catalogue: [4],
  summary: 'The iommu-map has a hole where the vIOMMU itself is.',
  severity: 'error',
  effect:
    'Linux waits for the IOMMU before it probes the IOMMU: it and all its endpoints are deferred for 10 s ("deferred probe timeout, ignoring dependency"). What early boot needs, the root disk say, is missing.',
  cure: 'Split the row around the vIOMMU: <0x0 &viommu 0x0 RID>, <RID+1 &viommu RID+1 0xffff-RID>.',
  *check(facts: Facts): Iterable<Finding> {
    const { tree } = facts;
    if (tree === undefined) return;
    const hosts = new Map(tree.hosts.map((host) => [host.key, host]));
    for (const iommu of tree.iommus) {
      const { location } = iommu;
      if (location.kind !== 'pci' || !iommu.virtio) continue;
      const host = hosts.get(location.host);
      if (host === undefined) continue;
      // Linux goes by device and function; the bus is that of the node above.
      const bus = location.parent === location.host ? host.buses.start : location.rid >> 8;
      const rid = (bus << 8) | (location.rid & 0xff);
      const run = lookup(iommuRuns(tree, host, facts.kernel), rid);
      if (run?.to === undefined) continue;
      const at = showFunction(host.segment ?? 0, rid);
      const self = run.to.iommu === iommu.key;
      const which = self ? 'itself' : `another IOMMU, ${run.to.iommu}`;
      yield {
        place: run.place,
        message: `the iommu-map of ${host.key} puts the vIOMMU ${iommu.key} (${at}) behind ${which}`,
        ...(self && {
          effect: `${linux(facts)} defers ${iommu.key} and all its endpoints for 10 s ("deferred probe timeout, ignoring dependency"), then works; disks that early boot needs are missing.`,
        }),
        related: [{ place: iommu.place, message: `${iommu.key} is at ${at}` }],
      };
    }
  },
};
