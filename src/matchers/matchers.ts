import { renderVerdict } from '../report/index.ts';
import type { Item, PromiseResult, Verdict } from '../scenario/index.ts';

/** What `expect.extend` takes of Vitest and Jest alike. */
interface Matched {
  readonly pass: boolean;
  readonly message: () => string;
}

/**
 * `expect(verdict).toKeepItsPromises()`: every promise is kept or not observable. The message of a
 * failure is the verdict as `viommu-topo boot` prints it.
 */
export function toKeepItsPromises(received: unknown): Matched {
  const verdict = asVerdict(received);
  if (typeof verdict === 'string') return { pass: false, message: () => verdict };
  return {
    pass: verdict.outcome === 'pass',
    message: () => renderVerdict(verdict, { color: false }),
  };
}

/**
 * `expect(verdict).toKeepPromise('translated')`: that promise was observed and kept. One that could
 * not be observed fails: use it for what your test is about.
 *
 * @param id of docs/reference/promises.md
 */
export function toKeepPromise(received: unknown, id: string): Matched {
  const verdict = asVerdict(received);
  if (typeof verdict === 'string') return { pass: false, message: () => verdict };
  const promise = verdict.promises.find((one) => one.id === id);
  if (promise === undefined) {
    const known = verdict.promises.map((one) => one.id).join(', ');
    return { pass: false, message: () => `there is no promise ${id}; there are: ${known}` };
  }
  return { pass: promise.outcome === 'pass', message: () => describePromise(promise, verdict) };
}

/**
 * `expect(verdict).toFailBecauseOf('requester-not-covered')`: the verdict failed, and this cause is
 * the likeliest. For tests of wrong firmware.
 */
export function toFailBecauseOf(received: unknown, cause: string): Matched {
  const verdict = asVerdict(received);
  if (typeof verdict === 'string') return { pass: false, message: () => verdict };
  const [first] = verdict.causes;
  const seen =
    verdict.outcome === 'pass' ? 'it passed' : `the likeliest cause is ${first?.id ?? 'unknown'}`;
  return {
    pass: verdict.outcome === 'fail' && first?.id === cause,
    message: () => `expected to fail because of ${cause}: ${seen}\n${verdict.summary}`,
  };
}

function asVerdict(received: unknown): Verdict | string {
  const like = received as Partial<Verdict> | null | undefined;
  if (typeof like === 'object' && like !== null && Array.isArray(like.promises) && like.outcome) {
    return like as Verdict;
  }
  return 'this is no verdict: give what bootAndJudge or judgeConsole returns';
}

function describePromise(
  { id, title, outcome, items }: PromiseResult,
  { summary }: Verdict,
): string {
  const lines = items.filter((item) => item.outcome !== 'pass').map(describeItem);
  return [`${id} (${title}): ${outcome}`, ...lines, summary].join('\n');
}

function describeItem({ subject, expected, seen }: Item): string {
  return `  ${subject}: expected ${expected}; seen ${seen}`;
}
