import type { Model } from '../topology/index.ts';
import type { DeviceEvent } from './events.ts';
import type { LogLine, Observation } from './observation.ts';

/** `not-observable`: this backend cannot see such a thing; neither good nor bad. */
export type Outcome = 'pass' | 'fail' | 'not-observable';

/** Where a piece of evidence was seen. */
export interface Evidence {
  readonly source: 'kernel-log' | 'guest' | 'device' | 'firmware' | 'console';
  readonly text: string;
  /** Seconds since boot. */
  readonly time?: number;
}

/** A promise about one thing: an endpoint, a group, a vIOMMU, the whole run. */
export interface Item {
  /** As the topology names it: `disk0 (00:02.0)`. */
  readonly subject: string;
  /** Topology id of the endpoint it is about, if it is about one. */
  readonly endpoint?: string;
  readonly outcome: Outcome;
  readonly expected: string;
  readonly seen: string;
  readonly evidence: readonly Evidence[];
}

/** Something that must be true of a boot. Each has a file in `promises/`. */
export interface Promised {
  readonly id: string;
  /** A sentence in the present tense. */
  readonly title: string;
  /** What it means, for docs/reference/promises.md. */
  readonly explanation: string;
  /** Nothing: the topology promises nothing of this kind. */
  readonly judge: (model: Model, observation: Observation) => readonly Item[];
}

/** What came of one promise, item by item. */
export interface PromiseResult {
  readonly id: string;
  readonly title: string;
  /** `fail` if any item failed; `not-observable` if no item could be seen. */
  readonly outcome: Outcome;
  readonly items: readonly Item[];
}

export function judgePromise(
  promise: Promised,
  model: Model,
  observation: Observation,
): PromiseResult | undefined {
  const items = promise.judge(model, observation);
  if (items.length === 0) return undefined;
  const outcome = items.some((item) => item.outcome === 'fail')
    ? 'fail'
    : items.some((item) => item.outcome === 'pass')
      ? 'pass'
      : 'not-observable';
  return { id: promise.id, title: promise.title, outcome, items };
}

type ItemParts = Omit<Item, 'outcome' | 'evidence'> & { readonly evidence?: readonly Evidence[] };

export function passed(parts: ItemParts): Item {
  return { evidence: [], ...parts, outcome: 'pass' };
}

export function failed(parts: ItemParts): Item {
  return { evidence: [], ...parts, outcome: 'fail' };
}

export function unseen(parts: ItemParts): Item {
  return { evidence: [], ...parts, outcome: 'not-observable' };
}

/** `passed` or `failed`, as `ok` says. */
export function judged(ok: boolean, parts: ItemParts): Item {
  return ok ? passed(parts) : failed(parts);
}

export function fromLog(line: LogLine): Evidence {
  return {
    source: 'kernel-log',
    text: line.text,
    ...(line.time === undefined ? {} : { time: line.time }),
  };
}

export function fromEvent(event: DeviceEvent | undefined): Evidence[] {
  if (event === undefined) return [];
  const { text = `${event.kind} (event ${event.order})`, time } = event;
  return [{ source: 'device', text, ...(time === undefined ? {} : { time }) }];
}

/** The first `most`, and a line that says how many more there were. */
export function few<T>(all: readonly T[], show: (one: T) => Evidence, most = 5): Evidence[] {
  const evidence = all.slice(0, most).map(show);
  const [last] = evidence.slice(-1);
  if (all.length > most && last !== undefined) {
    evidence.push({ source: last.source, text: `… and ${all.length - most} more` });
  }
  return evidence;
}
