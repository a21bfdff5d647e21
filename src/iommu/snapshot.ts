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

/** Everything a driver or a device could notice, as plain data; endpoints by ID. */
export function saveState(state: IommuState): { readonly [key: string]: PlainState } {
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
    pins: state.pins.snapshot().map((pin) => ({ ...pin })),
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
 * @returns the request that waits, if one does
 * @throws FormatError `iommu/snapshot`
 */
export function restoreState(state: IommuState, saved: PlainState): ParkedState | undefined {
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
  const pins = itemsAt(from, 'pins').map((item) => readPin(state, item));

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
  state.pins.adopt(
    nextPin,
    pins.map((make) => make()),
  );
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
  const [sLo, sHi, eLo, eHi] = [at, at + 4, at + 8, at + 12].map((word) => view.u32(word));
  const [startHi, startLo, endHi, endLo] = [sHi ?? 0, sLo ?? 0, eHi ?? 0, eLo ?? 0];
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

/** Made later: a pin refers to an attachment, which is to be restored first. */
function readPin(state: IommuState, from: PlainRecord): () => { pin: Pin; waitedFor: boolean } {
  const endpoint = readEndpoint(state, from, 'endpoint');
  const id = numberAt(from, 'id');
  const range = from['range'];
  if (!Array.isArray(range) || range.length !== 4) throw damaged('range');
  const [startHi = 0, startLo = 0, endHi = 0, endLo = 0] = range.map(Number);
  // Of an attachment that is over: what that was makes no difference but for the ID.
  const old = from['domain'] === null ? undefined : new Domain(numberAt(from, 'domain'), false);
  const current = flagAt(from, 'current');
  const waitedFor = flagAt(from, 'waitedFor');
  const fields = { id, endpoint, startHi, startLo, endHi, endLo, live: true };
  return () => ({ pin: { ...fields, domain: current ? endpoint.domain : old }, waitedFor });
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
