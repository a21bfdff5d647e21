import { hex } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { viotEndpoints, viotOutput } from './support/viot-runs.ts';

export const viotOutputRule: Rule = {
  id: 'viot-output',
  catalogue: [32],
  summary: 'The output_node of a VIOT endpoint is where an IOMMU node begins.',
  severity: 'error',
  effect: 'Linux logs "ACPI: VIOT: No IOMMU node found"; the endpoints work untranslated.',
  cure: 'Let output_node be the byte offset of an IOMMU node from the start of the table.',
  *check({ viot }: Facts): Iterable<Finding> {
    if (viot === undefined) return;
    const byOffset = new Map(viot.nodes.map((node) => [node.offset, node]));
    for (const node of viotEndpoints(viot)) {
      // A node that cannot be named in 16 bits is the business of another rule.
      if (viotOutput(viot, node.output) !== undefined || node.output > 0xffff) continue;
      const there = byOffset.get(node.output);
      const what = there === undefined ? 'no node begins there' : `that is a ${there.type} node`;
      yield {
        place: node.place,
        message: `output_node of the VIOT node at ${hex(node.offset)} is ${hex(node.output)}: ${what}`,
        ...(there && { related: [{ place: there.place, message: 'what output_node names' }] }),
      };
    }
  },
};
