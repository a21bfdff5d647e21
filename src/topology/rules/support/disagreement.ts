import type { Range } from '../../../bytes/index.ts';
import type { Facts } from '../../facts.ts';
import type { CoverageRow, Endpoint, Model, PciHost } from '../../model.ts';
import { groupBy } from './group.ts';
import { isViommu } from './match.ts';
import { pieces, type Answer } from './pieces.ts';
import { clip, ridsOf, type Run } from './rid-map.ts';
import { views, type View } from './views.ts';

/** Requester IDs for which a description says something else than the topology. */
export interface Disagreement {
  readonly view: View;
  readonly host?: PciHost;
  readonly segment: number;
  /** Absent for a platform device. */
  readonly rids?: Range<number>;
  /** Devices the topology has there; empty: nothing is plugged in (yet). */
  readonly endpoints: readonly Endpoint[];
  readonly wanted?: Answer;
  readonly got?: Answer;
}

const cache: WeakMap<Facts, readonly Disagreement[]> = new WeakMap();

/**
 * Compares who translates what: the topology against each description of it, as Linux reads that.
 * What has a reason of its own (a wrong phandle, cell count, mask …) is left to that rule.
 */
export function disagreements(facts: Facts): readonly Disagreement[] {
  let found = cache.get(facts);
  if (found === undefined) {
    const { model } = facts;
    found = model === undefined ? [] : views(facts).flatMap((view) => compare(model, view));
    cache.set(facts, found);
  }
  return found;
}

function compare(model: Model, view: View): Disagreement[] {
  const found: Disagreement[] = [];
  const devices = devicesByHost(model);
  const coverage = groupBy(model.coverage, (it) => it.host);
  for (const host of model.hosts) {
    const window = ridsOf(host.buses);
    const wanted = (coverage.get(host.id) ?? []).map(runOf);
    const got = clip(view.runs(host), window);
    for (const piece of pieces(wanted, got)) {
      if (piece.rids.start === piece.rids.end && isViommu(model, host.segment, piece.rids.start)) {
        continue;
      }
      const endpoints = within(devices.get(host.id) ?? [], piece.rids);
      found.push({ view, host, segment: host.segment, endpoints, ...piece });
    }
  }
  for (const endpoint of model.endpoints) {
    const disagreement = platform(view, endpoint);
    if (disagreement !== undefined) found.push(disagreement);
  }
  return found;
}

function runOf({ rids, viommu, endpointId, place }: CoverageRow): Run {
  return { rids, to: { iommu: viommu, id: endpointId }, place };
}

function platform(view: View, endpoint: Endpoint): Disagreement | undefined {
  if (endpoint.location.kind !== 'platform') return undefined;
  const answer = view.platform(endpoint);
  if (answer?.broken !== undefined) return undefined;
  const { viommu, endpointId, place } = endpoint;
  const wanted =
    viommu !== undefined && endpointId !== undefined
      ? { iommu: viommu, id: endpointId, place: endpoint.places['endpoint-id'] ?? place }
      : undefined;
  const got = answer?.to && { ...answer.to, place: answer.place };
  if (wanted?.iommu === got?.iommu && wanted?.id === got?.id) return undefined;
  return {
    view,
    segment: 0,
    endpoints: [endpoint],
    ...(wanted && { wanted }),
    ...(got && { got }),
  };
}

/** PCI endpoints with a device, per host, ascending. */
function devicesByHost(model: Model): Map<string, Endpoint[]> {
  const map = new Map<string, Endpoint[]>();
  for (const endpoint of model.endpoints) {
    const { location, device } = endpoint;
    if (location.kind !== 'pci' || device === undefined) continue;
    const list = map.get(location.host);
    if (list === undefined) map.set(location.host, [endpoint]);
    else list.push(endpoint);
  }
  for (const list of map.values()) list.sort((a, b) => startOf(a) - startOf(b));
  return map;
}

function startOf(endpoint: Endpoint): number {
  return endpoint.location.kind === 'pci' ? endpoint.location.rids.start : 0;
}

/** Endpoints that begin in `rids`, by binary search. */
function within(sorted: readonly Endpoint[], rids: Range<number>): Endpoint[] {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = sorted[middle];
    if (at !== undefined && startOf(at) < rids.start) low = middle + 1;
    else high = middle;
  }
  const found: Endpoint[] = [];
  for (let it = sorted[low]; it !== undefined && startOf(it) <= rids.end; it = sorted[++low]) {
    found.push(it);
  }
  return found;
}
