import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';

import { builtCore } from '../support/emulator.ts';
import { cli, type CliResult } from '../support/cli.ts';

/** Runs what stands in the `sh` blocks of pages, line by line, in a directory with the topologies. */
const ROOT = join(import.meta.dirname, '../..');
const home = process.cwd();
let dir: string;

beforeAll(() => builtCore());
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'viommu-topo-docs-'));
  symlinkSync(join(ROOT, 'topologies'), join(dir, 'topologies'));
  process.chdir(dir);
});
afterEach(() => {
  process.chdir(home);
  rmSync(dir, { recursive: true, force: true });
});
afterAll(() => process.chdir(home));

function commandsOf(page: string): string[] {
  const text = readFileSync(join(ROOT, 'docs', page), 'utf8');
  return Array.from(text.matchAll(/^```sh\n(.*?)^```$/gmsu), ([, block = '']) =>
    block.trim().split('\n'),
  ).flat();
}

/** Words of a shell line, with single quotes. */
function wordsOf(line: string): string[] {
  return Array.from(line.matchAll(/'([^']*)'|(\S+)/gu), ([, quoted, word]) => quoted ?? word ?? '');
}

/** A debugger that comes before its boot listens tries again, as a person would. */
async function run(argv: readonly string[]): Promise<CliResult> {
  for (let tries = 0; ; tries++) {
    const result = await cli(...argv);
    if (argv[0] !== 'debug' || result.code !== 3 || tries === 600) return result;
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** Runs all lines; the exit code is 0 but for those that end as they are said to. */
async function follow(page: string, codes: Readonly<Record<string, number>> = {}): Promise<string> {
  let said = '';
  const background: Promise<void>[] = [];
  for (const line of commandsOf(page)) {
    const [program, ...argv] = wordsOf(line);
    expect(program, line).toBe('viommu-topo');
    const isBackground = argv.at(-1) === '&';
    const expected = Object.entries(codes).find(([start]) => line.startsWith(start))?.[1] ?? 0;
    const done = run(isBackground ? argv.slice(0, -1) : argv).then(({ code, out, err }) => {
      said += out + err;
      expect(code, `${line}\n${out}${err}`).toBe(expected);
    });
    if (isBackground) background.push(done);
    else await done;
  }
  await Promise.all(background);
  return said;
}

test('docs/guides/debugging-a-kernel-driver.md', async () => {
  const said = await follow('guides/debugging-a-kernel-driver.md', {
    'viommu-topo boot topologies/its.yaml --quiet --trace bad.jsonl': 1,
    "viommu-topo debug run/s 'break map 12": 1,
    'viommu-topo trace diff': 1,
  });
  // What the page says of them.
  expect(said).toContain('by the device tree: translated');
  expect(said).toMatch(/stopped by break 1 at .*: attach: domain/u);
  expect(said).toContain('at 0x1234: a fault');
  expect(said).toContain('they part after');
  expect(said).toContain('FAIL the vIOMMU refuses no request');
});

test.each([
  ['reference/explain.md', 'nothing can be mapped at 0xe0000000'],
  ['reference/trace.md', 'alike:'],
  ['reference/debug.md', 'viommu-topo debug'],
])('docs/%s', async (page, says) => {
  expect(await follow(page)).toContain(says);
});

test('every command of the debugger is in its reference', async () => {
  const { out } = await cli('debug', '--help');
  const page = readFileSync(join(ROOT, 'docs/reference/debug.md'), 'utf8');
  const names = Array.from(out.matchAll(/^ {2}([a-z]+)(?: .*)?\n {6}/gmu), ([, name = '']) => name);
  expect(names.length).toBeGreaterThan(12);
  for (const name of names) expect(page).toContain(`\`${name}`);
});
