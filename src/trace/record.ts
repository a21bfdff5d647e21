import { hex, showRange, type Range } from '../bytes/index.ts';
import type { DeviceEvent } from '../scenario/index.ts';

/** Version of the trace format; grows when a reader of an older one would be misled. */
export const TRACE_VERSION = 1;
export const TRACE_FORMAT = 'viommu-topo-trace';

/** What a run was: the first record of each. */
export interface RunHeader {
  /** Version of viommu-topo. */
  readonly tool: string;
  readonly topology: string;
  readonly file: string;
  readonly backend: string;
  readonly firmware: string;
  readonly seed: string;
}

/** How it ended: the last one. */
export interface RunEnd {
  readonly outcome: string;
  readonly ending: string;
}

/** Plain JSON: what a record is made of. */
export type Json =
  string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** One line of a trace. Addresses are hexadecimal strings, ranges `0x1000-0x1fff`. */
export type TraceRecord =
  | ({
      readonly type: 'header';
      readonly format: typeof TRACE_FORMAT;
      readonly version: number;
      readonly run: number;
    } & RunHeader)
  | ({ readonly type: 'event'; readonly run: number; readonly kind: string } & {
      readonly [key: string]: Json;
    })
  | {
      readonly type: 'console';
      readonly run: number;
      readonly time?: number;
      readonly text: string;
    }
  | ({ readonly type: 'end'; readonly run: number; readonly events: number } & RunEnd);

/** An event as a record of a trace. */
export function eventRecord(run: number, event: DeviceEvent): TraceRecord {
  const { kind, ...rest } = event;
  const fields = Object.entries(rest).map(([key, value]): [string, Json] => [key, plain(value)]);
  return { type: 'event', run, kind, ...Object.fromEntries(fields) };
}

/** Addresses and ranges become text; what a field is of is seen from its name. */
function plain(value: unknown): Json {
  if (typeof value === 'bigint') return hex(value);
  if (Array.isArray(value)) return value.map(plain);
  if (isRange(value)) return showRange(value);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? value
    : null;
}

function isRange(value: unknown): value is Range {
  if (typeof value !== 'object' || value === null) return false;
  const { start, end } = value as Partial<Range>;
  return typeof start === 'bigint' && typeof end === 'bigint';
}

/** A range as a record writes it; undefined for anything else. */
export function rangeOf(value: Json | undefined): Range | undefined {
  const match =
    typeof value === 'string' ? /^(0x[0-9a-f]{1,16})-(0x[0-9a-f]{1,16})$/u.exec(value) : null;
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  return { start: BigInt(match[1]), end: BigInt(match[2]) };
}

/** One line for people: `0.123456 viommu0 map domain 1 0x1000-0x1fff phys 0x40000000 flags 3`. */
export function showRecord(record: TraceRecord): string {
  switch (record.type) {
    case 'header':
      return `run ${record.run}: ${record.topology} on ${record.backend} (${record.firmware}), seed ${record.seed}`;
    case 'console':
      return `console: ${record.text}`;
    case 'end':
      return `run ${record.run} ends: ${record.outcome}, ${record.ending}, ${record.events} events`;
    default:
      return showEventRecord(record);
  }
}

/** Said in front of the others, or not at all. */
const HIDDEN: ReadonlySet<string> = new Set([
  'type',
  'run',
  'order',
  'time',
  'kind',
  'viommu',
  'text',
]);

function showEventRecord(record: Extract<TraceRecord, { type: 'event' }>): string {
  const { time, viommu, kind, endpoint } = record;
  const fields = Object.entries(record).flatMap(([key, value]) => {
    if (HIDDEN.has(key) || (key === 'status' && value === 0)) return [];
    const shown =
      key === 'endpoint' && typeof endpoint === 'number' ? hex(endpoint) : showJson(value);
    return [`${key} ${shown}`];
  });
  const at = typeof time === 'number' ? time.toFixed(6) : `#${showJson(record['order'] ?? '')}`;
  return [at, showJson(viommu ?? ''), kind, ...fields].filter((part) => part !== '').join(' ');
}

function showJson(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
