import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cli } from '../../support/cli.ts';

const TOPOLOGIES = join(import.meta.dirname, '../../../topologies');
const dir = mkdtempSync(join(tmpdir(), 'viommu-topo-trace-cli-'));
const [one, same, other] = ['one', 'same', 'other'].map((name) => join(dir, `${name}.jsonl`));
const boot = (name: string, trace: string, ...more: string[]): ReturnType<typeof cli> =>
  cli(
    'boot',
    join(TOPOLOGIES, `${name}.yaml`),
    '--backend',
    'model',
    '--trace',
    trace,
    '--quiet',
    ...more,
  );

beforeAll(async () => {
  expect((await boot('one-endpoint', one ?? '')).code).toBe(0);
  expect((await boot('one-endpoint', same ?? '')).code).toBe(0);
  expect((await boot('several-endpoints', other ?? '')).code).toBe(0);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('two runs of one topology are alike', async () => {
  const { code, out } = await cli(
    'trace',
    'diff',
    one ?? '',
    same ?? '',
    '--ignore',
    'none',
    '--console',
  );
  expect(out).toMatch(/^alike: \d{3,} records\n$/u);
  expect(code).toBe(0);
});

test('runs of two topologies part, and it is said where', async () => {
  const { code, out } = await cli('trace', 'diff', one ?? '', other ?? '');
  expect(code).toBe(1);
  expect(out).toContain('they part after');
  expect(out).toMatch(/^- +\d+ {2}/mu);
  expect(out).toMatch(/^\+ +\d+ {2}/mu);
  const json = await cli(
    'trace',
    'diff',
    one ?? '',
    other ?? '',
    '--format',
    'json',
    '--kind',
    'attach',
  );
  expect(JSON.parse(json.out)).toMatchObject({ same: false });
});

test('show: some kinds, some endpoint, some lines', async () => {
  const { out } = await cli('trace', 'show', one ?? '', '--kind', 'map', '--limit', '3');
  expect(out.trim().split('\n')).toHaveLength(3);
  expect(out).toMatch(/viommu0 map domain 0 virt 0x/u);
  expect((await cli('trace', 'show', one ?? '', '--endpoint', '0x99')).out).toBe('');
  expect((await cli('trace', 'show', one ?? '')).out).toMatch(/^run 0: one-endpoint on model/u);
});

test('converted, and written at once, a trace for Perfetto is the same', async () => {
  const converted = join(dir, 'converted.json');
  const direct = join(dir, 'direct.perfetto.json');
  expect((await cli('trace', 'convert', one ?? '', '-o', converted)).code).toBe(0);
  expect((await boot('one-endpoint', direct)).code).toBe(0);
  const text = readFileSync(direct, 'utf8');
  expect(readFileSync(converted, 'utf8')).toBe(text);
  const { traceEvents } = JSON.parse(text) as { traceEvents: { ph: string }[] };
  expect(new Set(traceEvents.map(({ ph }) => ph))).toEqual(new Set(['M', 'i', 'b', 'e']));
});

test('several boots are several runs of one file', async () => {
  const file = join(dir, 'both.jsonl');
  const its = join(TOPOLOGIES, 'its.yaml');
  const { code } = await cli(
    'boot',
    its,
    '--backend',
    'model',
    '--firmware',
    'both',
    '--trace',
    file,
    '--quiet',
  );
  expect(code).toBe(0);
  const { out } = await cli('trace', 'show', file);
  expect(out).toContain('run 0: its on model (device-tree)');
  expect(out).toContain('run 1: its on model (acpi)');
  expect(out).toMatch(/run 1 ends: pass/u);
});

test('what is no trace is refused with its line', async () => {
  const bad = join(dir, 'bad.jsonl');
  writeFileSync(bad, `${readFileSync(one ?? '', 'utf8').split('\n')[0]}\n{"type":"ev`);
  const { code, err } = await cli('trace', 'diff', one ?? '', bad);
  // The damage is in the second line: the first event of the good one has nothing to be held against.
  expect(code).toBe(2);
  expect(err).toContain('bad.jsonl:2:');
  expect((await cli('trace', 'show', join(dir, 'absent'))).code).toBe(2);
  expect((await boot('one-endpoint', join(dir, 'no', 'such', 'dir'))).code).toBe(2);
});
