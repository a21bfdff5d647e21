import type { Range } from '../../bytes/index.ts';
import type { TreeHost } from '../description.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import type { Endpoint, Model } from '../model.ts';
import { treeHostOf } from './support/match.ts';
import { badLength, ridsOf, rowRids } from './support/rid-map.ts';
import { linux, showRids } from './support/text.ts';

/** The requester IDs of `window` that no range holds. */
function gaps(window: Range<number>, ranges: readonly Range<number>[]): Range<number>[] {
  const holes: Range<number>[] = [];
  let at = window.start;
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    if (range.start > window.end) break;
    if (range.start > at) holes.push({ start: at, end: range.start - 1 });
    at = Math.max(at, range.end + 1);
  }
  if (at <= window.end) holes.push({ start: at, end: window.end });
  return holes;
}

/** Devices that begin in one of the holes. */
function devicesIn(
  model: Model | undefined,
  hostId: string,
  holes: readonly Range<number>[],
): Endpoint[] {
  return (model?.endpoints ?? []).filter(
    ({ location, device }) =>
      device !== undefined &&
      location.kind === 'pci' &&
      location.host === hostId &&
      holes.some((it) => it.start <= location.rids.start && location.rids.start <= it.end),
  );
}

function* checkTreeHost(facts: Facts, host: TreeHost, id: string, at: string): Generator<Finding> {
  const segment = host.segment ?? 0;
  if (host.msiParent !== undefined && host.msiMap === undefined) return;
  if (host.msiMap === undefined) {
    yield {
      place: host.place,
      message: `${host.key} has neither msi-map nor msi-parent${at}`,
      effect: `${linux(facts)} has no MSI for its devices: they fall back to INTx, or fail where there is none.`,
    };
    return;
  }
  if (badLength(host.msiMap)) return;
  const mapped = host.msiMap.rows.map(rowRids).filter((it) => it !== undefined);
  const holes = gaps(ridsOf(host.buses), mapped);
  const first = holes[0];
  if (first === undefined) return;
  const devices = devicesIn(facts.model, id, holes);
  const more = holes.length === 1 ? '' : ` and ${holes.length - 1} more runs`;
  const who = devices.length === 0 ? '' : `: ${devices.map((it) => it.id).join(', ')}`;
  yield {
    severity: facts.model !== undefined && devices.length === 0 ? 'warning' : 'error',
    place: host.msiMap.place,
    message: `the msi-map of ${host.key} does not hold ${showRids(segment, first)}${more}${who}`,
    effect: `${linux(facts)} logs "no msi-map translation for id" and falls back to INTx for them; what has no INTx fails.`,
    related: devices.slice(0, 8).map((it) => ({ place: it.place, message: `${it.id} has no MSI` })),
  };
}

function* checkIort(facts: Facts): Generator<Finding> {
  const { model, iort } = facts;
  if (model === undefined || iort === undefined) return;
  const its = new Set(model.doorbells.filter((it) => it.kind === 'its').map((it) => it.id));
  for (const host of model.hosts) {
    if (host.doorbell === undefined || !its.has(host.doorbell)) continue;
    const mappings = iort.rootComplexes
      .filter((it) => it.segment === host.segment)
      .flatMap((it) => it.mappings.map((mapping) => mapping.input));
    const first = gaps(ridsOf(host.buses), mappings)[0];
    if (first === undefined) continue;
    yield {
      place: iort.place,
      message: `IORT maps ${showRids(host.segment, first)} of ${host.id} to no ITS group`,
      effect: `${linux(facts)} has no MSI for those devices: they fall back to INTx, or fail where there is none.`,
      related: [{ place: host.place, message: `${host.id} has the doorbell ${host.doorbell}` }],
    };
  }
}

export const msiMapMissing: Rule = {
  id: 'msi-map-missing',
  catalogue: [15],
  summary: 'Every function of a host with an MSI controller is in its msi-map (IORT mapping).',
  severity: 'error',
  effect: 'Linux falls back to INTx for what is not covered; what has no INTx fails.',
  cure: 'Write msi-map = <0x0 &its 0x0 0x10000>, or msi-parent for GICv2m.',
  *check(facts: Facts): Iterable<Finding> {
    const { model, tree } = facts;
    if (tree !== undefined && model !== undefined) {
      for (const host of model.hosts) {
        const node = treeHostOf(tree, host);
        if (node === undefined || host.doorbell === undefined) continue;
        const at = `, and the topology has its MSIs at ${host.doorbell}`;
        yield* checkTreeHost(facts, node, host.id, at);
      }
    } else if (tree !== undefined && tree.msiControllers.some((it) => it.kind !== 'other')) {
      for (const host of tree.hosts) {
        const at = `, and the tree has ${tree.msiControllers.map((it) => it.key).join(', ')}`;
        for (const it of checkTreeHost(facts, host, host.key, at)) {
          yield { ...it, severity: 'warning' };
        }
      }
    }
    yield* checkIort(facts);
  },
};
