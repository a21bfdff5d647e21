import type { Endpoint, PciLocation } from '../../topology/index.ts';

/** Endpoints in one bus that are drawn one by one; more are folded. */
const SINGLES_MAX = 10;
/** Nodes of one bus, after folding runs; more are folded by what translates them. */
const RUNS_MAX = 16;
/** The shortest run that is worth folding. */
const RUN_MIN = 3;

/** Endpoints that are drawn as one node: all behind the same vIOMMU, or all past any. */
export interface Fold {
  /** In the order of their requester IDs. */
  readonly endpoints: readonly Endpoint[];
  /** Requester IDs in all. */
  readonly functions: number;
  /** Consecutive: each ID follows from the first. `mixed`: only their translation is the same. */
  readonly kind: 'single' | 'run' | 'mixed';
}

/** Endpoints of one bus as the nodes to draw: few, whatever their number. */
export function foldEndpoints(endpoints: readonly Endpoint[]): Fold[] {
  const sorted = endpoints.toSorted(byPlace);
  if (sorted.length <= SINGLES_MAX) return sorted.map(single);
  const runs = foldRuns(sorted);
  return runs.length <= RUNS_MAX ? runs : foldByTranslation(sorted);
}

/** All endpoints with the same translation are one, wherever they are. */
export function foldByTranslation(endpoints: readonly Endpoint[]): Fold[] {
  const groups = new Map<string, Endpoint[]>();
  for (const endpoint of endpoints.toSorted(byPlace)) {
    const key = endpoint.viommu ?? '';
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [endpoint]);
    else group.push(endpoint);
  }
  return Array.from(groups.values(), (group) => made(group, 'mixed'));
}

function foldRuns(sorted: readonly Endpoint[]): Fold[] {
  const folds: Fold[] = [];
  let run: Endpoint[] = [];
  const close = (): void => {
    if (run.length >= RUN_MIN) folds.push(made(run, 'run'));
    else folds.push(...run.map(single));
    run = [];
  };
  for (const endpoint of sorted) {
    if (!continues(run, endpoint)) close();
    run.push(endpoint);
  }
  close();
  return folds;
}

/** Same translation, same kind of device, and requester ID and endpoint ID grow by the same step. */
function continues(run: readonly Endpoint[], next: Endpoint): boolean {
  const last = run.at(-1);
  if (last === undefined) return true;
  if (last.viommu !== next.viommu || last.device?.kind !== next.device?.kind) return false;
  const step = distance(last, next);
  if (step === undefined) return false;
  const [first, second] = run;
  const before = first && second && distance(first, second);
  return before === undefined || before === step;
}

function distance(a: Endpoint, b: Endpoint): number | undefined {
  if (a.location.kind !== b.location.kind) return undefined;
  const ids = (b.endpointId ?? 0) - (a.endpointId ?? 0);
  if (a.location.kind === 'platform' || b.location.kind === 'platform') {
    return a.viommu === undefined ? 1 : ids === 1 ? 1 : undefined;
  }
  if (a.location.segment !== b.location.segment) return undefined;
  const { start, end } = a.location.rids;
  const rids = b.location.rids.start - start;
  const touching = b.location.rids.start === end + 1;
  // Function 0 of each slot, or the next function, range or bus.
  if (!touching && rids !== 8) return undefined;
  return a.viommu === undefined || ids === rids ? rids : undefined;
}

function single(endpoint: Endpoint): Fold {
  return made([endpoint], 'single');
}

function made(endpoints: readonly Endpoint[], kind: Fold['kind']): Fold {
  const functions = endpoints.reduce((sum, { location }) => sum + count(location), 0);
  return { endpoints, functions, kind: endpoints.length === 1 ? 'single' : kind };
}

function count(location: Endpoint['location']): number {
  return location.kind === 'pci' ? size(location) : 1;
}

function size({ rids }: PciLocation): number {
  return rids.end - rids.start + 1;
}

function byPlace(a: Endpoint, b: Endpoint): number {
  const one = a.location;
  const other = b.location;
  if (one.kind === 'pci' && other.kind === 'pci') {
    return one.segment - other.segment || one.rids.start - other.rids.start;
  }
  if (one.kind === 'platform' && other.kind === 'platform') {
    return one.base < other.base ? -1 : 1;
  }
  return one.kind === 'pci' ? -1 : 1;
}
