/**
 * Matchers for a VMM's own tests, exported as `viommu-topo/matchers`.
 *
 *     import { expect } from 'vitest';
 *     import * as matchers from 'viommu-topo/matchers';
 *     expect.extend(matchers);
 *     expect(judgeConsole(model, console, { seed })).toKeepItsPromises();
 */
export { toFailBecauseOf, toKeepItsPromises, toKeepPromise } from './matchers.ts';

/** The matchers as they stand on what `expect` returns. */
export interface VerdictMatchers<R = unknown> {
  toKeepItsPromises(): R;
  toKeepPromise(id: string): R;
  toFailBecauseOf(cause: string): R;
}
