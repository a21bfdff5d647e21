import { overlaps } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { linux, showRids } from './support/text.ts';

export const iortHidesViot: Rule = {
  id: 'iort-hides-viot',
  catalogue: [28],
  summary: 'IORT maps no requester ID to an SMMU that VIOT puts behind a virtio-iommu.',
  severity: 'error',
  effect: 'Linux asks IORT first and VIOT only when IORT has no answer: the SMMU counts.',
  cure: 'In IORT map the root complex to the ITS group only.',
  *check(facts: Facts): Iterable<Finding> {
    const { iort, viot } = facts;
    if (iort === undefined || viot === undefined) return;
    const ranges = viot.nodes.filter((node) => node.type === 'pci-range');
    for (const complex of iort.rootComplexes) {
      for (const mapping of complex.mappings) {
        if (mapping.target !== 'smmu') continue;
        const hit = ranges.find(
          (it) =>
            it.segments.start <= complex.segment &&
            complex.segment <= it.segments.end &&
            overlaps(it.rids, mapping.input),
        );
        if (hit === undefined) continue;
        yield {
          place: mapping.place,
          message: `IORT maps ${showRids(complex.segment, mapping.input)} to an SMMU, VIOT has ${showRids(complex.segment, hit.rids)} behind a virtio-iommu`,
          effect: `${linux(facts)} uses the SMMU; the virtio-iommu gets no endpoint, and nothing is logged.`,
          related: [{ place: hit.place, message: 'the VIOT range that is not used' }],
        };
      }
    }
  },
};
