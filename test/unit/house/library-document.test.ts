import { expect, test } from 'vitest';
import { exported, libraryDocument } from '../../support/library-document.ts';

const all = exported();

test('everything that is exported says what it is', () => {
  expect(all.length).toBeGreaterThan(150);
  expect(all.filter(({ summary }) => summary === '').map(({ name }) => name)).toEqual([]);
});

test('docs/reference/library.md is what the sources say (npx vitest run -u writes it anew)', async () => {
  await expect(await libraryDocument()).toMatchFileSnapshot('../../../docs/reference/library.md');
}, 60_000);
