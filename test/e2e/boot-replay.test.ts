import { spawnSync } from 'node:child_process';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  mkdirSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { cacheDirectory, fetchGuest } from '../../src/guest/index.ts';
import { builtCore } from '../support/emulator.ts';

const work = mkdtempSync(join(tmpdir(), 'viommu-topo-replay-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));
beforeAll(async () => {
  await builtCore();
  await fetchGuest('arm64');
  // Snapshots of our own; guests of everybody's.
  mkdirSync(join(work, 'viommu-topo'));
  symlinkSync(join(cacheDirectory(), 'guests'), join(work, 'viommu-topo/guests'));
});

const SNAPSHOTS = join(work, 'viommu-topo/snapshots');
const FILE = 'topologies/one-endpoint.yaml';

/** A boot in a process of its own. */
function boot(...argv: readonly string[]): { status: number | null; out: string; err: string } {
  const cli = ['bin/viommu-topo.js', 'boot', '--quiet', ...argv];
  const { status, stdout, stderr } = spawnSync(process.execPath, cli, {
    encoding: 'utf8',
    env: { ...process.env, XDG_CACHE_HOME: work },
    input: 'echo answer-$((6 * 7))\nexit\n',
    timeout: 240_000,
    maxBuffer: 1 << 28,
  });
  return { status, out: stdout, err: stderr };
}

/** A trace without what names the run. */
const traced = (file: string): string => readFileSync(file, 'utf8').split('\n').slice(1).join('\n');

test('a boot from a snapshot is the rest of the boot that left it', () => {
  const [first, second] = [join(work, 'first.jsonl'), join(work, 'second.jsonl')];
  const left = boot(FILE, '--from-snapshot', '--trace', first);
  expect(left).toMatchObject({ status: 0 });
  expect(left.out).toMatch(/note +left a snapshot after \d+ instructions/u);
  const [name = ''] = readdirSync(SNAPSHOTS);
  expect(name).toMatch(/^[0-9a-f]{64}\.vtsnap$/u);

  const started = boot(FILE, '--from-snapshot', '--trace', second);
  expect(started).toMatchObject({ status: 0 });
  expect(started.out).toMatch(/note +started from a snapshot: its first \d+ instructions/u);
  // Console and events, with their times, to the last one.
  expect(traced(second) === traced(first)).toBe(true);
  expect(readdirSync(SNAPSHOTS)).toEqual([name]);

  // Damaged, it is thrown away, and the boot is whole.
  const path = join(SNAPSHOTS, name);
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  writeFileSync(path, bytes);
  const again = boot(FILE, '--from-snapshot');
  expect(again).toMatchObject({ status: 0 });
  expect(again.out).toMatch(/note +left a snapshot/u);
});

test('a session at the console is replayed, key by key; another seed parts', () => {
  const tape = join(work, 'tape');
  const recorded = boot(FILE, '--console', '--record', tape);
  expect(recorded).toMatchObject({ status: 0 });
  expect(recorded.out).toContain('answer-42');
  const replayed = boot(FILE, '--replay', tape);
  expect(replayed.err).toMatch(
    /^replay: the same to the end: \d+ instructions, \d+ checkpoints, \d+ events, \d+ lines$/mu,
  );
  expect(replayed.status).toBe(0);
  expect(replayed.out).toContain('answer-42');

  const parted = boot(FILE, '--replay', tape, '--seed', 'another');
  expect(parted.status).toBe(1);
  expect(parted.err).toContain('replay: seed another, and viommu-topo in the recording');
  expect(parted.err).toMatch(/^replay: the run parts from the recording: .* instructions? \d+/mu);
});
