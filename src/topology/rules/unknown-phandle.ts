import { hex } from '../../bytes/index.ts';
import type { NodeRef, RidMap, TreeHost } from '../description.ts';
import { atLeast, type Place } from '../diagnostic.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { badLength } from './support/rid-map.ts';
import { count, linux, showRids } from './support/text.ts';

/** The phandle, when it names nothing. */
function dangling(ref: NodeRef): number | undefined {
  return 'phandle' in ref ? ref.phandle : undefined;
}

/** One finding for each different phandle of a map: a generated map repeats it in every row. */
function* checkMap(
  facts: Facts,
  host: TreeHost,
  map: RidMap | undefined,
  property: 'iommu-map' | 'msi-map',
): Generator<Finding> {
  if (map === undefined || badLength(map)) return;
  const seen = new Map<number, { place: Place; rows: number; first: string }>();
  for (const row of map.rows) {
    const phandle = dangling(row.target);
    if (phandle === undefined) continue;
    const known = seen.get(phandle);
    const rids = { start: row.ridBase, end: row.ridBase + Math.max(row.length, 1) - 1 };
    const first = showRids(host.segment ?? 0, rids);
    if (known === undefined) seen.set(phandle, { place: row.place, rows: 1, first });
    else known.rows++;
  }
  const lost =
    property === 'iommu-map'
      ? 'they work untranslated and nothing is logged'
      : 'they fall back to INTx without a word';
  const reach = atLeast(facts.kernel, 7, 0)
    ? `fails the lookup of the IDs that this row matches, and of all that no earlier row matches: ${lost}.`
    : `fails the lookup of the IDs that this row matches: ${lost}. (With 7.3, all that no earlier row matches are lost as well.)`;
  for (const [phandle, { place, rows, first }] of seen) {
    const more = rows === 1 ? '' : ` and in ${count(rows - 1, 'more row')}`;
    yield {
      place,
      message: `phandle ${hex(phandle)} in the ${property} of ${host.key} (for ${first}${more}) is no node's`,
      effect: `${linux(facts)} ${reach}`,
    };
  }
}

export const unknownPhandle: Rule = {
  id: 'unknown-phandle',
  catalogue: [6],
  summary: 'Every phandle in iommu-map, msi-map, msi-parent, iommus and iommu-addresses exists.',
  severity: 'error',
  effect: 'Linux ignores the reference; the device works untranslated, or without MSI.',
  cure: 'Refer to the node of the vIOMMU or MSI controller by its phandle.',
  *check(facts: Facts): Iterable<Finding> {
    const { tree } = facts;
    if (tree === undefined) return;
    for (const host of tree.hosts) {
      yield* checkMap(facts, host, host.iommuMap, 'iommu-map');
      yield* checkMap(facts, host, host.msiMap, 'msi-map');
      const parent = host.msiParent;
      const phandle = parent && dangling(parent.target);
      if (parent !== undefined && phandle !== undefined) {
        yield {
          place: parent.place,
          message: `phandle ${hex(phandle)} in the msi-parent of ${host.key} is no node's`,
          effect: 'The devices have no MSI: they fall back to INTx, or fail where there is none.',
        };
      }
    }
    for (const device of tree.devices) {
      for (const entry of device.iommus) {
        const phandle = dangling(entry.target);
        if (phandle === undefined) continue;
        yield {
          place: entry.place,
          message: `phandle ${hex(phandle)} in the iommus of ${device.key} is no node's`,
          effect: `${device.key} works untranslated.`,
        };
      }
    }
    for (const region of tree.regions) {
      for (const entry of region.addresses) {
        const phandle = dangling(entry.device);
        if (phandle === undefined) continue;
        yield {
          place: entry.place,
          message: `phandle ${hex(phandle)} in the iommu-addresses of ${region.key} is no node's`,
          effect: 'The region holds for no device.',
        };
      }
    }
  },
};
