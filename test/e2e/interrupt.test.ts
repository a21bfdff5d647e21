import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';

// Ctrl-C while a guest boots: exit 130, and nothing is left of it.

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-interrupt-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Ending {
  readonly code: number | null;
  readonly err: string;
}

/** Runs `boot` and sends `signal` as soon as the kernel has started. */
function interrupted(signal: NodeJS.Signals): Promise<Ending> {
  return new Promise((resolve) => {
    const child = spawn(
      process.execPath,
      ['bin/viommu-topo.js', 'boot', 'topologies/one-endpoint.yaml', '--accel', 'tcg'],
      { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, TMPDIR: scratch } },
    );
    let err = '';
    let sent = false;
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
      if (sent || !err.includes('kernel starts')) return;
      sent = true;
      child.kill(signal);
    });
    child.on('close', (code) => resolve({ code, err }));
  });
}

/** Processes whose command line or environment names our temporary directory. */
function leftBehind(): string[] {
  const ps = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' });
  return ps.split('\n').filter((line) => line.includes(scratch) && !line.includes('ps -eo'));
}

describe.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s', (signal, code) => {
  test('ends the guest, the process and the temporary files', async () => {
    const ending = await interrupted(signal);
    expect(ending.err).toContain(`stopped by ${signal}`);
    expect(ending.code).toBe(code);
    expect(leftBehind()).toEqual([]);
    expect(readdirSync(scratch)).toEqual([]);
  });
});
