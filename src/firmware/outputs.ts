import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { FirmwareError } from './error.ts';

/** Names the files of a directory that we wrote, so that we may replace it and nobody else's. */
export const MARKER = '.viommu-topo';

const MARKER_TITLE = 'written by viommu-topo; these files are replaced as a whole:';

/**
 * Writes a directory of outputs that appears whole or not at all.
 *
 * The files are staged in a directory beside `dir` and renamed into place. An existing `dir` is
 * replaced only when it is empty or holds nothing but what an earlier call wrote.
 * @throws FirmwareError `outputs/exists` when there is something else in `dir`, `outputs/name`
 * for a file name that would leave it; errors of the file system as they come.
 */
export async function writeOutputs(
  dir: string,
  files: ReadonlyMap<string, Uint8Array | string>,
): Promise<void> {
  const target = resolve(dir);
  for (const name of files.keys()) checkName(name);
  const exists = await refuseForeign(target);
  const stamp = `${process.pid}-${randomBytes(4).toString('hex')}`;
  const staged = join(dirname(target), `.${basename(target)}.new-${stamp}`);
  const retired = join(dirname(target), `.${basename(target)}.old-${stamp}`);
  await mkdir(staged, { recursive: true });
  try {
    for (const [name, content] of files) {
      await writeFile(join(staged, name), content, { mode: name.endsWith('.sh') ? 0o755 : 0o644 });
    }
    const names = [...files.keys()].toSorted((a, b) => (a < b ? -1 : 1));
    await writeFile(join(staged, MARKER), `${[MARKER_TITLE, ...names].join('\n')}\n`);
    if (exists) await rename(target, retired);
    try {
      await rename(staged, target);
    } catch (error) {
      if (exists) await rename(retired, target);
      throw error;
    }
  } finally {
    await rm(staged, { recursive: true, force: true });
  }
  await rm(retired, { recursive: true, force: true });
}

function checkName(name: string): void {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) return;
  throw new FirmwareError(
    'outputs/name',
    `${JSON.stringify(name)} cannot be the name of an output`,
  );
}

/** Whether `target` exists; throws when it may not be replaced. */
async function refuseForeign(target: string): Promise<boolean> {
  let present: string[];
  try {
    present = await readdir(target);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    if (error instanceof Error && 'code' in error && error.code === 'ENOTDIR') {
      throw new FirmwareError('outputs/exists', `${target} is not a directory`);
    }
    throw error;
  }
  if (present.length === 0) return true;
  const ours = new Set([MARKER, ...(await markedFiles(target))]);
  const foreign = present.find((name) => !ours.has(name));
  if (foreign !== undefined) {
    const what = `${target} has a file "${foreign}" that viommu-topo did not write`;
    throw new FirmwareError('outputs/exists', `${what}; choose another directory, or empty it`);
  }
  return true;
}

async function markedFiles(target: string): Promise<string[]> {
  try {
    const [title, ...names] = (await readFile(join(target, MARKER), 'utf8')).split('\n');
    return title === MARKER_TITLE ? names : [];
  } catch {
    return [];
  }
}
