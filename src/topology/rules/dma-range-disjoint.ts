import { overlaps, showRange } from '../../bytes/index.ts';
import { atLeast } from '../diagnostic.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { treeHostOf } from './support/match.ts';
import { linux } from './support/text.ts';

export const dmaRangeDisjoint: Rule = {
  id: 'dma-range-disjoint',
  catalogue: [18],
  summary: 'The dma-ranges of a host meet the input range of each vIOMMU behind it.',
  severity: 'error',
  effect: 'Linux finds no IOVA that both allow, and oopses when the first MSI is set up.',
  cure: 'Widen dma-range, or input-range, until they share addresses.',
  *check(facts: Facts): Iterable<Finding> {
    const { model, tree } = facts;
    if (model === undefined || tree === undefined) return;
    for (const host of model.hosts) {
      const node = treeHostOf(tree, host);
      const ranges = node?.dmaRanges ?? [];
      if (node === undefined || ranges.length === 0) continue;
      const behind = new Set(
        model.coverage.filter((row) => row.host === host.id).map((row) => row.viommu),
      );
      for (const viommu of model.viommus) {
        if (!behind.has(viommu.id)) continue;
        if (ranges.some((range) => overlaps(range, viommu.inputRange))) continue;
        yield {
          place: node.place,
          message: `dma-ranges of ${host.id} (${ranges.map(showRange).join(', ')}) and the input range of ${viommu.id} (${showRange(viommu.inputRange)}) share no address`,
          effect: `${linux(facts)} logs "specified DMA range outside IOMMU capability"${
            atLeast(facts.kernel, 7, 0)
              ? '; the devices have no IOVA to map with.'
              : ', then oopses in alloc_iova when the first MSI is set up.'
          }`,
          related: [
            {
              place: viommu.places['input-range'] ?? viommu.place,
              message: `the input range of ${viommu.id}`,
            },
          ],
        };
      }
    }
  },
};
