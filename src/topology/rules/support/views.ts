import type { Place } from '../../diagnostic.ts';
import type { Facts } from '../../facts.ts';
import type { Endpoint, PciHost } from '../../model.ts';
import { treeHostOf, viommuOfTree, viommuOfViot } from './match.ts';
import { iommuRuns, keyOf, type Run } from './rid-map.ts';
import { viotIommus, viotKey, viotOutput, viotRuns } from './viot-runs.ts';

/** Where a description sends a platform device. */
export interface PlatformAnswer {
  readonly to?: { readonly iommu: string; readonly id: number };
  readonly broken?: Run['broken'];
  readonly place: Place;
}

/** One description, asked as Linux asks it. IOMMUs are named by the model's ids where known. */
export interface View {
  readonly name: 'device tree' | 'VIOT';
  /** `iommu-map` or `VIOT`, for messages. */
  readonly means: string;
  runs(host: PciHost): readonly Run[];
  /** Where the host is described: to point at when it says nothing. */
  hostPlace(host: PciHost): Place;
  platform(endpoint: Endpoint): PlatformAnswer | undefined;
}

/** The descriptions that were given, each as a view of the model's machine. */
export function views(facts: Facts): View[] {
  if (facts.model === undefined) return [];
  const list = [treeView(facts), viotView(facts)];
  return list.filter((view) => view !== undefined);
}

function treeView(facts: Facts): View | undefined {
  const { tree, kernel } = facts;
  if (tree === undefined) return undefined;
  const names = new Map(tree.iommus.map((it) => [it.key, viommuOfTree(facts, it.key)?.id]));
  return {
    name: 'device tree',
    means: 'iommu-map',
    runs(host) {
      const node = treeHostOf(tree, host);
      return node === undefined ? [] : rename(iommuRuns(tree, node, kernel), names);
    },
    hostPlace: (host) => treeHostOf(tree, host)?.place ?? tree.place,
    platform(endpoint) {
      const { location } = endpoint;
      if (location.kind !== 'platform') return undefined;
      const node =
        tree.devices.find((it) => it.key === endpoint.id) ??
        tree.devices.find((it) => it.base === location.base);
      const entry = node?.iommus[0];
      if (entry === undefined) return undefined;
      const key = keyOf(entry.target);
      const { place } = entry;
      if (key === undefined) return { broken: 'phandle', place };
      const iommu = tree.iommus.find((it) => it.key === key);
      if (iommu === undefined) return { broken: 'not-an-iommu', place };
      if (!iommu.enabled) return { broken: 'disabled', place };
      if (iommu.iommuCells === undefined || entry.ids.length !== iommu.iommuCells) {
        return { broken: 'length', place };
      }
      return { to: { iommu: names.get(key) ?? key, id: entry.ids[0] ?? 0 }, place };
    },
  };
}

function viotView(facts: Facts): View | undefined {
  const { viot, model } = facts;
  if (viot === undefined || model === undefined) return undefined;
  const names = new Map<string, string | undefined>();
  for (const [key, node] of viotIommus(viot)) names.set(key, viommuOfViot(model, node)?.id);
  const bySegment = new Map<number, readonly Run[]>();
  return {
    name: 'VIOT',
    means: 'VIOT',
    runs(host) {
      let runs = bySegment.get(host.segment);
      if (runs === undefined) {
        runs = rename(viotRuns(viot, host.segment), names, 'absent-iommu');
        bySegment.set(host.segment, runs);
      }
      return runs;
    },
    hostPlace: () => viot.place,
    platform(endpoint) {
      const { location } = endpoint;
      if (location.kind !== 'platform') return undefined;
      const node = viot.nodes.findLast(
        (it) =>
          it.type === 'mmio-endpoint' &&
          it.base === location.base &&
          viotOutput(viot, it.output) !== undefined,
      );
      if (node?.type !== 'mmio-endpoint') return undefined;
      const iommu = viotOutput(viot, node.output);
      const name = iommu && names.get(viotKey(iommu));
      if (name === undefined) return { broken: 'absent-iommu', place: node.place };
      return { to: { iommu: name, id: node.endpoint }, place: node.place };
    },
  };
}

/** Runs with the model's names; an IOMMU the model does not have keeps its own, or is broken. */
function rename(
  runs: readonly Run[],
  names: ReadonlyMap<string, string | undefined>,
  unknown?: Run['broken'],
): readonly Run[] {
  return runs.map((run) => {
    if (run.to === undefined) return run;
    const name = names.get(run.to.iommu);
    if (name !== undefined) return { ...run, to: { iommu: name, id: run.to.id } };
    return unknown === undefined ? run : { rids: run.rids, broken: unknown, place: run.place };
  });
}
