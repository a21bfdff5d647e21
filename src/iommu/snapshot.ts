import { ByteSink, ByteView, FormatError } from '../bytes/index.ts';
import type { PlainState } from '../virtio/index.ts';
import { COUNTER_NAMES } from './counters.ts';
import { Domain } from './domain.ts';
import type { Endpoint } from './endpoint.ts';
import type { FaultReport } from './faults.ts';
import { bytesAt, flagAt, itemsAt, numberAt, recordOf, type PlainRecord } from './plain.ts';
import type { Pin } from './pins.ts';
import type { IommuState } from './state.ts';
import { less, LAST_ADDRESS } from './wide.ts';

const VERSION = 1;
/** Start, end and physical start as u64, flags as u32. */
const MAPPING_SIZE = 28;

/** A request that was executed and not answered when the snapshot was taken. */
export interface ParkedState {
  readonly used: number;
  readonly readable: number;
  readonly request: Uint8Array;
  readonly reply: Uint8Array;
  readonly status: number;
}

/**
 * Everything a driver or a device could notice, as plain data; endpoints by ID.
 *
 * @param answerable whether a request that waits can still be answered
 */
export function saveState(
  state: IommuState,
  answerable: boolean,
): { readonly [key: string]: PlainState } {
  return {
    version: VERSION,
    bypass: state.bypass,
    negotiated: state.negotiated,
    requestSeen: state.requestSeen,
    pageSizeMask: state.settings.pageSizeMask,
    endpoints: [...state.endpoints.values()]
      .toSorted((a, b) => a.id - b.id)
      .map(({ id, injected }) => ({ id, injected })),
    domains: [...state.domains.values()].toSorted((a, b) => a.id - b.id).map(saveDomain),
    faults: state.faults.list().map((report) => ({ ...report })),
    nextPin: state.pins.nextId,
    pins: state.pins.snapshot(answerable).map((pin) => ({ ...pin })),
    counters: { ...state.counters },
  };
}

function saveDomain(domain: Domain): PlainState {
  const sink = new ByteSink('le', domain.mappings.size * MAPPING_SIZE);
  for (const { start, end, physical, flags } of domain.mappings.entries()) {
    sink.u64(start).u64(end).u64(physical).u32(flags);
  }
  return {
    id: domain.id,
    bypass: domain.bypass,
    endpoints: [...domain.endpoints].map(({ id }) => id).toSorted((a, b) => a - b),
    mappings: sink.bytes(),
  };
}

/**
 * Takes over what `saveState` gave. The snapshot is checked as a whole before anything changes.
 *
 * @param room bytes that the answer to a request that waits may have; undefined when none can wait
 * @returns the request that waits, if one does
 * @throws FormatError `iommu/snapshot`
 */
export function restoreState(
  state: IommuState,
  saved: PlainState,
  room: number | undefined,
): ParkedState | undefined {
  const from = recordOf(saved, 'snapshot');
  if (numberAt(from, 'version') !== VERSION) throw damaged('version');
  const endpoints = readEndpoints(state, from);
  const domains = itemsAt(from, 'domains').map((item) => readDomain(state, item));
  const taken = domains.flatMap(({ members }) => members);
  if (new Set(taken).size !== taken.length) throw damaged('an endpoint in two domains');
  if (new Set(domains.map(({ domain }) => domain.id)).size !== domains.length) {
    throw damaged('two domains of one ID');
  }
  const faults = itemsAt(from, 'faults').map(readFault);
  const saidCounters = recordOf(from['counters'], 'counters');
  const counters = COUNTER_NAMES.map((name) => [name, numberAt(saidCounters, name)] as const);
  const parked = from['parked'] === undefined ? undefined : readParked(from['parked']);
  const mask = from['pageSizeMask'];
  if (typeof mask !== 'bigint' || mask !== state.settings.pageSizeMask) {
    throw damaged('page_size_mask of another device');
  }
  const bypass = numberAt(from, 'bypass') === 1 ? 1 : 0;
  const negotiated = numberAt(from, 'negotiated') & state.settings.offered;
  const requestSeen = flagAt(from, 'requestSeen');
  const nextPin = numberAt(from, 'nextPin');
  const byId = new Map(domains.map(({ domain }) => [domain.id, domain]));
  const pins = itemsAt(from, 'pins').map((item) => readPin(state, byId, item));
  const ids = new Set(pins.map(({ pin }) => pin.id));
  if (ids.size !== pins.length || pins.some(({ pin }) => pin.id >= nextPin))
    throw damaged('IDs of pins');
  const waits = pins.some(({ waitedFor }) => waitedFor);
  if (waits !== (parked !== undefined)) throw damaged('what the waiting request waits for');
  if (parked && (room === undefined || parked.used > room)) throw damaged('parked');

  const changedBypass = state.bypass !== bypass;
  state.forgetDriver();
  state.bypass = bypass;
  state.negotiated = negotiated;
  state.requestSeen = requestSeen;
  for (const [endpoint, injected] of endpoints) endpoint.injected = injected;
  for (const { domain, members } of domains) {
    state.addDomain(domain);
    state.mappings += domain.mappings.size;
    for (const endpoint of members) domain.add(endpoint);
  }
  state.faults.restore(faults);
  state.pins.adopt(nextPin, pins);
  for (const [name, value] of counters) state.counters[name] = value;
  if (changedBypass && state.stream.wants('bypass')) {
    state.stream.emit({ kind: 'bypass', value: bypass === 1, cause: 'restore' });
  }
  return parked;
}

