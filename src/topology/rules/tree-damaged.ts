import type { Facts, Finding, Rule } from '../facts.ts';

export const treeDamaged: Rule = {
  id: 'tree-damaged',
  catalogue: [38],
  summary: 'The blob of a device tree says what it seems to say.',
  severity: 'error',
  effect:
    'Linux and libfdt see less than is there: a property after a child node is invisible, of two nodes with one phandle the first counts.',
  cure: 'Rebuild the blob: dtc -I dtb -O dtb, or viommu-topo build.',
  *check({ tree }: Facts): Iterable<Finding> {
    for (const { severity, message, place } of tree?.formProblems ?? []) {
      yield severity === 'warning'
        ? { severity, place, message, effect: 'Linux does not mind.' }
        : { place, message };
    }
  },
};
