import type { Range } from '../../../bytes/index.ts';
import type { NodeRef, RidMap, RidMapRow, TreeDescription, TreeHost } from '../../description.ts';
import { atLeast, type KernelVersion, type Place } from '../../diagnostic.ts';
import { flatten, runAt, type Ranked } from './flatten.ts';

/** Highest requester ID of a segment. */
export const RID_MAX = 0xffff;

/** Why a row or a whole map leads nowhere; each has a rule of its own. */
export type Broken =
  'length' | 'mask' | 'phandle' | 'not-an-iommu' | 'disabled' | 'output' | 'absent-iommu';

/** Requester IDs that get the same answer from a description. */
export interface Run {
  readonly rids: Range<number>;
  /** The IOMMU's key and the endpoint ID of `rids.start`; absent: no translation. */
  readonly to?: { readonly iommu: string; readonly id: number };
  readonly broken?: Broken;
  readonly place: Place;
}

/** The requester IDs on a host's buses; a bus-range of a foreign tree may be beyond all buses. */
export function ridsOf(buses: Range<number>): Range<number> {
  const end = Math.min(buses.end, 0xff);
  return { start: Math.min(buses.start, 0x100) * 0x100, end: end * 0x100 + 0xff };
}

/** The IDs a row matches; absent when it matches none: empty, or ID + length past 32 bits. */
export function rowRids(row: RidMapRow): Range<number> | undefined {
  const limit = row.ridBase + row.length;
  if (row.length === 0 || limit > 0xffff_ffff) return undefined;
  return { start: row.ridBase, end: limit - 1 };
}

/** Whether Linux refuses the whole property: no cells, or cells that make no whole row. */
export function badLength(map: RidMap): boolean {
  return map.leftover !== 0 || map.rows.length === 0;
}

/** The key a reference names, if it names anything. */
export function keyOf(ref: NodeRef): string | undefined {
  return 'key' in ref ? ref.key : undefined;
}

/** `viommu0`, `phandle 0x99`. */
export function showRef(ref: NodeRef): string {
  return 'key' in ref ? ref.key : `phandle 0x${ref.phandle.toString(16)}`;
}

/**
 * What Linux's `of_map_id` answers for each requester ID of a host, in ascending runs.
 *
 * The first row that matches counts. A row whose base has bits outside `iommu-map-mask` ends the
 * search for every ID that no earlier row took; so does, from 7.x on (read in 7.3), an unknown phandle (before,
 * only the IDs that the row matches are lost). IDs in no run have no translation at all.
 */
export function iommuRuns(
  tree: TreeDescription,
  host: TreeHost,
  kernel: KernelVersion,
): readonly Run[] {
  const cached = cache.get(host);
  const strict = atLeast(kernel, 7, 0);
  if (cached?.tree === tree && cached.strict === strict) return cached.runs;
  const runs = computeRuns(tree, host, strict);
  cache.set(host, { tree, strict, runs });
  return runs;
}

const cache: WeakMap<TreeHost, { tree: TreeDescription; strict: boolean; runs: readonly Run[] }> =
  new WeakMap();

/** The run that holds `rid`. */
export function lookup(runs: readonly Run[], rid: number): Run | undefined {
  return runAt(runs, rid, (run) => run.rids);
}

/** Endpoint ID that `run` gives `rid`. */
export function idAt(run: Run, rid: number): number | undefined {
  return run.to && run.to.id + (rid - run.rids.start);
}

function computeRuns(tree: TreeDescription, host: TreeHost, strict: boolean): readonly Run[] {
  const map = host.iommuMap;
  if (map === undefined) return [];
  const rids = ridsOf(host.buses);
  if (badLength(map)) return [{ rids, broken: 'length', place: map.place }];
  const mask = host.iommuMapMask?.value ?? 0xffff_ffff;
  const iommus = iommuStates(tree);
  const all = { start: 0, end: 0xffff_ffff };
  const entries: Ranked<{ readonly row: RidMapRow; readonly broken?: Broken }>[] = [];
  for (const [rank, row] of map.rows.entries()) {
    if ((row.ridBase & ~mask) !== 0) {
      entries.push({ range: all, rank, value: { row, broken: 'mask' } });
      break;
    }
    const key = keyOf(row.target);
    const broken = key === undefined ? 'phandle' : (iommus.get(key) ?? 'not-an-iommu');
    const range = broken === 'phandle' && strict ? all : rowRids(row);
    if (range === undefined) continue;
    entries.push({ range, rank, value: broken === 'fine' ? { row } : { row, broken } });
  }
  const flat = flatten(entries).map(({ range, value }): Run => {
    const { row, broken } = value;
    const key = keyOf(row.target);
    if (broken !== undefined || key === undefined) {
      return { rids: range, broken: broken ?? 'phandle', place: row.place };
    }
    const id = (row.outputBase + range.start - row.ridBase) >>> 0;
    return { rids: range, to: { iommu: key, id }, place: row.place };
  });
  if ((mask & RID_MAX) === RID_MAX) return clip(flat, rids);
  const before = masked.get(tree) ?? 0;
  masked.set(tree, before + 1);
  return before < MASKED_HOSTS_MAX ? unmask(flat, mask, rids) : [];
}

/** A mask costs a look at each requester ID; a hostile tree has thousands of hosts with masks. */
const MASKED_HOSTS_MAX = 256;
const masked: WeakMap<TreeDescription, number> = new WeakMap();

type IommuState = 'fine' | 'disabled';
const states: WeakMap<TreeDescription, Map<string, IommuState>> = new WeakMap();

function iommuStates(tree: TreeDescription): Map<string, IommuState> {
  let map = states.get(tree);
  if (map === undefined) {
    map = new Map(tree.iommus.map((it) => [it.key, it.enabled ? 'fine' : 'disabled']));
    states.set(tree, map);
  }
  return map;
}

/** The parts of ascending runs that lie in `window`. */
export function clip(runs: readonly Run[], window: Range<number>): Run[] {
  const cut: Run[] = [];
  for (const run of runs) {
    const start = Math.max(run.rids.start, window.start);
    const end = Math.min(run.rids.end, window.end);
    if (start > end) continue;
    const to = run.to && { iommu: run.to.iommu, id: run.to.id + (start - run.rids.start) };
    cut.push({ ...run, rids: { start, end }, ...(to && { to }) });
  }
  return cut;
}

/** Runs over masked IDs turned into runs over requester IDs: at most 65,536 of them. */
function unmask(source: readonly Run[], mask: number, window: Range<number>): Run[] {
  const runs: Run[] = [];
  for (let rid = window.start; rid <= window.end; rid++) {
    const from = lookup(source, (rid & mask) >>> 0);
    if (from === undefined) continue;
    const id = idAt(from, (rid & mask) >>> 0);
    const last = runs.at(-1);
    const follows = last !== undefined && last.place === from.place && last.rids.end === rid - 1;
    if (follows && (id === undefined || idAt(last, rid) === id)) {
      runs[runs.length - 1] = { ...last, rids: { start: last.rids.start, end: rid } };
    } else {
      const to = from.to && id !== undefined ? { to: { iommu: from.to.iommu, id } } : {};
      runs.push({ ...from, ...to, rids: { start: rid, end: rid } });
    }
  }
  return runs;
}
