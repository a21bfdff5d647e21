import { hex } from '../../bytes/index.ts';
import type { Facts, Rule } from '../facts.ts';
import { sitsAt, treeIommuOf } from './support/match.ts';
import { linux, showFunction, showRid } from './support/text.ts';

export const pciIommuWithoutNode: Rule = {
  id: 'pci-iommu-without-node',
  catalogue: [3, 30],
  summary: 'A vIOMMU on PCI has a node in the device tree, below its bus and with its function.',
  severity: 'error',
  effect:
    'Linux oopses in viommu_probe_device (a NULL pointer): an IOMMU without a node is found by every device that has none either. The boot may hang.',
  cure: 'Describe the vIOMMU by a child node of its bus: reg = <(bus << 16 | device << 11 | function << 8) 0 0 0 0>, #iommu-cells = <1>.',
  *check(facts: Facts) {
    const { model, tree } = facts;
    if (model === undefined || tree === undefined) return;
    for (const viommu of model.viommus) {
      const { transport } = viommu;
      if (transport.kind !== 'pci') continue;
      const node = treeIommuOf(facts, viommu);
      if (node !== undefined && sitsAt(tree, model, node, viommu)) continue;
      const at = showFunction(transport.segment, transport.rid);
      const effect = `${linux(facts)} oopses in viommu_probe_device (a NULL pointer); the boot may hang. Linux 6.12 and 7.3 both do.`;
      if (node === undefined) {
        const message = `the vIOMMU ${viommu.id} at ${at} has no node in the device tree`;
        yield { place: viommu.place, message, effect };
        continue;
      }
      const { location } = node;
      const where =
        location.kind === 'pci'
          ? `function ${showRid(location.rid)} below ${location.parent}`
          : `address ${hex(location.base)}`;
      yield {
        place: node.place,
        message: `the device tree puts ${viommu.id} at ${where}, but it is at ${at}`,
        effect,
        related: [{ place: viommu.place, message: `${viommu.id} is at ${at}` }],
      };
    }
  },
};
