import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Makes a directory with all that are missing above it, and is content when it is there.
 *
 * One by one: a recursive `mkdir` of Node never ends where the system answers "no such file" to
 * every attempt, as it does below `/proc`.
 * @param mode of those that are made
 * @throws what the file system says: EEXIST when something else is there, EACCES, ENOENT, …
 */
export function makeDirectories(path: string, mode = 0o777): void {
  const missing: string[] = [];
  for (let at = resolve(path); !isThere(at); at = dirname(at)) missing.unshift(at);
  for (const one of missing) makeOne(one, mode);
  // What is there may be no directory.
  if (missing.length === 0) makeOne(resolve(path), mode);
}

function makeOne(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    // It was there, or another run has made it by now.
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) throw error;
  }
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined || dirname(path) === path;
}
