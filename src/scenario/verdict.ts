import type { Model } from '../topology/index.ts';
import { findCauses } from './causes/index.ts';
import type { Cause } from './cause.ts';
import type { Ending, Environment, Observation } from './observation.ts';
import { judgePromise, type Item, type Promised, type PromiseResult } from './promise.ts';
import { PROMISES, reboots } from './promises/index.ts';

/** What came of a boot. */
export interface Verdict {
  readonly topology: { readonly name: string; readonly file: string };
  readonly outcome: 'pass' | 'fail';
  readonly promises: readonly PromiseResult[];
  /** Why, when it failed; the first is the likeliest. */
  readonly causes: readonly Cause[];
  /** With the last lines of the console when the guest did not come to its end. */
  readonly ending: Pick<Ending, 'kind' | 'detail'> & Partial<Pick<Ending, 'tail'>>;
  readonly environment: Environment;
  /** The one line a verdict ends with. */
  readonly summary: string;
}

/** Holds what was seen against what the topology promises. */
export function judge(model: Model, observation: Observation): Verdict {
  const { before } = observation;
  const promises = judgeAll(model, observation);
  const failures = promises.filter(({ outcome }) => outcome === 'fail');
  const inFirst = before === undefined ? [] : brokenBefore(model, before);
  // What broke in the first boot is nearer to the root.
  const causes =
    before !== undefined && inFirst.length > 0
      ? findCauses(model, before, inFirst)
      : findCauses(model, observation, failures);
  const { kind, detail, tail } = observation.ending;
  return {
    topology: { name: model.name, file: model.file },
    outcome: failures.length === 0 ? 'pass' : 'fail',
    promises,
    causes,
    ending: { kind, detail, ...(kind === 'completed' || tail.length === 0 ? {} : { tail }) },
    environment: observation.environment,
    summary: summarise(model, promises, failures, causes, observation.environment),
  };
}

/** Every promise that the topology makes, of one boot or of both: items of the first say so. */
function judgeAll(model: Model, observation: Observation): PromiseResult[] {
  const { before } = observation;
  const first = (promise: Promised): Item[] =>
    before === undefined || promise === reboots
      ? []
      : promise
          .judge(model, before)
          .map((item) => ({ ...item, subject: `first boot: ${item.subject}` }));
  return PROMISES.flatMap((promise) => {
    const both: Promised['judge'] = (of, seen) => [...first(promise), ...promise.judge(of, seen)];
    return judgePromise({ ...promise, judge: both }, model, observation) ?? [];
  });
}

/** Promises that the boot before a reboot broke. */
function brokenBefore(model: Model, before: Observation): PromiseResult[] {
  return PROMISES.filter((promise) => promise !== reboots)
    .flatMap((promise) => judgePromise(promise, model, before) ?? [])
    .filter(({ outcome }) => outcome === 'fail');
}

function summarise(
  model: Model,
  promises: readonly PromiseResult[],
  failures: readonly PromiseResult[],
  causes: readonly Cause[],
  { backend, firmwareKind, timings }: Environment,
): string {
  const seconds = timings['total'];
  const where = [
    backend,
    ...(firmwareKind === undefined ? [] : [firmwareKind === 'acpi' ? 'ACPI' : 'device tree']),
    ...(seconds === undefined ? [] : [`${seconds.toFixed(1)} s`]),
  ].join(', ');
  if (failures.length > 0) {
    const [cause] = causes;
    const count = `${failures.length} of ${promises.length} promises broken`;
    return `FAIL ${model.name} (${where}): ${count}; cause: ${cause?.message ?? 'not found'}`;
  }
  const unseen = promises.filter(({ outcome }) => outcome === 'not-observable').length;
  const kept = promises.length - unseen;
  const rest = unseen === 0 ? '' : `, ${unseen} not observable here`;
  return `PASS ${model.name} (${where}): ${kept} promises kept${rest}`;
}

/** 0 for a verdict that passed, 1 for one that failed. */
export function exitCode(verdict: Verdict): 0 | 1 {
  return verdict.outcome === 'pass' ? 0 : 1;
}
