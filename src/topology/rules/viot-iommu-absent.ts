import { hex } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import type { Model } from '../model.ts';
import { viommuOfViot } from './support/match.ts';
import { showFunction } from './support/text.ts';
import type { ViotIommu } from './support/viot-runs.ts';

/** What the model has where the node says that an IOMMU is. */
function occupant(model: Model, node: ViotIommu): string | undefined {
  if (node.type === 'mmio-iommu') {
    return model.endpoints.find(
      ({ location }) => location.kind === 'platform' && location.base === node.base,
    )?.id;
  }
  const { segment, rid } = node;
  const device = model.endpoints.find(
    ({ location, device: what }) =>
      what !== undefined &&
      location.kind === 'pci' &&
      location.segment === segment &&
      location.rids.start <= rid &&
      rid <= location.rids.end,
  );
  if (device !== undefined) return device.id;
  const hosts = model.hosts.filter((host) => host.segment === segment);
  return hosts.flatMap((host) => host.bridges).find((bridge) => bridge.rid === rid)?.id;
}

export const viotIommuAbsent: Rule = {
  id: 'viot-iommu-absent',
  catalogue: [5],
  summary: 'Each IOMMU node of a VIOT names a vIOMMU that the machine has.',
  severity: 'error',
  effect:
    'Linux logs "ACPI: VIOT: Could not find PCI IOMMU" (or MMIO) and "No IOMMU node found"; the endpoints work untranslated.',
  cure: 'Give the node the segment and function (or the base address) of the vIOMMU.',
  *check({ model, viot }: Facts): Iterable<Finding> {
    if (model === undefined || viot === undefined) return;
    for (const node of viot.nodes) {
      if (node.type !== 'pci-iommu' && node.type !== 'mmio-iommu') continue;
      if (viommuOfViot(model, node) !== undefined) continue;
      const at = node.type === 'pci-iommu' ? showFunction(node.segment, node.rid) : hex(node.base);
      const there = occupant(model, node);
      const related = model.viommus.map(({ id, place, transport }) => ({
        place,
        message: `${id} is at ${
          transport.kind === 'pci'
            ? showFunction(transport.segment, transport.rid)
            : hex(transport.base)
        }`,
      }));
      yield there === undefined
        ? {
            place: node.place,
            message: `the VIOT names an IOMMU at ${at}: nothing is there`,
            related,
          }
        : {
            place: node.place,
            message: `the VIOT names an IOMMU at ${at}, but that is ${there}`,
            effect:
              'Linux waits for a driver that never registers an IOMMU: every endpoint behind it is deferred for ever, its disks never appear, and after 15 s the log has only "deferred probe pending: (reason unknown)".',
            related,
          };
    }
  },
};
