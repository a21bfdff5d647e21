import { rm } from 'node:fs/promises';

import {
  judge,
  type Backend,
  type BootHooks,
  type BootInput,
  type Verdict,
} from '../scenario/index.ts';

/**
 * One boot and its verdict. The serial log stays behind only when the verdict failed.
 *
 * Throws `BootAborted` when the signal ended it, and whatever stands in the way of a run at all.
 */
export async function bootAndJudge(
  backend: Backend,
  input: BootInput,
  hooks: BootHooks = {},
): Promise<Verdict> {
  const observation = await backend.run(input, hooks);
  hooks.observed?.(observation);
  const verdict = judge(input.model, observation);
  const { serialLog, ...environment } = verdict.environment;
  if (verdict.outcome === 'fail' || serialLog === undefined) return verdict;
  await rm(serialLog, { force: true });
  return { ...verdict, environment };
}
