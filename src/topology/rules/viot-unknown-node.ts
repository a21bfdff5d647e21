import { hex } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';

export const viotUnknownNode: Rule = {
  id: 'viot-unknown-node',
  catalogue: [32],
  summary: 'The nodes of a VIOT have types that are known: 1 to 4.',
  severity: 'warning',
  effect: 'Linux logs "ACPI: VIOT: Unsupported node" and goes on with the next node.',
  cure: 'Use 1 (PCI range), 2 (MMIO endpoint), 3 (virtio-iommu on PCI) or 4 (on MMIO).',
  *check({ viot }: Facts): Iterable<Finding> {
    for (const node of viot?.nodes ?? []) {
      if (node.type !== 'unknown') continue;
      const message = `the VIOT node at ${hex(node.offset)} has the unknown type ${node.number}`;
      yield { place: node.place, message };
    }
  },
};
