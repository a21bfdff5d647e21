import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CAUSES, PROMISES } from '../../../src/scenario/index.ts';
import { MUTATIONS, RESET_MUTATION } from '../../support/mutations.ts';

const ROOT = join(import.meta.dirname, '../../..');
const PAGE = readFileSync(join(ROOT, 'docs/reference/promises.md'), 'utf8');

/** Prettier wraps and escapes; what is compared are the words. */
function words(text: string): string {
  return text.replaceAll(/[\s\\]+/gu, ' ');
}

test('every promise is on the page, with its title and its meaning, in the order of a verdict', () => {
  const headings = [...PAGE.matchAll(/^### `([a-z-]+)`$/gmu)].map(([, id]) => id);
  expect(headings).toEqual(PROMISES.map(({ id }) => id));
  for (const { title, explanation } of PROMISES) {
    expect(words(PAGE)).toContain(words(title.slice(1)));
    expect(words(PAGE)).toContain(words(explanation));
  }
});

test('every rule that a test takes away is on the page, with the promise that breaks', () => {
  const section = PAGE.slice(PAGE.indexOf('## What each rule'), PAGE.indexOf('## Causes'));
  const rows = [...section.matchAll(/^\| ([^|]+?)\s*\| `([a-z0-9-]+)`\s*\| `([a-z-]+)`\s*\|$/gmu)];
  expect(rows.map(([, rule, topology, breaks]) => ({ rule, topology, breaks }))).toEqual(
    [...MUTATIONS, RESET_MUTATION].map(({ rule, topology, breaks }) => ({
      rule,
      topology,
      breaks,
    })),
  );
});

test('every cause is on the page', () => {
  const rows = [
    ...PAGE.slice(PAGE.indexOf('## Causes')).matchAll(/^\| `([a-z-]+)`\s*\| (.*?)\s*\|$/gmu),
  ];
  expect(Object.fromEntries(rows.map(([, id, text]) => [id, text]))).toEqual(CAUSES);
});

test('every cause that can be found is in the catalogue, and the other way round', () => {
  const directory = join(ROOT, 'src/scenario/causes');
  const source = readdirSync(directory)
    .filter((file) => file !== 'catalogue.ts')
    .map((file) => readFileSync(join(directory, file), 'utf8'))
    .join('\n');
  for (const id of Object.keys(CAUSES)) expect(source).toContain(`'${id}'`);
  const named = [...source.matchAll(/\bid: '([a-z-]+)'/gu)].map(([, id]) => id ?? '');
  expect(named.filter((id) => !(id in CAUSES))).toEqual([]);
});
