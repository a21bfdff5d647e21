import type { Facts, Rule } from '../facts.ts';
import { disagreementFindings, showAnswer } from './support/disagreement-findings.ts';
import { linux } from './support/text.ts';

export const endpointBehindWrongViommu: Rule = {
  id: 'endpoint-behind-wrong-viommu',
  catalogue: [28],
  summary: 'Descriptions put each endpoint behind the vIOMMU that it is wired to.',
  severity: 'error',
  effect: 'The wrong vIOMMU does not know the endpoint: no group, silent bypass.',
  cure: 'Name one vIOMMU per requester ID, the one that the topology says.',
  check: (facts: Facts) =>
    disagreementFindings(
      facts,
      (it) => it.wanted !== undefined && it.got !== undefined && it.wanted.iommu !== it.got.iommu,
      (it, who) => ({
        message: `the ${it.view.name} puts ${who} behind ${showAnswer(it.got)}; the topology has it behind ${showAnswer(it.wanted)}`,
        effect: `${linux(facts)} asks ${it.got?.iommu ?? ''}, which answers PROBE with NOENT: no group, the device works untranslated and nothing is logged.`,
      }),
    ),
};
