import { overlaps } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { ridsOf } from './support/rid-map.ts';
import { showFunction, showRids } from './support/text.ts';

export const viotOutsideMcfg: Rule = {
  id: 'viot-outside-mcfg',
  summary: 'VIOT ranges and PCI IOMMUs are on segments and buses that MCFG has.',
  severity: 'warning',
  effect: 'No function is there: the node is for nothing, and what it was meant for bypasses.',
  cure: 'Correct the segment or the bus, or add the host to MCFG.',
  *check({ viot, mcfg }: Facts): Iterable<Finding> {
    if (viot === undefined || mcfg === undefined) return;
    for (const node of viot.nodes) {
      if (node.type === 'pci-range') {
        const { segments, rids } = node;
        const inside = mcfg.hosts.some(
          (host) =>
            segments.start <= host.segment &&
            host.segment <= segments.end &&
            overlaps(ridsOf(host.buses), rids),
        );
        if (inside) continue;
        yield {
          place: node.place,
          message: `VIOT has a range for ${showRids(segments.start, rids)}, but MCFG has no such bus`,
          related: mcfg.hosts.slice(0, 4).map((host) => ({
            place: host.place,
            message: `segment ${host.segment}: ${showRids(host.segment, ridsOf(host.buses))}`,
          })),
        };
      } else if (node.type === 'pci-iommu') {
        const { segment, rid } = node;
        const rids = { start: rid, end: rid };
        const inside = mcfg.hosts.some(
          (host) => host.segment === segment && overlaps(ridsOf(host.buses), rids),
        );
        if (inside) continue;
        yield {
          place: node.place,
          message: `VIOT has an IOMMU at ${showFunction(segment, rid)}, but MCFG has no such bus`,
          effect:
            'Linux logs "ACPI: VIOT: Could not find PCI IOMMU"; the endpoints work untranslated.',
        };
      }
    }
  },
};
