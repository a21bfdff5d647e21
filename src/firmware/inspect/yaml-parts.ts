import { FormatError, hex, showRange, type Range } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import type { Covered } from './coverage.ts';
import { plain, type YamlValue } from './plain-yaml.ts';

/** Hosts of one file that become a topology: a machine has a few. */
export const HOSTS_MAX = 256;

export type YamlMap = { readonly [key: string]: YamlValue | undefined };

/** A host as both sources of a topology know it. */
export interface CoveredHost {
  readonly id: string;
  readonly segment: number;
  readonly buses: Range<number>;
  readonly covered: readonly Covered[];
  /** Requester IDs of vIOMMUs that are functions of this host, and so behind none. */
  readonly own: ReadonlySet<number>;
}

/** Refuses a description that no machine can have, before it costs time. */
export function limitHosts(count: number): void {
  if (count <= HOSTS_MAX) return;
  throw new FormatError(
    'inspect/too-large',
    0,
    `${count} PCI hosts, at most ${HOSTS_MAX} are read`,
  );
}

/** `0x10-0x1f`. */
export function rangeValue(range: Range<bigint | number> | undefined): YamlValue | undefined {
  return range === undefined ? undefined : plain(showRange(range));
}

export function hexValue(value: bigint | number | undefined): YamlValue | undefined {
  return value === undefined ? undefined : plain(hex(value));
}

/** What a host says of its requester IDs, and the endpoints that say the rest. */
export interface Translation {
  readonly viommu: string;
  readonly endpointIdBase: number | undefined;
  readonly endpoints: readonly YamlMap[];
}

/**
 * The shortest words for what is covered: all behind one vIOMMU with one base; or runs of
 * functions, around those of `single`, which are endpoints of their own already.
 */
export function translationOf(
  host: CoveredHost,
  nameOf: (iommu: string | number) => string | undefined,
  single: ReadonlySet<number> = new Set(),
): Translation {
  const covered = host.covered.filter(({ iommu }) => nameOf(iommu) !== undefined);
  const whole = wholeHost(host, covered);
  if (whole !== undefined) {
    const viommu = nameOf(whole.iommu) ?? 'none';
    const base = whole.endpointId - whole.rids.start;
    const stated = base === host.segment * 0x1_0000 ? undefined : base;
    return { viommu, endpointIdBase: stated, endpoints: [] };
  }
  const endpoints: YamlMap[] = [];
  for (const run of covered.flatMap((it) => [...around(it, single)])) {
    const { start, end } = run.rids;
    const first = showBdf(start, host.segment);
    endpoints.push({
      id: plain(`${host.id}-${endpoints.length}`),
      at: plain(start === end ? first : `${first}-${showBdf(end, host.segment)}`),
      viommu: plain(nameOf(run.iommu) ?? 'none'),
      'endpoint-id': hexValue(run.endpointId),
    });
  }
  return { viommu: 'none', endpointIdBase: undefined, endpoints };
}

/** The first run, when all runs are one but for the vIOMMU's own function. */
function wholeHost(host: CoveredHost, covered: readonly Covered[]): Covered | undefined {
  const [first] = covered;
  if (first === undefined) return undefined;
  const base = first.endpointId - first.rids.start;
  if (base < 0) return undefined;
  let count = 0;
  for (const { rids, iommu, endpointId } of covered) {
    if (iommu !== first.iommu || endpointId - rids.start !== base) return undefined;
    count += rids.end - rids.start + 1;
  }
  const all = (host.buses.end - host.buses.start + 1) * 0x100;
  const holes = [...host.own].filter((rid) => {
    return !covered.some(({ rids }) => rids.start <= rid && rid <= rids.end);
  });
  return count + holes.length === all ? first : undefined;
}

/** A run without the functions of `single`. */
function* around(run: Covered, single: ReadonlySet<number>): Generator<Covered, void, undefined> {
  let start = run.rids.start;
  const cuts = [...single].filter((rid) => start <= rid && rid <= run.rids.end);
  for (const cut of [...cuts.toSorted((a, b) => a - b), run.rids.end + 1]) {
    if (cut > start) {
      const endpointId = run.endpointId + (start - run.rids.start);
      yield { iommu: run.iommu, rids: { start, end: cut - 1 }, endpointId };
    }
    start = cut + 1;
  }
}

/** The endpoint ID of one requester ID, and its vIOMMU; undefined when it bypasses. */
export function lookUp(
  covered: readonly Covered[],
  rid: number,
): { readonly iommu: string | number; readonly endpointId: number } | undefined {
  const run = covered.find(({ rids }) => rids.start <= rid && rid <= rids.end);
  return run && { iommu: run.iommu, endpointId: run.endpointId + (rid - run.rids.start) };
}
