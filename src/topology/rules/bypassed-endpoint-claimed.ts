import type { Facts, Rule } from '../facts.ts';
import { disagreementFindings, showAnswer } from './support/disagreement-findings.ts';
import { linux } from './support/text.ts';

export const bypassedEndpointClaimed: Rule = {
  id: 'bypassed-endpoint-claimed',
  catalogue: [27],
  summary: 'No description puts an endpoint that bypasses behind a vIOMMU.',
  severity: 'error',
  effect:
    'PROBE of an endpoint that the vIOMMU does not know fails with NOENT: no group, silent bypass.',
  cure: 'Leave the bypassing requester IDs out of iommu-map and VIOT, or put them behind the vIOMMU.',
  check: (facts: Facts) =>
    disagreementFindings(
      facts,
      (it) => it.wanted === undefined && it.got !== undefined,
      (it, who) => ({
        message: `the ${it.view.name} puts ${who} behind ${showAnswer(it.got)}; the topology lets it bypass`,
        effect: `${linux(facts)} gets NOENT from PROBE if ${it.got?.iommu ?? ''} does not know the endpoint: no group, and nothing is logged. If it does, the device is translated.`,
      }),
    ),
};
