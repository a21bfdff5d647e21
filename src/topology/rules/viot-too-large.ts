import { hex } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';

export const viotTooLarge: Rule = {
  id: 'viot-too-large',
  catalogue: [33],
  summary: 'The IOMMU nodes of a VIOT lie in its first 64 KiB, and it has at most 65,535 nodes.',
  severity: 'error',
  effect: 'output_node and node_count are 16-bit fields: what does not fit cannot be named.',
  cure: 'Put the IOMMU nodes first, and merge adjacent ranges.',
  *check({ viot }: Facts): Iterable<Finding> {
    if (viot === undefined) return;
    if (viot.nodes.length > 0xffff) {
      yield {
        place: viot.place,
        message: `the VIOT has ${viot.nodes.length} nodes; node_count counts to 65,535`,
        effect: 'Linux reads node_count modulo 65,536 nodes: the endpoints of the others bypass.',
      };
    }
    for (const node of viot.nodes) {
      if (node.type !== 'pci-iommu' && node.type !== 'mmio-iommu') continue;
      if (node.offset <= 0xffff) continue;
      yield {
        place: node.place,
        message: `the VIOT’s IOMMU node at ${hex(node.offset)} lies past 0xffff: output_node, 16 bits, cannot name it`,
        effect:
          'output_node keeps the low 16 bits: "ACPI: VIOT: No IOMMU node found", silent bypass.',
      };
    }
  },
};
