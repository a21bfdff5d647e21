import type { Facts, Finding, Rule } from '../facts.ts';
import { badLength, keyOf } from './support/rid-map.ts';
import { linux } from './support/text.ts';

export const msiCells: Rule = {
  id: 'msi-cells',
  summary: 'The target of an msi-map has #msi-cells = <1>.',
  severity: 'warning',
  effect: 'Linux 6.12 and 7.3 read rows of 4 cells all the same; the binding does not allow it.',
  cure: 'ITS: #msi-cells = <1>. GICv2m, which has no DeviceIDs: msi-parent = <&v2m> instead of msi-map.',
  *check(facts: Facts): Iterable<Finding> {
    const { tree } = facts;
    if (tree === undefined) return;
    const controllers = new Map(tree.msiControllers.map((it) => [it.key, it]));
    for (const host of tree.hosts) {
      if (host.msiMap === undefined || badLength(host.msiMap)) continue;
      const keys = new Set(host.msiMap.rows.map((row) => keyOf(row.target)));
      for (const key of keys) {
        const target = controllers.get(key ?? '');
        if (target === undefined || target.msiCells === 1) continue;
        const has =
          target.msiCells === undefined ? 'no #msi-cells' : `#msi-cells = <${target.msiCells}>`;
        yield {
          place: host.msiMap.place,
          message: `the msi-map of ${host.key} leads to ${target.key}, which has ${has}`,
          effect: `${linux(facts)} reads rows of 4 cells all the same and works (QEMU writes this for GICv2m); the binding does not allow it.`,
          related: [{ place: target.place, message: `${target.key} is here` }],
        };
      }
    }
  },
};
