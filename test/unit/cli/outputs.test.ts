import { execFileSync } from 'node:child_process';
import { copyFileSync, linkSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cli } from '../../support/cli.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-outputs-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const topology = join(scratch, 'one.yaml');
const trace = join(scratch, 'one.jsonl');

beforeAll(async () => {
  copyFileSync('topologies/one-endpoint.yaml', topology);
  expect((await cli('boot', topology, '--backend', 'model', '--trace', trace)).code).toBe(0);
});

describe('a result does not take the place of what it is made from', () => {
  test.each([
    ['graph', () => ['graph', topology, '-o', topology], topology],
    ['boot --trace', () => ['boot', topology, '--backend', 'model', '--trace', topology], topology],
    ['boot -o', () => ['boot', topology, '--backend', 'model', '-o', topology], topology],
    ['trace convert', () => ['trace', 'convert', trace, '-o', trace], trace],
    ['judge, the console', () => ['judge', topology, trace, '-o', trace], trace],
  ] as const)('%s', async (_, argv, file) => {
    const before = readFileSync(file);
    const { code, err } = await cli(...argv());
    expect(code).toBe(2);
    expect(err).toContain(`${file} is read, and would be overwritten`);
    expect(readFileSync(file)).toEqual(before);
  });

  test('nor by another name', async () => {
    const soft = join(scratch, 'soft');
    const hard = join(scratch, 'hard');
    symlinkSync(topology, soft);
    linkSync(topology, hard);
    for (const name of [soft, hard]) {
      expect((await cli('graph', topology, '-o', name)).code).toBe(2);
    }
  });
});

test('a picture that is neither SVG nor DOT is not written under its name', async () => {
  const { code, err } = await cli('graph', topology, '-o', join(scratch, 'x.png'));
  expect(code).toBe(2);
  expect(err).toContain('--format dot | dot -Tpng -o');
  expect((await cli('graph', topology, '-o', join(scratch, 'x.png'), '--format', 'svg')).code).toBe(
    0,
  );
});

test('a file whose directory is missing, and one without a name', async () => {
  const missing = await cli('graph', topology, '-o', join(scratch, 'none', 'x.svg'));
  expect(missing.err).toMatch(/its directory is not there\n {2}cure: make the directory/u);
  expect((await cli('graph', topology, '-o', '')).err).toContain('cannot write to "": ');
});

test('a trace or a console from a named pipe or a directory is refused, not waited for', async () => {
  const pipe = join(scratch, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const fromPipe = await cli('trace', 'show', pipe);
  expect(fromPipe.code).toBe(2);
  expect(fromPipe.err).toContain('it is a pipe');
  const judged = await cli('judge', topology, pipe);
  expect(judged.code).toBe(2);
  expect(judged.err).toContain('it is a pipe');
  const fromDirectory = await cli('trace', 'diff', trace, scratch);
  expect(fromDirectory.code).toBe(2);
  expect(fromDirectory.err).toContain('it is a directory');
});

test('init prints commands that a shell takes as they are', async () => {
  const file = join(scratch, "a b's\n.yaml");
  const { out } = await cli('init', file, '--yes');
  const command = out.slice(out.indexOf('  viommu-topo check ')).split('\n  viommu-topo graph')[0];
  const printed = execFileSync('sh', [
    '-c',
    (command ?? '').replace('viommu-topo check', 'printf %s'),
  ]);
  expect(printed.toString()).toBe(file);
});
