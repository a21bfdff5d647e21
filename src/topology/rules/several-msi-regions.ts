import { showRange } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { linux } from './support/text.ts';
import { probeRegionsOf } from './support/doorbells.ts';

export const severalMsiRegions: Rule = {
  id: 'several-msi-regions',
  summary: 'An endpoint has at most one MSI region (VIRTIO 1.3, RESV_MEM property).',
  severity: 'error',
  effect: 'Which of them the guest takes for the doorbell is not defined.',
  cure: 'Leave one MSI region: that of the doorbell.',
  *check(facts: Facts): Iterable<Finding> {
    const { model } = facts;
    const said = new Set<string>();
    for (const endpoint of model?.endpoints ?? []) {
      if (model === undefined || endpoint.viommu === undefined) continue;
      const msi = probeRegionsOf(model, endpoint).filter((it) => it.type === 'msi');
      const [first, second] = msi;
      if (first === undefined || second === undefined || said.has(second.id)) continue;
      said.add(second.id);
      yield {
        place: second.place,
        message: `${endpoint.id} has ${msi.length} MSI regions: ${msi.map((it) => `${it.id} (${showRange(it.range)})`).join(', ')}`,
        effect: `${linux(facts)} keeps all of them and takes the first of the list for the doorbell; VIRTIO 1.3 allows one per endpoint.`,
        related: [{ place: first.place, message: `${first.id} is here` }],
      };
    }
  },
};
