import { beforeAll, expect, test } from 'vitest';
import { builtCore } from '../support/emulator.ts';
import { cli } from '../support/cli.ts';
import { blocksOf, pages, readPage } from '../support/docs-page.ts';
import { follow } from '../support/docs-run.ts';

// Every `sh` line of every page is run, and what stands below it is held against what came. The
// tutorial has a test of its own (newcomer.test.ts), README another (test/unit/house).

const OWN = ['README.md', 'docs/start.md'];
const runnable = pages().filter(
  (page) => !OWN.includes(page) && blocksOf(page).some(({ language }) => language === 'sh'),
);

beforeAll(() => builtCore());

test('there are pages to run', () => {
  expect(runnable.length).toBeGreaterThan(10);
});

test.each(runnable)('%s', async (page) => {
  const said = await follow(page);
  expect(said.size).toBeGreaterThan(0);
});

test('every command of the debugger is in its reference', async () => {
  const { out } = await cli('debug', '--help');
  const page = readPage('docs/reference/debug.md');
  const names = Array.from(out.matchAll(/^ {2}([a-z]+)(?: .*)?\n {6}/gmu), ([, name = '']) => name);
  expect(names.length).toBeGreaterThan(12);
  for (const name of names) expect(page).toContain(`\`${name}`);
});
