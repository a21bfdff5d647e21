import { expect, test } from 'vitest';
import { conformance, testTitles, untested } from './conformance.ts';
import { CHECK_COUNT, RULES } from './rules.ts';

const titles = testTitles();

test('every rule has a test, and every test names a rule that exists', () => {
  expect(untested(titles)).toEqual([]);
  const known = new Set(RULES.map(({ id }) => id));
  const named = titles.flatMap(({ ids }) => ids).filter((id) => id.startsWith('D'));
  expect(named.filter((id) => !known.has(id))).toEqual([]);
  expect(RULES.map(({ id }) => id)).toEqual(Array.from({ length: 64 }, (_, i) => `D${i + 1}`));
});

test('every check has its test', () => {
  const checks = titles.flatMap(({ ids }) => ids).filter((id) => id.startsWith('check'));
  expect(checks).toEqual(Array.from({ length: CHECK_COUNT }, (_, i) => `check ${i + 1}`));
});

test('docs/reference/conformance.md is what the tests say', async () => {
  await expect(conformance(titles)).toMatchFileSnapshot('../../docs/reference/conformance.md');
});
