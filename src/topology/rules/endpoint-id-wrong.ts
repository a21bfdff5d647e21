import { hex } from '../../bytes/index.ts';
import type { Facts, Rule } from '../facts.ts';
import { bootBypass, disagreementFindings } from './support/disagreement-findings.ts';
import { linux } from './support/text.ts';

export const endpointIdWrong: Rule = {
  id: 'endpoint-id-wrong',
  catalogue: [11],
  summary: 'Descriptions give each endpoint the ID by which its vIOMMU knows it.',
  severity: 'error',
  effect: 'PROBE fails with NOENT: the device works untranslated, and nothing is logged.',
  cure: 'Let the IDs be derived, or write output base = endpoint ID − (requester ID − row base).',
  check: (facts: Facts) =>
    disagreementFindings(
      facts,
      (it) => it.wanted !== undefined && it.wanted.iommu === it.got?.iommu,
      (it, who) => ({
        message: `the ${it.view.name} gives ${who} endpoint ID ${hex(it.got?.id ?? 0)}; ${it.wanted?.iommu ?? ''} knows it as ${hex(it.wanted?.id ?? 0)}`,
        effect: bootBypass(facts, it.wanted?.iommu)
          ? `${linux(facts)} gets NOENT from PROBE and leaves the device without a group: it works untranslated, and nothing is logged. If another endpoint has that ID, that one is attached instead.`
          : `${linux(facts)} gets NOENT from PROBE and leaves the device without a group; as boot-bypass is off its DMA is blocked: "unknown fault from EP …", I/O hangs.`,
      }),
    ),
};
