import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { runCommand } from '../../src/cli/main.ts';
import { diffTraces, readTrace } from '../../src/trace/index.ts';
import { builtCore } from '../support/emulator.ts';
import { cli, type CliResult } from '../support/cli.ts';

const ITS = join(import.meta.dirname, '../../topologies/its.yaml');
const dir = mkdtempSync(join(tmpdir(), 'viommu-topo-debug-e2e-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
beforeAll(() => builtCore());

const socket = join(dir, 'private', 's');

/** Asks the run that goes on in this process meanwhile, as soon as it listens. */
async function debug(...words: string[]): Promise<CliResult> {
  for (let tries = 0; ; tries++) {
    const result = await cli('debug', socket, ...words);
    if (result.code !== 3 || tries === 600) return result;
    await new Promise((done) => setTimeout(done, 100));
  }
}

const trace = (name: string): string => join(dir, `${name}.jsonl`);

async function alike(a: string, b: string, ignore: readonly string[]): Promise<unknown> {
  return diffTraces(readTrace(a), readTrace(b), { ignore, console: true });
}

describe('a stock kernel under the debugger', () => {
  test('stopped and asked, the run is the same to the last instruction', async () => {
    const free = await cli(
      'boot',
      ITS,
      '--quiet',
      '--trace',
      trace('free'),
      '--pcap',
      join(dir, 'pcap'),
    );
    expect(free.code, free.out).toBe(0);
    const running = cli(
      'boot',
      ITS,
      '--quiet',
      '--trace',
      trace('asked'),
      '--debug',
      socket,
      '--wait',
    );
    expect((await debug('status')).out).toContain('its on emulator: stopped (wait) at 0.000000 s');
    expect(statSync(socket).mode & 0o777).toBe(0o600);

    const third = await debug('break map 3; continue; wait; dump disk0; translate disk0 0x1234');
    expect(third.code, third.err).toBe(0);
    expect(third.out).toMatch(/stopped by break 1 at 0\.\d{6} s: viommu0: map: domain \d+ 0x/u);
    const [, total] = /domain \d+: (\d+) mappings/u.exec(third.out) ?? [];
    expect(Number(total)).toBeLessThanOrEqual(3);
    // Newest last made, highest first handed out: the last MAP is the lowest mapping.
    const [, made] = /map: domain \d+ (0x[0-9a-f]+)-/u.exec(third.out) ?? [];
    expect(third.out).toContain(`\n  ${made ?? '?'}-`);
    expect(third.out).toContain('at 0x1234: a fault (translated)');

    const more = await debug(
      'list; stat; break unmap 5; continue; wait; pause; delete 2; continue',
    );
    // The break is gone when it was met: there is nothing to delete, and the guest still stands.
    expect(more.code).toBe(2);
    expect(more.err).toContain('there is no break 2');
    expect((await debug('continue')).out).toContain('running');
    const done = await running;
    expect(done.code, done.out).toBe(0);
    expect(done.out).toContain('PASS its');
    expect(await alike(trace('free'), trace('asked'), [])).toMatchObject({ same: true });
  });

  test('a MAP that fails on purpose fails the verdict, and the trace says where', async () => {
    const running = cli(
      'boot',
      ITS,
      '--quiet',
      '--trace',
      trace('faulty'),
      '--debug',
      socket,
      '--wait',
    );
    const asked = await debug(
      'break map 12 disk0; continue; wait; fault map disk0; continue; wait',
    );
    const done = await running;
    expect(asked.code).toBe(1);
    expect(asked.err).toContain('the run ended');
    expect(done.code).toBe(1);
    expect(done.out).toContain('FAIL the vIOMMU refuses no request');
    const { code, out } = await cli('trace', 'diff', trace('free'), trace('faulty'));
    expect(code).toBe(1);
    expect(out).toMatch(/^they part after \d+ records in .*status/u);
  });

  test('Ctrl-C ends a boot that waits, and the socket is gone', async () => {
    const abort = new AbortController();
    let err = '';
    const code = runCommand(['boot', ITS, '--quiet', '--debug', socket, '--wait'], {
      out: () => undefined,
      outBytes: () => undefined,
      err: (text) => void (err += text),
      interactive: false,
      colorOut: false,
      colorErr: false,
      env: {},
      signal: abort.signal,
    });
    expect((await debug('status')).out).toContain('stopped (wait)');
    abort.abort('SIGINT');
    expect(await code).toBe(130);
    expect(err).toContain(`the guest waits: viommu-topo debug ${socket} continue`);
    expect(statSync(socket, { throwIfNoEntry: false })).toBeUndefined();
  });

  test('the frames of the NIC are in a file that is a pcap', () => {
    const bytes = readFileSync(join(dir, 'pcap', 'its-dt-net0.pcap'));
    // Nanoseconds, little-endian; then a frame of at least an ARP's size.
    expect(bytes.readUInt32LE(0)).toBe(0xa1b2_3c4d);
    expect(bytes.readUInt32LE(20)).toBe(1);
    expect(bytes.readUInt32LE(24 + 8)).toBeGreaterThanOrEqual(42);
    let frames = 0;
    for (let at = 24; at < bytes.length; at += 16 + bytes.readUInt32LE(at + 8)) frames++;
    expect(frames).toBeGreaterThan(3);
  });
});

describe('what cannot be', () => {
  test.each([
    [['--wait'], '--wait without --debug'],
    [['--debug', socket, '--backend', 'model'], '--debug is for --backend emulator'],
    [['--debug', socket, '--firmware', 'both'], '--debug is for one boot at a time'],
    [['--debug', join(dir, 'x'.repeat(120)), '--wait'], '107 bytes'],
  ])('%j', async (more, message) => {
    const { code, err } = await cli('boot', ITS, '--quiet', ...more);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });
});
