import { describe, expect, test } from 'vitest';
import * as matchers from '../../../src/matchers/index.ts';
import type { VerdictMatchers } from '../../../src/matchers/index.ts';
import { judge } from '../../../src/scenario/index.ts';
import { sampleGuest, sampleModel, sampleObservation } from '../scenario/samples.ts';

declare module 'vitest' {
  // oxlint-disable-next-line no-explicit-any -- the parameters must be those of vitest's own
  interface Matchers<T = any> extends VerdictMatchers<T> {}
}

expect.extend(matchers);

const passed = judge(sampleModel(), sampleObservation());
const [disk] = sampleGuest().disks;
const failed = judge(
  sampleModel(),
  sampleObservation({
    guest: sampleGuest({
      disks: disk === undefined ? [] : [{ device: disk.device, error: 'EIO' }],
    }),
  }),
);

/** What a matcher says when it fails. */
function saysOf(check: () => void): string {
  try {
    check();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return expect.fail('the matcher passed');
}

describe('matchers', () => {
  test('a verdict keeps its promises, or prints itself', () => {
    expect(passed).toKeepItsPromises();
    expect(failed).not.toKeepItsPromises();
    const says = saysOf(() => expect(failed).toKeepItsPromises());
    expect(says).toMatch(/FAIL sample/u);
    expect(says).toContain('EIO');
  });

  test('a promise by name: broken, unobserved and unknown ones fail', () => {
    expect(passed).toKeepPromise('disks-read');
    expect(failed).not.toKeepPromise('disks-read');
    expect(saysOf(() => expect(failed).toKeepPromise('disks-read'))).toMatch(
      /disks-read .*fail[^]*EIO/u,
    );
    expect(saysOf(() => expect(passed).toKeepPromise('no-such'))).toContain('there is no promise');
    const unseen = passed.promises.find(({ outcome }) => outcome === 'not-observable');
    if (unseen !== undefined) expect(passed).not.toKeepPromise(unseen.id);
  });

  test('a cause by name', () => {
    const cause = failed.causes[0]?.id ?? expect.fail('the sample has no cause');
    expect(failed).toFailBecauseOf(cause);
    expect(failed).not.toFailBecauseOf('something-else');
    expect(saysOf(() => expect(passed).toFailBecauseOf(cause))).toContain('it passed');
  });

  test('what is no verdict is said to be none', () => {
    for (const value of [undefined, null, 1, {}, { promises: [] }]) {
      expect(saysOf(() => expect(value).toKeepItsPromises())).toContain('this is no verdict');
    }
  });
});
