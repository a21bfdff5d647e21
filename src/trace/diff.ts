import { isDeepStrictEqual } from 'node:util';
import type { TraceEntry } from './read.ts';
import type { TraceRecord } from './record.ts';

/** What is compared of two traces. */
export interface TraceDiffOptions {
  /** Fields that may differ. Default {@link IGNORED}. */
  readonly ignore?: readonly string[];
  /** Kinds of events that are compared; default all. */
  readonly kinds?: readonly string[];
  /** Whether lines of the guest's console are compared as well; default false. */
  readonly console?: boolean;
  /** Records told before and after the place where the two part; default 3. */
  readonly context?: number;
}

/** Fields that two runs of one thing have otherwise: clocks, positions, words for people. */
export const IGNORED: readonly string[] = ['order', 'time', 'text'];

/** Where two traces part. */
export type TraceDifference =
  | { readonly same: true; readonly compared: number }
  | {
      readonly same: false;
      /** Records that were alike. */
      readonly compared: number;
      /** What comes first in each; absent: the trace is at its end. */
      readonly a?: TraceEntry;
      readonly b?: TraceEntry;
      /** Names of the fields that differ, when both are of one kind. */
      readonly fields: readonly string[];
      /** The last ones that were alike, those of `a`. */
      readonly before: readonly TraceEntry[];
      readonly afterA: readonly TraceEntry[];
      readonly afterB: readonly TraceEntry[];
    };

/**
 * The first place where two traces differ. Both are read side by side, and only the context is kept.
 *
 * @throws FormatError of whichever is damaged, when the damage comes before the difference
 */
export async function diffTraces(
  a: AsyncIterable<TraceEntry>,
  b: AsyncIterable<TraceEntry>,
  options: TraceDiffOptions = {},
): Promise<TraceDifference> {
  const { context = 3 } = options;
  const left = chosen(a, options);
  const right = chosen(b, options);
  const before: TraceEntry[] = [];
  for (let compared = 0; ; compared++) {
    const [nextA, nextB] = [await left.next(), await right.next()];
    const entryA = nextA.done === true ? undefined : nextA.value;
    const entryB = nextB.done === true ? undefined : nextB.value;
    if (entryA === undefined && entryB === undefined) return { same: true, compared };
    const fields = differing(entryA?.record, entryB?.record, options.ignore ?? IGNORED);
    if (fields === undefined) {
      if (entryA !== undefined) before.push(entryA);
      if (before.length > context) before.shift();
      continue;
    }
    const [afterA, afterB] = [await take(left, context), await take(right, context)];
    return {
      same: false,
      compared,
      ...(entryA === undefined ? {} : { a: entryA }),
      ...(entryB === undefined ? {} : { b: entryB }),
      fields,
      before,
      afterA,
      afterB,
    };
  }
}

/** Events, and lines when they are asked for; headers and ends say what a run was, not what it did. */
async function* chosen(
  entries: AsyncIterable<TraceEntry>,
  { kinds, console = false }: TraceDiffOptions,
): AsyncGenerator<TraceEntry, void, undefined> {
  for await (const entry of entries) {
    const { record } = entry;
    if (record.type === 'console' ? console : isWanted(record, kinds)) yield entry;
  }
}

function isWanted(record: TraceRecord, kinds: readonly string[] | undefined): boolean {
  return record.type === 'event' && (kinds === undefined || kinds.includes(record.kind));
}

async function take(
  entries: AsyncGenerator<TraceEntry, void, undefined>,
  count: number,
): Promise<TraceEntry[]> {
  const taken: TraceEntry[] = [];
  while (taken.length < count) {
    const next = await entries.next();
    if (next.done === true) break;
    taken.push(next.value);
  }
  return taken;
}

/** Undefined: they are alike. Empty: they have nothing to compare field by field. */
function differing(
  a: TraceRecord | undefined,
  b: TraceRecord | undefined,
  ignore: readonly string[],
): string[] | undefined {
  if (a === undefined || b === undefined) return [];
  const left = new Map(Object.entries(a));
  const right = new Map(Object.entries(b));
  const names = new Set([...left.keys(), ...right.keys()]);
  const fields = [...names].filter(
    (name) => !ignore.includes(name) && !isDeepStrictEqual(left.get(name), right.get(name)),
  );
  return fields.length === 0 ? undefined : fields;
}
