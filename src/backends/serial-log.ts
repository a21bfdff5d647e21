import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { threadId } from 'node:worker_threads';

import { makeDirectories } from '../bytes/index.ts';
import { EnvironmentError } from '../guest/index.ts';
import type { Model } from '../topology/index.ts';

let made = 0;

/** A name for a serial log that no other boot has, of this process or of another one. */
export function serialLogFor(model: Model): string {
  const name = model.name.replaceAll(/[^A-Za-z0-9._-]/gu, '_').slice(0, 80);
  const unique = [
    process.pid,
    ...(threadId === 0 ? [] : [threadId]),
    ...(made === 0 ? [] : [made]),
  ];
  made++;
  return join(tmpdir(), `viommu-topo-${name}-${unique.join('-')}.log`);
}

/**
 * Writes a guest's console to `path`, or to a file of the temporary directory; returns the path.
 * @throws EnvironmentError
 */
export async function keepSerialLog(
  model: Model,
  path: string | undefined,
  text: string,
  flag: 'w' | 'a' = 'w',
): Promise<string> {
  const file = path ?? serialLogFor(model);
  try {
    makeDirectories(dirname(file));
    await writeFile(file, text, { flag });
  } catch (cause) {
    throw new EnvironmentError(
      'env/temporary-unusable',
      `the guest's console cannot be kept in ${file}: ${String(cause)}`,
      'point TMPDIR at a directory that you can write to, and that has room',
      { cause },
    );
  }
  return file;
}