function readEndpoints(state: IommuState, from: PlainRecord): [Endpoint, number][] {
  const found = itemsAt(from, 'endpoints').map((item): [Endpoint, number] => [
    readEndpoint(state, item, 'id'),
    numberAt(item, 'injected'),
  ]);
  if (found.length !== state.endpoints.size) throw damaged('other endpoints than the device has');
  return found;
}

function readEndpoint(state: IommuState, from: PlainRecord, key: string): Endpoint {
  return endpointOf(state, numberAt(from, key));
}

function endpointOf(state: IommuState, id: number): Endpoint {
  const endpoint = state.endpoints.get(id);
  if (endpoint === undefined) throw damaged(`endpoint ${id} is not there`);
  return endpoint;
}

function readDomain(state: IommuState, from: PlainRecord): { domain: Domain; members: Endpoint[] } {
  const domain = new Domain(numberAt(from, 'id'), flagAt(from, 'bypass'));
  const ids = from['endpoints'];
  if (!Array.isArray(ids) || ids.length === 0) throw damaged('a domain without endpoints');
  const members = ids.map((id: unknown) => {
    if (typeof id !== 'number') throw damaged('endpoints');
    return endpointOf(state, id);
  });
  const view = new ByteView(bytesAt(from, 'mappings'), 'le', 'iommu');
  if (view.length % MAPPING_SIZE !== 0) throw damaged('mappings');
  for (let at = 0; at < view.length; at += MAPPING_SIZE) readMapping(domain, view, at);
  return { domain, members };
}

function readMapping(domain: Domain, view: ByteView, at: number): void {
  const [startLo, startHi] = [view.u32(at), view.u32(at + 4)] as const;
  const [endLo, endHi] = [view.u32(at + 8), view.u32(at + 12)] as const;
  const physical = [view.u32(at + 20), view.u32(at + 16)] as const;
  const size = view.u64(at + 8) - view.u64(at);
  const inserted =
    !less(endHi, endLo, startHi, startLo) &&
    view.u64(at + 16) + size <= LAST_ADDRESS &&
    domain.mappings.insert(startHi, startLo, endHi, endLo, ...physical, view.u32(at + 24));
  if (!inserted) throw damaged('mappings that overlap or are reversed');
}

function readFault(from: PlainRecord): FaultReport {
  return {
    reason: numberAt(from, 'reason'),
    flags: numberAt(from, 'flags'),
    endpoint: numberAt(from, 'endpoint'),
    addressHi: numberAt(from, 'addressHi'),
    addressLo: numberAt(from, 'addressLo'),
  };
}

function readPin(
  state: IommuState,
  domains: ReadonlyMap<number, Domain>,
  from: PlainRecord,
): { pin: Pin; waitedFor: boolean } {
  const endpoint = readEndpoint(state, from, 'endpoint');
  const [startHi, startLo, endHi, endLo] = readHalves(from['range']);
  const ranged = { startHi, startLo, endHi, endLo };
  const domain = readPinDomain(domains, from);
  const pin = { id: numberAt(from, 'id'), endpoint, domain, ...ranged, live: true };
  return { pin, waitedFor: flagAt(from, 'waitedFor') };
}

function readPinDomain(
  domains: ReadonlyMap<number, Domain>,
  from: PlainRecord,
): Domain | undefined {
  const current = flagAt(from, 'current');
  if (from['domain'] === null) return undefined;
  const id = numberAt(from, 'domain');
  // One that has ceased to exist: what it was makes no difference but for the ID.
  if (!current) return new Domain(id, false);
  const domain = domains.get(id);
  if (domain === undefined) throw damaged(`domain ${id} is not there`);
  return domain;
}

type Halves = readonly [startHi: number, startLo: number, endHi: number, endLo: number];

function readHalves(value: PlainState): Halves {
  if (!Array.isArray(value) || value.length !== 4 || !value.every(isHalf)) throw damaged('range');
  return value as unknown as Halves;
}

function isHalf(value: unknown): boolean {
  return typeof value === 'number' && value >>> 0 === value;
}

function readParked(saved: PlainState): ParkedState {
  const from = recordOf(saved, 'parked');
  return {
    used: numberAt(from, 'used'),
    readable: numberAt(from, 'readable'),
    request: bytesAt(from, 'request'),
    reply: bytesAt(from, 'reply'),
    status: numberAt(from, 'status'),
  };
}

function damaged(what: string): FormatError {
  return new FormatError('iommu/snapshot', 0, `vIOMMU snapshot: ${what}`);
}
