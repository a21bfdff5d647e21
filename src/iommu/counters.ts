/** What was done since the device was made; all counts, never reset by a guest. */
export interface Counters {
  /** Notifications of the request queue. */
  kicks: number;
  /** Buffers taken from the request queue. */
  requests: number;
  attach: number;
  detach: number;
  map: number;
  unmap: number;
  probe: number;
  /** Requests of a type the device does not know, or too short for theirs: returned unwritten. */
  unanswered: number;
  /** Requests answered with a status other than OK. */
  refused: number;
  /** Requests that had to wait for an access in flight. */
  waited: number;
  /** Mappings made and removed. */
  mapped: number;
  unmapped: number;
  /** Translations asked for; what an endpoint keeps in its own cache is not seen. */
  translations: number;
  /** Translations refused, by reason. */
  faultsUnknown: number;
  faultsDomain: number;
  faultsMapping: number;
  /** Accesses under an ID that no endpoint has. */
  strangers: number;
  /** Translated accesses that nothing answered. */
  unanswerable: number;
  /** Fault reports written to the event queue. */
  reports: number;
  /** Fault reports dropped for want of a buffer or of room. */
  reportsDropped: number;
  /** Device and system resets. */
  resets: number;
  /** Mappings repeated on a host, and calls the host refused. */
  relayed: number;
  relayFailures: number;
}

export type CounterName = keyof Counters;

const ZERO: Readonly<Counters> = {
  kicks: 0,
  requests: 0,
  attach: 0,
  detach: 0,
  map: 0,
  unmap: 0,
  probe: 0,
  unanswered: 0,
  refused: 0,
  waited: 0,
  mapped: 0,
  unmapped: 0,
  translations: 0,
  faultsUnknown: 0,
  faultsDomain: 0,
  faultsMapping: 0,
  strangers: 0,
  unanswerable: 0,
  reports: 0,
  reportsDropped: 0,
  resets: 0,
  relayed: 0,
  relayFailures: 0,
};

export const COUNTER_NAMES: readonly CounterName[] = Object.keys(ZERO) as CounterName[];

export function newCounters(): Counters {
  return { ...ZERO };
}
