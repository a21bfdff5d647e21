import { showBdf } from '../../spec/pci.ts';
import type { Place } from '../diagnostic.ts';
import type { CoverageRow, Endpoint, PciHost, PciLocation, Viommu } from '../model.ts';
import type { Context } from './context.ts';
import { disjoint, paintOver, punch, type Stroke } from './paint.ts';
import { CLAIM_CONFLICT } from './problems.ts';

const SEGMENT = 0x1_0000;

interface Claim {
  readonly host: string;
  readonly viommu?: string;
  readonly place: Place;
  readonly endpoint?: string;
}

/** From the general to the particular: each paints over those before it. */
const FORMS: readonly PciLocation['form'][] = ['buses', 'range', 'function'];

/**
 * Who translates which requester ID: the host's default, then whole buses, then ranges, then
 * single functions. A vIOMMU's own function is behind nothing.
 *
 * O(n log n) in the number of endpoints, whatever the size of their ranges.
 */
export function computeCoverage(
  hosts: readonly PciHost[],
  viommus: readonly Viommu[],
  endpoints: readonly Endpoint[],
  conflict: (first: Stroke<Claim>, second: Stroke<Claim>) => void = () => undefined,
): CoverageRow[] {
  let painted = disjoint(hosts.map(ofHost), () => undefined);
  const layers: Record<PciLocation['form'], Stroke<Claim>[]> = {
    buses: [],
    range: [],
    function: [],
  };
  for (const endpoint of endpoints) {
    const { location } = endpoint;
    if (location.kind === 'pci') layers[location.form].push(ofEndpoint(endpoint, location));
  }
  for (const form of FORMS) painted = paintOver(painted, disjoint(layers[form], conflict));
  const own = viommus.flatMap(({ transport }) =>
    transport.kind === 'pci' ? [transport.segment * SEGMENT + transport.rid] : [],
  );
  return mergeRows(
    punch(
      painted,
      own.toSorted((a, b) => a - b),
    ),
  );
}

function ofHost(host: PciHost): Stroke<Claim> {
  const rids = { start: host.buses.start << 8, end: (host.buses.end << 8) | 0xff };
  const base = host.segment * SEGMENT;
  const { id, viommu, place } = host;
  const value = { host: id, place, ...(viommu === undefined ? {} : { viommu }) };
  const stroke = { start: base + rids.start, end: base + rids.end, value };
  return viommu === undefined ? stroke : { ...stroke, id: host.endpointIdBase + rids.start };
}

function ofEndpoint(endpoint: Endpoint, location: PciLocation): Stroke<Claim> {
  const base = location.segment * SEGMENT;
  const { viommu, endpointId, place } = endpoint;
  const claim = { host: location.host, place, endpoint: endpoint.id };
  const value = viommu === undefined ? claim : { ...claim, viommu };
  const stroke = { start: base + location.rids.start, end: base + location.rids.end, value };
  return endpointId === undefined ? stroke : { ...stroke, id: endpointId };
}

/** Drops what bypasses and joins neighbours of one host and vIOMMU with consecutive IDs. */
function mergeRows(strokes: readonly Stroke<Claim>[]): CoverageRow[] {
  const rows: CoverageRow[] = [];
  for (const { start, end, value, id } of strokes) {
    if (value.viommu === undefined || id === undefined) continue;
    const segment = Math.floor(start / SEGMENT);
    const rids = { start: start % SEGMENT, end: end % SEGMENT };
    const last = rows.at(-1);
    const joins =
      last !== undefined &&
      last.host === value.host &&
      last.viommu === value.viommu &&
      last.segment === segment &&
      last.rids.end + 1 === rids.start &&
      last.endpointId + (rids.start - last.rids.start) === id;
    if (joins) rows[rows.length - 1] = { ...last, rids: { start: last.rids.start, end: rids.end } };
    else {
      const { host, viommu, place } = value;
      rows.push({ host, segment, rids, viommu, endpointId: id, place });
    }
  }
  return rows;
}

/** {@link computeCoverage}, with two claims to one requester ID reported. */
export function resolveCoverage(
  context: Context,
  hosts: readonly PciHost[],
  viommus: readonly Viommu[],
  endpoints: readonly Endpoint[],
): CoverageRow[] {
  return computeCoverage(hosts, viommus, endpoints, (first, second) => {
    // Two single functions at one address are a slot conflict, which is reported as such.
    if (first.start === first.end && second.start === second.end) return;
    const bdf = showBdf(second.start % SEGMENT, Math.floor(second.start / SEGMENT));
    const message = `"${second.value.endpoint}" claims ${bdf}, which "${first.value.endpoint}" claims as well`;
    const related = [{ place: first.value.place, message: 'claimed here first' }];
    context.report(CLAIM_CONFLICT, second.value.place, message, { related });
  });
}

/** The endpoint ID of a requester, with who translates it; undefined: it bypasses. O(log n). */
export function lookUpCoverage(
  coverage: readonly CoverageRow[],
  segment: number,
  rid: number,
): { readonly viommu: string; readonly endpointId: number } | undefined {
  let low = 0;
  let high = coverage.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const row = coverage[middle];
    if (row === undefined) return undefined;
    if (segment < row.segment || (segment === row.segment && rid < row.rids.start))
      high = middle - 1;
    else if (segment > row.segment || rid > row.rids.end) low = middle + 1;
    else return { viommu: row.viommu, endpointId: row.endpointId + (rid - row.rids.start) };
  }
  return undefined;
}
