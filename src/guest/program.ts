import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

import { exists } from './apt-config.ts';
import { cacheDirectory, cacheSubdirectory, withLock } from './cache.ts';
import { EnvironmentError } from './environment.ts';
import type { GuestArch } from './manifest.ts';
import { run } from './run.ts';

const SOURCES = fileURLToPath(new URL('../../qemu/vfio-dma', import.meta.url));
const FILES = ['build.sh', 'start.h', 'vfio-dma.c'] as const;

/** Debian's packages that build the program, by the architecture it is for. */
const COMPILERS: Readonly<Record<GuestArch, string>> = {
  arm64: 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross',
  amd64: 'gcc-x86-64-linux-gnu libc6-dev-amd64-cross (on amd64: gcc libc6-dev)',
};

export interface ProgramOptions {
  /** Default: {@link cacheDirectory}. */
  readonly cache?: string;
  /** The program's sources, with `built/` beside them in the package. */
  readonly sources?: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The program that works a device from the guest's user space, for an architecture: as the package
 * brought it, or out of the cache, or built now from its sources.
 *
 * What is in the cache is named after the hash of the sources, so that an edit builds anew. Throws
 * {@link EnvironmentError} `env/program-missing` where it was not shipped and cannot be built.
 */
export async function vfioProgram(
  arch: GuestArch,
  { cache = cacheDirectory(), sources = SOURCES, signal }: ProgramOptions = {},
): Promise<Uint8Array> {
  const name = `vfio-dma-${arch}`;
  const hash = await sourceHash(sources);
  const shipped = join(sources, 'built', hash, name);
  if (await exists(shipped)) return readFile(shipped);
  const home = await cacheSubdirectory(cache, 'programs', hash);
  const built = join(home, name);
  if (!(await exists(built))) {
    await withLock(`${built}.lock`, async () => {
      if (!(await exists(built))) await build(sources, home, arch, signal);
    });
  }
  return readFile(built);
}

/** Names one state of the sources; qemu/vfio-dma/build.sh makes the same. */
export async function sourceHash(sources: string = SOURCES): Promise<string> {
  const hash = createHash('sha256');
  for (const file of FILES) hash.update(await readFile(join(sources, file)));
  return hash.digest('hex').slice(0, 16);
}

async function build(
  sources: string,
  out: string,
  arch: GuestArch,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await run('sh', [join(sources, 'build.sh'), out, arch], { signal });
  } catch (cause) {
    if (!(cause instanceof EnvironmentError)) throw cause;
    throw new EnvironmentError(
      'env/program-missing',
      `A topology with \`guest-driver: vfio-pci\` needs a program in the guest, which this checkout has not built: ${cause.message}`,
      `Install a compiler: apt-get install ${COMPILERS[arch]}; the published package has the program.`,
      { cause },
    );
  }
}
