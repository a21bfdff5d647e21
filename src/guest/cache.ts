import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { makeDirectories } from '../bytes/index.ts';
import { EnvironmentError } from './environment.ts';

/** `$XDG_CACHE_HOME/viommu-topo`, or `~/.cache/viommu-topo` (XDG Base Directory Specification). */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const base = env['XDG_CACHE_HOME'];
  // The specification tells programs to ignore a relative path here.
  return join(
    base !== undefined && base.startsWith('/') ? base : join(homedir(), '.cache'),
    'viommu-topo',
  );
}

/** Makes a directory of the cache; what hinders it is the user's to mend. */
export async function cacheSubdirectory(...parts: string[]): Promise<string> {
  const path = join(...parts);
  try {
    makeDirectories(path);
  } catch (cause) {
    throw new EnvironmentError(
      'env/cache-unusable',
      `Cannot make the cache directory ${path}: ${String(cause)}`,
      'Point XDG_CACHE_HOME at a directory that you can write to.',
      { cause },
    );
  }
  return path;
}

/** Writes a file so that a reader sees the old bytes or the new ones, never half of them. */
export async function writeWhole(path: string, data: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  try {
    await writeFile(temporary, data);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** How long another run's download is waited for. */
const LOCK_WAIT_MS = 15 * 60_000;

/**
 * Runs `work` while holding the lock directory `path`.
 *
 * A lock whose process is gone is taken over. Waits up to 15 minutes, then throws
 * {@link EnvironmentError} `env/cache-busy`.
 */
export async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + LOCK_WAIT_MS;
  while (!(await tryLock(path))) {
    if (Date.now() > deadline) {
      throw new EnvironmentError(
        'env/cache-busy',
        `Another run has held ${path} for more than 15 minutes`,
        `If no other viommu-topo runs, remove it: rm -r ${path}`,
      );
    }
    await sleep(200);
  }
  try {
    return await work();
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}

async function tryLock(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    await writeFile(join(path, 'pid'), String(process.pid));
    return true;
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
  const holder = Number(await readFile(join(path, 'pid'), 'utf8').catch(() => ''));
  // Without a number yet, the lock is just being made, unless its maker died at that very moment.
  if (holder > 0 ? !alive(holder) : await olderThan(path, 10_000)) {
    // Renaming first makes sure that only one of several waiters removes the dead lock.
    const grave = `${path}.dead.${process.pid}`;
    await rename(path, grave).catch(() => undefined);
    await rm(grave, { recursive: true, force: true });
  }
  return false;
}

async function olderThan(path: string, milliseconds: number): Promise<boolean> {
  const made = await stat(path).catch(() => undefined);
  return made !== undefined && Date.now() - made.mtimeMs > milliseconds;
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) === 'EPERM';
  }
}

function errnoOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
