import { afterEach, describe, expect, test } from 'vitest';

import { bootAndJudge, builtImages, modelBackend } from '../../../src/backends/index.ts';
import { buildFirmware } from '../../../src/firmware/index.ts';
import { renderVerdict } from '../../../src/report/index.ts';
import type { Verdict } from '../../../src/scenario/index.ts';
import { shippedModel } from '../../support/model-guest.ts';
import { MUTATIONS } from '../../support/mutations.ts';

/** Each rule of the device model has a promise that notices when it is gone. */

const undo: (() => void)[] = [];

afterEach(() => {
  for (const back of undo.splice(0)) back();
});

function boot(name: string): Promise<Verdict> {
  const model = shippedModel(name);
  const firmware = builtImages(buildFirmware(model), model.file);
  return bootAndJudge(modelBackend(), { model, firmware, timeLimit: 60, seed: 'unit' });
}

describe('with every rule in force', () => {
  test.each([...new Set(MUTATIONS.map(({ topology }) => topology))])('%s passes', async (name) => {
    const verdict = await boot(name);
    expect(verdict.outcome, renderVerdict(verdict, { color: false })).toBe('pass');
  });
});

describe('without one of them', () => {
  test.each(MUTATIONS)('$rule: $breaks', async ({ topology, breaks, plant }) => {
    undo.push(plant());
    const verdict = await boot(topology);
    const broken = verdict.promises.filter(({ outcome }) => outcome === 'fail');
    expect(
      broken.map(({ id }) => id),
      renderVerdict(verdict, { color: false }),
    ).toContain(breaks);
  });
});
