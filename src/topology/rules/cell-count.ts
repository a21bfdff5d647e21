import type { RidMap, TreeHost } from '../description.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { badLength, keyOf } from './support/rid-map.ts';
import { count, linux } from './support/text.ts';

function* checkMap(
  facts: Facts,
  host: TreeHost,
  map: RidMap | undefined,
  property: 'iommu-map' | 'msi-map',
): Generator<Finding> {
  if (map === undefined || !badLength(map)) return;
  const cells = `${map.bytes} bytes${map.leftover === 0 ? '' : `, which is ${count(map.rows.length, 'row')} of 4 cells and ${count(map.leftover, 'cell')} over`}`;
  const lost = property === 'iommu-map' ? 'all devices bypass' : 'no device has MSI';
  yield {
    place: map.place,
    message: `the ${property} of ${host.key} has ${cells}`,
    effect: `${linux(facts)} logs "Error: Bad ${property} length: ${map.bytes}" for each device of the host and ignores the whole property: ${lost}.`,
  };
}

export const cellCount: Rule = {
  id: 'cell-count',
  catalogue: [7],
  summary: 'iommu-map and msi-map have whole rows of 4 cells, iommus what #iommu-cells says.',
  severity: 'error',
  effect: 'Linux ignores the whole property: the devices work untranslated.',
  cure: 'Write <requester-ID base, phandle, output base, length> for each row; leave the property out when there is no row.',
  *check(facts: Facts): Iterable<Finding> {
    const { tree } = facts;
    if (tree === undefined) return;
    const cells = new Map(tree.iommus.map((it) => [it.key, it.iommuCells]));
    for (const host of tree.hosts) {
      yield* checkMap(facts, host, host.iommuMap, 'iommu-map');
      yield* checkMap(facts, host, host.msiMap, 'msi-map');
    }
    for (const device of tree.devices) {
      for (const entry of device.iommus) {
        const key = keyOf(entry.target);
        const want = key === undefined ? undefined : cells.get(key);
        if (want === undefined || want === entry.ids.length) continue;
        yield {
          place: entry.place,
          message: `iommus of ${device.key} has ${entry.ids.length} cells after ${key}, whose #iommu-cells is ${want}`,
          effect: `${linux(facts)} reads what follows as the next phandle, or finds the property too short; ${device.key} works untranslated.`,
        };
      }
    }
  },
};
