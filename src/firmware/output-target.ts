import { lstat, mkdir, readdir, readFile, realpath, rmdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { FirmwareError } from './error.ts';

/** Names the files of a directory that we wrote, so that we may replace it and nobody else's. */
export const MARKER = '.viommu-topo';

/** What half-written files in an output directory begin with; they are nobody's. */
export const RESERVED = '.viommu-topo.';

/** Where outputs go, after links were followed. */
export interface Target {
  readonly path: string;
  readonly exists: boolean;
  /** Whether another directory can be put in its place without anybody noticing. */
  readonly movable: boolean;
  /** Permissions of the directory that is there. */
  readonly mode?: number;
  /** What is in it, all of it ours. */
  readonly ours: readonly string[];
}

/**
 * Looks at the place for outputs.
 * @throws FirmwareError `outputs/exists` when it may not be replaced; errors of the file system.
 */
export async function surveyTarget(dir: string, title: string): Promise<Target> {
  const path = await followLink(resolve(dir));
  let present: string[];
  try {
    present = await readdir(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return { path, exists: false, movable: true, ours: [] };
    if (codeOf(error) === 'ENOTDIR' && (await lstat(path).catch(() => undefined)) !== undefined) {
      throw new FirmwareError('outputs/exists', `${path} is not a directory`, {
        cure: 'choose another directory',
      });
    }
    throw error;
  }
  const marked = new Set([MARKER, ...(await markedFiles(path, title))]);
  const foreign = present.find((name) => !marked.has(name) && !name.startsWith(RESERVED));
  if (foreign !== undefined) {
    throw new FirmwareError(
      'outputs/exists',
      `${path} has a file "${foreign}" that viommu-topo did not write`,
      { cure: 'choose another directory, or empty it' },
    );
  }
  const [here, parent, working] = await Promise.all([
    stat(path),
    stat(dirname(path)),
    stat('.').catch(() => undefined),
  ]);
  const same = (other: { dev: number; ino: number } | undefined): boolean =>
    other?.dev === here.dev && other.ino === here.ino;
  // A shell whose directory is renamed away stands in a deleted one; a mount point cannot be.
  const movable = here.dev === parent.dev && !same(parent) && !same(working);
  return { path, exists: true, movable, mode: here.mode & 0o7777, ours: present };
}

/** The directory that a symbolic link leads to; any other path as it is. */
async function followLink(path: string): Promise<string> {
  const there = await lstat(path).catch(() => undefined);
  if (there?.isSymbolicLink() !== true) return path;
  try {
    return await realpath(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    throw new FirmwareError('outputs/unwritable', `${path} is a link that leads nowhere`, {
      cure: 'remove the link, or make the directory that it names',
    });
  }
}

async function markedFiles(path: string, title: string): Promise<string[]> {
  try {
    const [first, ...names] = (await readFile(join(path, MARKER), 'utf8')).split('\n');
    return first === title ? names : [];
  } catch {
    return [];
  }
}

/**
 * Makes the folders above `path` that are missing, and returns them, outermost first.
 *
 * One by one: a recursive `mkdir` of Node never ends where the system answers "no such file" to
 * every attempt, as it does below `/proc`.
 */
export async function makeParents(path: string): Promise<readonly string[]> {
  const missing: string[] = [];
  for (let at = dirname(path); !(await isThere(at)); at = dirname(at)) missing.unshift(at);
  const made: string[] = [];
  try {
    for (const one of missing) {
      await mkdir(one).catch((error: unknown) => {
        // Another run may have made it by now.
        if (codeOf(error) !== 'EEXIST') throw error;
      });
      made.push(one);
    }
  } catch (error) {
    for (const one of made.toReversed()) await rmdir(one).catch(() => undefined);
    throw error;
  }
  return made;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
