import { describe, expect, test } from 'vitest';
import { replayCommand, shrink, simulate } from './simulate.ts';

describe('simulation of vIOMMUs against a naive model', () => {
  test.each([1, 2, 3])('seed %i', (seed) => {
    const failure = simulate(seed, 8000);
    expect(failure && `${failure.message}\n${replayCommand(seed, failure.step + 1)}`).toBe(
      undefined,
    );
  });

  test.each(['unmap-keeps-translation', 'detach-keeps-epoch', 'write-ignores-flags'] as const)(
    'the planted bug %s is found, and the run shrinks',
    (canary) => {
      const failure = simulate(1, 20_000, { canary });
      expect(failure).toBeDefined();
      if (failure === undefined) return;
      const small = shrink(1, failure, { canary }, 60);
      expect(small.steps.length).toBeLessThanOrEqual(failure.step + 1);
      expect(small.failure.message).toMatch(/access|write|byte/);
    },
  );

  test('the same seed gives the same run', () => {
    const canary = 'write-ignores-flags';
    expect(simulate(9, 5000, { canary })).toEqual(simulate(9, 5000, { canary }));
  });
});
