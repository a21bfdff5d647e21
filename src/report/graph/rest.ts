import { showBdf } from '../../spec/pci.ts';
import type { Model, PciHost } from '../../topology/index.ts';

/** Requester IDs of a host that no entry of the topology has, by what translates them. */
export interface Rest {
  /** Absent: they bypass. */
  readonly viommu?: string;
  readonly count: number;
  /** First and last of them, with others in between. */
  readonly span: string;
  /** Endpoint ID minus requester ID, where that is the same for all. */
  readonly offset?: number;
}

interface Tally {
  count: number;
  first: number;
  last: number;
  offset: number | undefined;
}

/** A vIOMMU's own function, and bridges, are no endpoints either: they are left out. */
export function restOf(model: Model, host: PciHost): Rest[] {
  const taken = takenBy(model, host);
  const rows = model.coverage.filter((row) => row.host === host.id);
  const tallies = new Map<string | undefined, Tally>();
  const first = host.buses.start << 8;
  const last = (host.buses.end << 8) | 0xff;
  let row = 0;
  for (let rid = first; rid <= last; rid++) {
    if (taken[rid] === 1) continue;
    while ((rows[row]?.rids.end ?? Infinity) < rid) row += 1;
    const covering = rows[row];
    const covered = covering !== undefined && covering.rids.start <= rid ? covering : undefined;
    const offset = covered && covered.endpointId - covered.rids.start;
    add(tallies, covered?.viommu, rid, offset);
  }
  return Array.from(tallies, ([viommu, tally]) => ({
    ...(viommu === undefined ? {} : { viommu }),
    count: tally.count,
    span: `${showBdf(tally.first, host.segment)} … ${showBdf(tally.last)}`,
    ...(tally.offset === undefined ? {} : { offset: tally.offset }),
  }));
}

function add(
  tallies: Map<string | undefined, Tally>,
  viommu: string | undefined,
  rid: number,
  offset: number | undefined,
): void {
  const tally = tallies.get(viommu);
  if (tally === undefined) {
    tallies.set(viommu, { count: 1, first: rid, last: rid, offset });
    return;
  }
  tally.count += 1;
  tally.last = rid;
  if (tally.offset !== offset) tally.offset = undefined;
}

function takenBy(model: Model, host: PciHost): Uint8Array {
  const taken = new Uint8Array(0x1_0000);
  for (const { location } of model.endpoints) {
    if (location.kind !== 'pci' || location.host !== host.id) continue;
    taken.fill(1, location.rids.start, location.rids.end + 1);
  }
  for (const { transport } of model.viommus) {
    if (transport.kind === 'pci' && transport.host === host.id) taken[transport.rid] = 1;
  }
  for (const { rid } of host.bridges) taken[rid] = 1;
  return taken;
}
