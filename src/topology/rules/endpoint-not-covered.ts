import type { Facts, Rule } from '../facts.ts';
import { bootBypass, disagreementFindings, showAnswer } from './support/disagreement-findings.ts';
import { linux } from './support/text.ts';

export const endpointNotCovered: Rule = {
  id: 'endpoint-not-covered',
  catalogue: [12],
  summary: 'Every endpoint behind a vIOMMU is covered by each description of it.',
  severity: 'error',
  effect: 'The device works untranslated, and nothing is logged.',
  cure: 'Cover the requester ID in iommu-map (or the device’s iommus) and in a VIOT range.',
  check: (facts: Facts) =>
    disagreementFindings(
      facts,
      (it) => it.wanted !== undefined && it.got === undefined,
      (it, who) => ({
        message: `the ${it.view.name} covers ${who} by no vIOMMU; the topology has it behind ${showAnswer(it.wanted)}`,
        effect: bootBypass(facts, it.wanted?.iommu)
          ? `${linux(facts)} gives it no IOMMU group: it works untranslated, with ${it.view.name === 'VIOT' ? 'nothing' : 'no more than "no iommu-map translation for id"'} in the log.`
          : `${linux(facts)} gives it no IOMMU group, and as boot-bypass is off its DMA is blocked: "unknown fault from EP …", I/O hangs.`,
      }),
    ),
};
