import { showRange } from '../../bytes/index.ts';
import { atLeast } from '../diagnostic.ts';
import type { TreeDescription, TreeDevice } from '../description.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { iommuRuns, keyOf, lookup } from './support/rid-map.ts';
import { deviceOf, isDirect } from './support/regions.ts';
import { unmeasured } from './support/text.ts';

/** Whether Linux puts the device behind a virtio-iommu. */
function translated(facts: Facts, tree: TreeDescription, device: TreeDevice): boolean {
  const virtio = (key: string | undefined): boolean =>
    tree.iommus.some((it) => it.key === key && it.virtio && it.enabled);
  const { pci } = device;
  if (pci === undefined) {
    const first = device.iommus[0];
    return first !== undefined && virtio(keyOf(first.target));
  }
  const host = tree.hosts.find((it) => it.key === pci.host);
  if (host === undefined) return false;
  return virtio(lookup(iommuRuns(tree, host, facts.kernel), pci.rid)?.to?.iommu);
}

export const directRegion: Rule = {
  id: 'direct-region',
  catalogue: [20],
  summary: 'Before Linux 7.3 no endpoint of a virtio-iommu has a direct region.',
  severity: 'error',
  effect: 'Linux 6.12 oopses in viommu_sync_req: it maps the region before the domain is ready.',
  cure: 'Use a guest kernel of 7.3 or newer (guest: { kernel: 7.3 }), or type: reserved.',
  *check(facts: Facts): Iterable<Finding> {
    const { tree } = facts;
    if (tree === undefined || atLeast(facts.kernel, 7, 3)) return;
    for (const region of tree.regions) {
      for (const address of region.addresses) {
        const device = deviceOf(tree, address);
        if (device === undefined || address.range === undefined) continue;
        if (!device.memoryRegions.includes(region.key)) continue;
        if (!isDirect(address.range, region.physical)) continue;
        if (!translated(facts, tree, device)) continue;
        yield {
          place: region.place,
          message: `${region.key} is a direct region (${showRange(address.range)}) of ${device.key}, which is behind a virtio-iommu`,
          effect: `Linux 6.12 oopses in viommu_sync_req when ${device.key} is attached: it maps the region before the domain is finalised. Linux 7.3 works${unmeasured(facts.kernel)}.`,
          related: [{ place: device.place, message: `${device.key} is here` }],
        };
      }
    }
  },
};
