import { beforeAll, expect, test } from 'vitest';
import { runCommand } from '../../src/cli/main.ts';
import { BootPool } from '../../src/cli/commands/boot/pool.ts';
import { fetchGuest } from '../../src/guest/index.ts';
import { builtCore } from '../support/emulator.ts';
import { inputOf, shipped } from './boot-helper.ts';

beforeAll(() => builtCore());

async function run(
  argv: readonly string[],
  heard?: (text: string, end: () => void) => void,
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const ender = new AbortController();
  let out = '';
  let err = '';
  const code = await runCommand(argv, {
    out: (text) => void (out += text),
    outBytes: () => undefined,
    err: (text) => {
      err += text;
      heard?.(text, () => ender.abort('SIGINT'));
    },
    interactive: false,
    colorOut: false,
    colorErr: false,
    env: {},
    signal: ender.signal,
  });
  return { code, out, err };
}

const TWO = ['topologies/several-endpoints.yaml', 'topologies/one-endpoint.yaml'];

test('several at once: verdicts in the order of the files, console lines with names', async () => {
  const { code, out, err } = await run(['boot', ...TWO, '--jobs', '2', '--show-console']);
  expect(code).toBe(0);
  // The second is the quicker one.
  expect(out.match(/^PASS \S+/gm)).toEqual(['PASS several-endpoints', 'PASS one-endpoint']);
  expect(err).toContain('1 of 2 done: one-endpoint');
  expect(err).toContain('2 of 2 done: several-endpoints');
  expect(err).toMatch(/^one-endpoint\| .*Linux version/m);
  expect(err).toMatch(/^several-endpoints\| .*Linux version/m);
});

test('Ctrl-C ends all of them', async () => {
  const { code, out, err } = await run(
    ['boot', ...TWO, '--jobs', '2', '--show-console'],
    (text, end) => {
      if (text.includes('Linux version')) end();
    },
  );
  expect({ code, out }).toEqual({ code: 130, out: '' });
  expect(err).toContain('stopped by SIGINT');
});

test('a boot that crashes in its worker names its file', async () => {
  const model = shipped('one-endpoint');
  const { firmware } = await inputOf(model);
  const guest = { ...(await fetchGuest('arm64')), kernel: '/nonexistent/vmlinuz' };
  const options = {
    append: [],
    net: [],
    firmwareBy: 'own',
    format: 'text',
    seed: 'x',
    timeout: 60,
  } as const;
  const pool = new BootPool(1, options);
  const boot = { file: 'a.yaml', model, firmware, backend: 'emulator', kind: 'acpi' } as const;
  const { signal } = new AbortController();
  await expect(pool.boot(boot, guest, {}, signal)).rejects.toThrow(/^a\.yaml: Error: ENOENT/);
  await pool.end();
});
