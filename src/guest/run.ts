import { execa } from 'execa';

import { EnvironmentError } from './environment.ts';

/** Which Debian package brings a program that this room calls. */
const PACKAGE_OF: Readonly<Record<string, string>> = {
  'apt-get': 'apt',
  'apt-cache': 'apt',
  'apt-config': 'apt',
  'dpkg-deb': 'dpkg',
  xz: 'xz-utils',
  zstd: 'zstd',
  gzip: 'gzip',
};

export interface RunOptions {
  readonly cwd?: string;
  readonly input?: Uint8Array;
  /** Stops the program; it is killed and the promise rejects. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds, after which the program is killed. Default 10 minutes. */
  readonly timeoutMs?: number;
}

/**
 * Runs a program of the host to its end and returns its standard output.
 *
 * Messages come in the C locale. Throws {@link EnvironmentError} `env/program-missing` or
 * `env/program-failed`, the latter with the tail of what the program said; the signal's reason
 * when that stopped it.
 */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Uint8Array> {
  const result = await execa(program, args, {
    encoding: 'buffer',
    reject: false,
    env: { LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    timeout: options.timeoutMs ?? 600_000,
    maxBuffer: 512 * 1024 * 1024,
    ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
  });
  if (!result.failed) return result.stdout;
  // The caller gave up; that is no fault of the machine.
  options.signal?.throwIfAborted();
  if (result.code === 'ENOENT') throw missing(program);
  const said = Buffer.from(result.stderr).toString('utf8').trim().split('\n').slice(-12).join('\n');
  throw new EnvironmentError(
    'env/program-failed',
    `${[program, ...args].join(' ')}: ${result.shortMessage}\n${said}`.trim(),
    'Read the messages of the program above.',
  );
}

function missing(program: string): EnvironmentError {
  const name = PACKAGE_OF[program];
  return new EnvironmentError(
    'env/program-missing',
    `The program ${program} is not installed`,
    name === undefined
      ? `Install ${program}.`
      : `Install it: apt-get install ${name} (needs Debian or a distribution derived from it).`,
  );
}

/** {@link run}, with the output as UTF-8 text. */
export async function runText(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  return Buffer.from(await run(program, args, options)).toString('utf8');
}
