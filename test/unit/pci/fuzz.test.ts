import { expect, it } from 'vitest';
import { fuzzPci } from '../../fuzz/pci.ts';

it('survives 200,000 accesses of any width to any register, and finds devices with them', () => {
  const { answered, messages } = fuzzPci(1, 200_000);
  expect(answered).toBeGreaterThan(50_000);
  expect(messages).toBeGreaterThan(5);
});

it('does the same for the same seed', () => {
  expect(fuzzPci(7, 5000)).toEqual(fuzzPci(7, 5000));
  expect(fuzzPci(8, 5000).hash).not.toBe(fuzzPci(7, 5000).hash);
});
