import { hex } from '../../bytes/index.ts';
import type { TreeDescription, TreeHost } from '../description.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import type { Model } from '../model.ts';
import { onQemu, treeHostOf } from './support/match.ts';
import { overlappingPairs } from './support/overlap.ts';
import { badLength, keyOf, ridsOf, rowRids } from './support/rid-map.ts';
import { showRids } from './support/text.ts';

interface Claim {
  readonly range: { readonly start: number; readonly end: number };
  readonly host: TreeHost;
  readonly rid: number;
  readonly place: Finding['place'];
}

/** DeviceIDs that the maps give out, by ITS. */
function claims(tree: TreeDescription): Map<string, Claim[]> {
  const its = new Set(tree.msiControllers.filter((it) => it.kind === 'its').map((it) => it.key));
  const found = new Map<string, Claim[]>();
  for (const host of tree.hosts) {
    if (host.msiMap === undefined || badLength(host.msiMap)) continue;
    for (const row of host.msiMap.rows) {
      const key = keyOf(row.target);
      const rids = rowRids(row);
      if (key === undefined || !its.has(key) || rids === undefined) continue;
      const own = ridsOf(host.buses);
      const start = Math.max(rids.start, own.start);
      const end = Math.min(rids.end, own.end);
      if (start > end) continue;
      const base = row.outputBase + (start - row.ridBase);
      const range = { start: base, end: base + (end - start) };
      const list = found.get(key) ?? [];
      list.push({ range, host, rid: start, place: row.place });
      found.set(key, list);
    }
  }
  return found;
}

function* wrongForQemu(
  model: Model,
  tree: TreeDescription,
  all: Map<string, Claim[]>,
): Generator<Finding> {
  if (!onQemu(model)) return;
  const known = new Map(model.hosts.map((host) => [treeHostOf(tree, host)?.key, host]));
  for (const [its, list] of all) {
    for (const { range, host, rid, place } of list) {
      if (range.start === rid || !known.has(host.key)) continue;
      const rids = { start: rid, end: rid + (range.end - range.start) };
      yield {
        place,
        message: `the msi-map of ${host.key} gives ${showRids(host.segment ?? 0, rids)} DeviceID ${hex(range.start)} on ${its}, but QEMU’s ITS sees the requester ID, ${hex(rid)}`,
      };
    }
  }
}

export const msiMapOffset: Rule = {
  id: 'msi-map-offset',
  catalogue: [16],
  summary: 'msi-map gives each function the DeviceID that the ITS sees, and no two the same.',
  severity: 'error',
  effect: 'The ITS drops the interrupts: the boot hangs in the first I/O, and nothing is logged.',
  cure: 'Use one function from requester ID to DeviceID in the hypervisor and in msi-map: the requester ID itself on QEMU.',
  *check({ model, tree }: Facts): Iterable<Finding> {
    if (tree === undefined) return;
    const all = claims(tree);
    if (model !== undefined) yield* wrongForQemu(model, tree, all);
    for (const [its, list] of all) {
      for (const [a, b] of overlappingPairs(list)) {
        if (a.host === b.host && a.range.start - a.rid === b.range.start - b.rid) continue;
        const id = Math.max(a.range.start, b.range.start);
        const [one, two] = [a, b].map(({ host, rid, range }) => {
          const at = rid + (id - range.start);
          return showRids(host.segment ?? 0, { start: at, end: at });
        });
        yield {
          place: b.place,
          message: `${one} (${a.host.key}) and ${two} (${b.host.key}) have the same DeviceID ${hex(id)} on ${its}`,
          effect: 'The ITS has one device for both: interrupts of one are lost or go to the other.',
          related: [{ place: a.place, message: `the DeviceID of ${one}` }],
        };
      }
    }
  },
};
