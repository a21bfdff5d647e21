import { hex } from '../../bytes/index.ts';
import type { ViotDescription } from '../description.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { formFindings } from './support/form.ts';
import { VIOT_NODES_START } from './support/viot-runs.ts';

/** Forms that a rule of its own explains better. */
const ELSEWHERE = /^viot\/(range-overlap|output-|range-empty|endpoint-overflow|unknown-node)/;

function* header(viot: ViotDescription): Generator<Finding> {
  const { nodeOffset, nodeCount, nodes, place } = viot;
  const known = viot.formProblems.map((it) => it.code);
  if (nodeOffset < VIOT_NODES_START && !known.includes('viot/node-overflow')) {
    yield {
      place,
      message: `node_offset is ${nodeOffset}: nodes begin at ${VIOT_NODES_START} or later`,
      effect:
        'Linux logs "[Firmware Bug]: Node pointer overflows" and reads no node: nothing is translated.',
    };
  }
  const lost = known.some((code) => /^viot\/(node-|empty-node)/.test(code));
  if (nodeCount > nodes.length && !lost && nodeOffset >= VIOT_NODES_START) {
    yield {
      severity: 'warning',
      place,
      message: `node_count is ${nodeCount}, but the table has ${nodes.length} nodes`,
      effect:
        'Linux takes the nodes that are there, then logs "[Firmware Bug]: Node pointer overflows": it works.',
    };
  } else if (nodeCount < nodes.length) {
    const first = nodes[nodeCount];
    yield {
      place: first?.place ?? place,
      message: `node_count is ${nodeCount}, but the table has ${nodes.length} nodes: the node at ${hex(first?.offset ?? 0)} and all after it are never read`,
      effect: 'The endpoints that the other nodes are for work untranslated; nothing is logged.',
    };
  }
}

export const viotDamaged: Rule = {
  id: 'viot-damaged',
  catalogue: [32],
  summary: 'The header and the node lengths of a VIOT are right.',
  severity: 'error',
  effect:
    'Linux stops at the first node that is wrong: the endpoints of later nodes work untranslated.',
  cure: 'node_offset 48, node_count the number of nodes, length 24 for endpoints and 16 for IOMMUs.',
  *check({ viot }: Facts): Iterable<Finding> {
    if (viot === undefined) return;
    yield* header(viot);
    yield* formFindings(viot.formProblems, ELSEWHERE);
  },
};
