import type { Facts, Finding, Rule } from '../facts.ts';
import { linux, showRid } from './support/text.ts';

export const iommuOnWrongBus: Rule = {
  id: 'iommu-on-wrong-bus',
  catalogue: [30],
  summary: 'The node of a PCI IOMMU is a child of the bus that its reg names.',
  severity: 'error',
  effect:
    'Linux compares device and function only: another device gets the node, the IOMMU has none, and viommu_probe_device oopses.',
  cure: 'Describe the bridges in between by nested pci@ nodes, or correct the bus in reg.',
  *check(facts: Facts): Iterable<Finding> {
    const { tree } = facts;
    const hosts = new Map(tree?.hosts.map((host) => [host.key, host]));
    for (const iommu of tree?.iommus ?? []) {
      const { location } = iommu;
      if (location.kind !== 'pci' || location.parent !== location.host) continue;
      const host = hosts.get(location.host);
      if (host === undefined || location.rid >> 8 === host.buses.start) continue;
      const bus = host.buses.start.toString(16).padStart(2, '0');
      yield {
        place: iommu.place,
        message: `reg of ${iommu.key} names ${showRid(location.rid)}, but its node is a child of ${host.key}, which is bus ${bus}`,
        effect: `${linux(facts)} ignores the bus and gives the node to whatever is at ${bus}:${showRid(location.rid).slice(3)}. If the IOMMU is elsewhere it has no node, and viommu_probe_device oopses.`,
        related: [{ place: host.place, message: `${host.key} begins with bus ${bus}` }],
      };
    }
  },
};
