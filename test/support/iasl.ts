import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const script = fileURLToPath(new URL('../../qemu/fetch-iasl.sh', import.meta.url));

/** The first iasl that knows VIOT. */
const VERSION_MIN = 20_210_331;

/**
 * An iasl that knows VIOT: the one on the PATH when it is new enough, else one that
 * `qemu/fetch-iasl.sh` unpacks into the user's cache. A judge that cannot be had is an error
 * that names it, never a skipped test.
 */
export async function findIasl(): Promise<string> {
  const { stdout } = await run('iasl', ['-v']).catch(() => ({ stdout: '' }));
  const version = Number(/version (\d{8})/.exec(stdout)?.[1] ?? 0);
  if (version >= VERSION_MIN) return 'iasl';
  const fetched = await run(script, { timeout: 240_000 }).catch((cause: unknown) => {
    throw new Error('no iasl of 20210331 or later on the PATH, and none could be fetched', {
      cause,
    });
  });
  return fetched.stdout.trim();
}

/** What iasl made of a table. */
export interface Judgement {
  /** The disassembly. */
  readonly dsl: string;
  /** The disassembly compiled again. */
  readonly aml: Uint8Array;
  /** Everything iasl said about both. */
  readonly log: string;
  readonly errors: number;
  readonly warnings: number;
}

/** Disassembles `table` and compiles the result; a step that fails throws iasl's own words. */
export async function roundTrip(iasl: string, table: Uint8Array): Promise<Judgement> {
  const folder = await mkdtemp(join(tmpdir(), 'viommu-topo-iasl-'));
  try {
    const options = { cwd: folder, timeout: 60_000 };
    await writeFile(join(folder, 'in.aml'), table);
    const apart = await run(iasl, ['-d', 'in.aml'], options);
    const dsl = await readFile(join(folder, 'in.dsl'), 'utf8');
    const again = await run(iasl, ['-oa', '-p', 'out', 'in.dsl'], options).catch(fail);
    const log = [apart, again].map(({ stdout, stderr }) => stdout + stderr).join('');
    const [, errors, warnings] = /(\d+) Errors, (\d+) Warnings/.exec(again.stdout) ?? [];
    return {
      dsl,
      aml: Uint8Array.from(await readFile(join(folder, 'out.aml'))),
      log,
      errors: Number(errors),
      warnings: Number(warnings),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function fail(error: Error & { stdout?: string; stderr?: string }): never {
  throw new Error(`iasl: ${error.stdout ?? ''}${error.stderr ?? error.message}`, { cause: error });
}
