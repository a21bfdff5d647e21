import type { AuditRecord } from './access-audit.ts';
import type { DeviceEvent, FaultEvent } from './events.ts';
import type { HostRecord } from './host-audit.ts';
import type { MachineRecord } from './machine-record.ts';
import type { TraceRecord } from './request-trace.ts';

/** Events of one kind at one endpoint: how many, the first and the last. */
export interface Tally {
  readonly count: number;
  readonly first?: DeviceEvent;
  readonly last?: DeviceEvent;
}

/** What one endpoint ID (of one vIOMMU, where the backend can tell) was seen to do. */
export interface EndpointRecord {
  readonly endpoint: number;
  readonly viommu?: string;
  readonly probe: Tally;
  readonly attach: Tally;
  readonly detach: Tally;
  /** MAP and UNMAP of the domain it was attached to at that moment. */
  readonly map: Tally;
  readonly unmap: Tally;
  readonly translated: Tally;
  readonly bypassed: Tally;
  readonly fault: Tally;
  readonly msi: Tally;
}

/** The whole run of the devices, folded: bounded however long the run was. */
export interface DeviceRecord {
  readonly endpoints: readonly EndpointRecord[];
  /** Faults in order, the first {@link KEPT} of them. */
  readonly faults: readonly (DeviceEvent & FaultEvent)[];
  /** Requests that got a status other than OK, the first {@link KEPT} of them. */
  readonly failures: readonly DeviceEvent[];
  readonly faultCount: number;
  readonly failureCount: number;
  readonly eventCount: number;
  /** Only of a backend whose events are complete. */
  readonly audit?: AuditRecord;
  /** Only of a backend whose events are complete. */
  readonly hosts?: readonly HostRecord[];
  readonly traces?: readonly TraceRecord[];
  /** Only of a machine that can be looked into. */
  readonly machine?: MachineRecord;
}

/** Faults and failures kept word by word; a broken guest makes millions. */
export const KEPT = 200;

/** Endpoint IDs followed; a hostile guest may ask for 2^32 of them. */
const ENDPOINTS_MAX = 262_144;

type Column =
  'probe' | 'attach' | 'detach' | 'map' | 'unmap' | 'translated' | 'bypassed' | 'fault' | 'msi';

interface MutableTally {
  count: number;
  first?: DeviceEvent;
  last?: DeviceEvent;
}

interface Row {
  readonly endpoint: number;
  readonly viommu?: string;
  readonly columns: Record<Column, MutableTally>;
  domain?: number;
}

/** Folds a stream of events into a {@link DeviceRecord}. */
export class DeviceRecorder {
  readonly #rows = new Map<string, Row>();
  readonly #faults: (DeviceEvent & FaultEvent)[] = [];
  readonly #failures: DeviceEvent[] = [];
  /** `viommu/domain` → rows attached to it. */
  readonly #domains = new Map<string, Set<Row>>();
  #faultCount = 0;
  #failureCount = 0;
  #eventCount = 0;

  add(event: DeviceEvent): void {
    this.#eventCount += 1;
    if (event.status !== undefined && event.status !== 0) {
      this.#failureCount += 1;
      if (this.#failures.length < KEPT) this.#failures.push(event);
      return;
    }
    switch (event.kind) {
      case 'map':
      case 'unmap':
        for (const row of this.#domains.get(domainKey(event, event.domain)) ?? []) {
          count(row, event.kind, event);
        }
        return;
      case 'access':
        this.#count(event, event.endpoint, event.how);
        return;
      case 'fault':
        this.#faultCount += 1;
        if (this.#faults.length < KEPT) this.#faults.push(event);
        this.#count(event, event.endpoint, 'fault');
        return;
      case 'attach':
        this.#move(event, event.endpoint, event.domain);
        this.#count(event, event.endpoint, 'attach');
        return;
      case 'detach':
        this.#count(event, event.endpoint, 'detach');
        this.#move(event, event.endpoint, undefined);
        return;
      case 'probe':
      case 'msi':
        this.#count(event, event.endpoint, event.kind);
    }
  }

  finish(): DeviceRecord {
    const endpoints = Array.from(this.#rows.values(), (row) => ({
      endpoint: row.endpoint,
      ...(row.viommu === undefined ? {} : { viommu: row.viommu }),
      ...row.columns,
    }));
    return {
      endpoints: endpoints.toSorted((a, b) => a.endpoint - b.endpoint),
      faults: this.#faults,
      failures: this.#failures,
      faultCount: this.#faultCount,
      failureCount: this.#failureCount,
      eventCount: this.#eventCount,
    };
  }

  /** ATTACH to another domain leaves the first (VIRTIO 1.3, ATTACH request). */
  #move(event: DeviceEvent, endpoint: number, domain: number | undefined): void {
    const row = this.#row(event, endpoint);
    if (row === undefined) return;
    if (row.domain !== undefined) this.#leave(domainKey(event, row.domain), row);
    delete row.domain;
    if (domain === undefined) return;
    row.domain = domain;
    const key = domainKey(event, domain);
    const members = this.#domains.get(key) ?? new Set<Row>();
    this.#domains.set(key, members.add(row));
  }

  /** An empty domain is forgotten: a guest may go through all 2^32 of them. */
  #leave(key: string, row: Row): void {
    const members = this.#domains.get(key);
    members?.delete(row);
    if (members?.size === 0) this.#domains.delete(key);
  }

  #count(event: DeviceEvent, endpoint: number, column: Column): void {
    const row = this.#row(event, endpoint);
    if (row !== undefined) count(row, column, event);
  }

  #row(event: DeviceEvent, endpoint: number): Row | undefined {
    const key = `${event.viommu ?? ''}/${endpoint}`;
    const found = this.#rows.get(key);
    if (found !== undefined || this.#rows.size >= ENDPOINTS_MAX) return found;
    const columns = {
      probe: { count: 0 },
      attach: { count: 0 },
      detach: { count: 0 },
      map: { count: 0 },
      unmap: { count: 0 },
      translated: { count: 0 },
      bypassed: { count: 0 },
      fault: { count: 0 },
      msi: { count: 0 },
    };
    const row = {
      endpoint,
      columns,
      ...(event.viommu === undefined ? {} : { viommu: event.viommu }),
    };
    this.#rows.set(key, row);
    return row;
  }
}

function domainKey(event: DeviceEvent, domain: number): string {
  return `${event.viommu ?? ''}/${domain}`;
}

function count(row: Row, column: Column, event: DeviceEvent): void {
  const tally = row.columns[column];
  tally.count += 1;
  tally.first ??= event;
  tally.last = event;
}

/** The record of an endpoint of a vIOMMU; where events name no vIOMMU, of that endpoint ID. */
export function recordOf(
  record: DeviceRecord,
  viommu: string,
  endpoint: number,
): EndpointRecord | undefined {
  return record.endpoints.find(
    (row) => row.endpoint === endpoint && (row.viommu === undefined || row.viommu === viommu),
  );
}
