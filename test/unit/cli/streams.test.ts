import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-streams-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const at = (path: string): string => new URL(`../../../${path}`, import.meta.url).pathname;
const program = join(scratch, 'program.mts');
writeFileSync(
  program,
  `import { main } from ${JSON.stringify(at('src/cli/main.ts'))};
process.exitCode = await main(process.argv.slice(2));
`,
);

const BAD = 'topologies/invalid/unknown-key.yaml';
const GOOD = 'topologies/one-endpoint.yaml';

interface Wish {
  /** Streams whose reader leaves before the program writes. */
  readonly leave?: readonly ('stdout' | 'stderr')[];
  readonly stdout?: number;
}

async function run(
  wish: Wish,
  ...argv: string[]
): Promise<{ code: number; out: string; err: string }> {
  const child = spawn(
    process.execPath,
    [at('node_modules/jiti/lib/jiti-cli.mjs'), program, ...argv],
    {
      stdio: ['ignore', wish.stdout ?? 'pipe', 'pipe'],
    },
  );
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    if (wish.leave?.includes(name) === true) child[name]?.destroy();
    else child[name]?.on('data', (data: Buffer) => void (text[name] += data.toString()));
  }
  const [code] = (await once(child, 'close')) as [number];
  return { code, out: text.stdout, err: text.stderr };
}

describe('a reader that leaves', () => {
  test('takes the text with it, not the exit code', async () => {
    expect((await run({}, 'check', BAD)).code).toBe(2);
    expect(await run({ leave: ['stdout'] }, 'check', BAD)).toMatchObject({ code: 2, err: '' });
    expect((await run({ leave: ['stdout'] }, 'check', GOOD)).code).toBe(0);
  }, 60_000);

  test('of the progress leaves the results whole', async () => {
    const whole = await run({}, 'boot', GOOD, '--backend', 'model');
    expect(whole).toMatchObject({ code: 0 });
    const { code, out } = await run({ leave: ['stderr'] }, 'boot', GOOD, '--backend', 'model');
    expect(code).toBe(0);
    const lines = (text: string): number => text.split('\n').length;
    expect(lines(out)).toBe(lines(whole.out));
    expect((await run({ leave: ['stdout', 'stderr'] }, 'check', BAD)).code).toBe(2);
  }, 60_000);
});

test('results that a full disk did not take are an error of the machine', async () => {
  const full = openSync('/dev/full', 'w');
  try {
    const { code, err } = await run({ stdout: full }, 'check', BAD);
    expect(code).toBe(3);
    expect(err).toMatch(/^viommu-topo: the results could not be written: .*ENOSPC/m);
  } finally {
    closeSync(full);
  }
}, 60_000);
