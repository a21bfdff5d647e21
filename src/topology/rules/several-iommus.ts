import { hex } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { onQemu } from './support/match.ts';
import { keyOf } from './support/rid-map.ts';
import { linux } from './support/text.ts';

function* qemuBuses(facts: Facts): Generator<Finding> {
  const { model } = facts;
  if (model === undefined || !onQemu(model)) return;
  const first = new Map<string, { viommu: string; place: Finding['place'] }>();
  const said = new Set<string>();
  for (const row of model.coverage) {
    const known = first.get(row.host);
    if (known === undefined) {
      first.set(row.host, { viommu: row.viommu, place: row.place });
    } else if (known.viommu !== row.viommu && !said.has(row.host)) {
      said.add(row.host);
      yield {
        place: row.place,
        message: `${row.host} has endpoints behind ${known.viommu} and behind ${row.viommu}, but in QEMU a vIOMMU has whole buses`,
        effect: 'The later -device silently takes the bus; the other vIOMMU knows no endpoint.',
        cure: 'Give each vIOMMU a host of its own (a pxb), or use board: emulator.',
        related: [{ place: known.place, message: `behind ${known.viommu}` }],
      };
    }
  }
}

export const severalIommus: Rule = {
  id: 'several-iommus',
  catalogue: [28],
  summary: 'No endpoint is behind more than one IOMMU.',
  severity: 'error',
  effect: 'One IOMMU counts, and it gets the IDs that are meant for the other.',
  cure: 'Name one IOMMU per endpoint.',
  *check(facts: Facts): Iterable<Finding> {
    for (const device of facts.tree?.devices ?? []) {
      const [first, ...others] = device.iommus;
      const key = first && keyOf(first.target);
      const other = others.find((it) => keyOf(it.target) !== key);
      if (first === undefined || key === undefined || other === undefined) continue;
      const second = keyOf(other.target);
      // A phandle that names nothing has a rule of its own.
      if (second === undefined) continue;
      yield {
        place: other.place,
        message: `iommus of ${device.key} names ${key} and ${second}`,
        effect: `${linux(facts)} keeps ${key} and sends it the ID ${hex(other.ids[0] ?? 0)} too, which is meant for ${second}.`,
        related: [{ place: first.place, message: `the IOMMU that counts` }],
      };
    }
    yield* qemuBuses(facts);
  },
};
