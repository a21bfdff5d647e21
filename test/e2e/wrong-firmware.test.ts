import { describe, expect, test } from 'vitest';
import { WRONG_TREES, WRONG_VIOTS, type WrongFirmware } from '../support/wrong-firmware.ts';
import { boot, shown, topology } from './boot-helper.ts';

/**
 * Firmware that is wrong in one place, on a stock kernel. Each verdict must fail, and the first
 * cause must be that place, with the values that are wrong.
 */

async function check({ what, text, cause, says, breaks, hangs }: WrongFirmware): Promise<void> {
  const model = topology(what.replaceAll(/[^a-zA-Z]+/gu, '-'), text);
  // A guest that lost its interrupts is silent for ever; no healthy pause is as long as this.
  const verdict = await boot(model, { silence: 30, ...(hangs === true ? { patience: 4 } : {}) });
  const [first] = verdict.causes;
  expect(first?.id, shown(verdict)).toBe(cause);
  for (const words of says) expect(first?.message).toContain(words);
  const broken = verdict.promises.filter(({ outcome }) => outcome === 'fail').map(({ id }) => id);
  expect(broken).toContain(breaks);
  expect(verdict.outcome).toBe('fail');
  expect(verdict.summary).toContain(first?.message);
}

describe('a device tree', () => {
  test.each(WRONG_TREES)('$what', check);
});

describe('a VIOT', () => {
  test.each(WRONG_VIOTS)('$what', check);
});
