import { randomBytes } from 'node:crypto';
import { chmod, mkdir, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { FirmwareError } from './error.ts';
import { asOutputError } from './output-error.ts';
import { makeParents, MARKER, RESERVED, surveyTarget, type Target } from './output-target.ts';

export { MARKER } from './output-target.ts';

/** First line of {@link MARKER}; the names of the files follow, one on each line. */
const TITLE = 'written by viommu-topo; these files are replaced as a whole:';

export interface OutputOptions {
  /**
   * Files that the outputs make when they are used (a script's disk images). They are ours as the
   * outputs are: the next call takes them away, since they belong to what it replaces.
   */
  readonly products?: readonly string[];
}

/**
 * Writes a directory of outputs that appears whole or not at all.
 *
 * The files are staged in a directory beside `dir`, which then takes its place. Where `dir` is a
 * symbolic link, the directory it leads to is replaced. Where a directory cannot be renamed (it is
 * somebody's working directory, a mount point, or in a folder that may not be written), its files
 * are replaced one by one instead, each whole. An existing `dir` is replaced only when it is empty
 * or holds nothing but what an earlier call wrote.
 * @throws FirmwareError `outputs/exists` when there is something else in `dir`, `outputs/name`
 * for a file name that would leave it, `outputs/unwritable` and `outputs/no-space` for what the
 * file system refuses; nothing is left behind then.
 */
export async function writeOutputs(
  dir: string,
  files: ReadonlyMap<string, Uint8Array | string>,
  options: OutputOptions = {},
): Promise<void> {
  const products = options.products ?? [];
  for (const name of [...files.keys(), ...products]) checkName(name);
  const whole = new Map(files);
  const names = [...new Set([...files.keys(), ...products])].toSorted((a, b) => (a < b ? -1 : 1));
  whole.set(MARKER, `${[TITLE, ...names].join('\n')}\n`);
  let made: readonly string[] = [];
  try {
    const target = await surveyTarget(dir, TITLE);
    made = await makeParents(target.path);
    const replaced = target.movable && (await replaceDirectory(target, whole));
    if (!replaced) await replaceFiles(target, whole);
  } catch (error) {
    for (const one of made.toReversed()) await rmdir(one).catch(() => undefined);
    throw asOutputError(error, dir);
  }
}

function checkName(name: string): void {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) return;
  throw new FirmwareError(
    'outputs/name',
    `${JSON.stringify(name)} cannot be the name of an output`,
  );
}

function stamp(): string {
  return `${process.pid}-${randomBytes(4).toString('hex')}`;
}

async function stage(
  staged: string,
  files: ReadonlyMap<string, Uint8Array | string>,
): Promise<void> {
  for (const [name, content] of files) {
    await writeFile(join(staged, name), content, { mode: name.endsWith('.sh') ? 0o755 : 0o644 });
  }
}

/** What renaming a directory answers when only its files can be replaced. */
const IMMOVABLE: ReadonlySet<unknown> = new Set(['EBUSY', 'EXDEV', 'EACCES', 'EPERM', 'EROFS']);

/** Whether a new directory took the place of the old one; false when that cannot be done here. */
async function replaceDirectory(
  target: Target,
  files: ReadonlyMap<string, Uint8Array | string>,
): Promise<boolean> {
  const beside = join(dirname(target.path), `.${basename(target.path)}`);
  const staged = `${beside}.new-${stamp()}`;
  const retired = `${beside}.old-${stamp()}`;
  try {
    await mkdir(staged);
  } catch (error) {
    if (target.exists && IMMOVABLE.has(codeOf(error))) return false;
    throw error;
  }
  try {
    await stage(staged, files);
    if (target.mode !== undefined) await chmod(staged, target.mode);
    if (target.exists) {
      try {
        await rename(target.path, retired);
      } catch (error) {
        if (IMMOVABLE.has(codeOf(error))) return false;
        throw error;
      }
    }
    try {
      await rename(staged, target.path);
    } catch (error) {
      if (target.exists) await rename(retired, target.path);
      throw error;
    }
  } finally {
    await rm(staged, { recursive: true, force: true });
  }
  await rm(retired, { recursive: true, force: true });
  return true;
}

/**
 * Replaces the files of a directory that stays. All are written before the first is renamed, so a
 * full disk changes nothing; the marker names old and new files until the old ones are gone.
 */
async function replaceFiles(
  target: Target,
  files: ReadonlyMap<string, Uint8Array | string>,
): Promise<void> {
  const staged = join(target.path, `${RESERVED}new-${stamp()}`);
  await mkdir(staged);
  try {
    await stage(staged, files);
    const both = [...new Set([...files.keys(), ...target.ours])].filter((name) => name !== MARKER);
    await writeFile(join(staged, '.both'), `${[TITLE, ...both].join('\n')}\n`);
    await rename(join(staged, '.both'), join(target.path, MARKER));
    for (const name of files.keys()) {
      if (name !== MARKER) await rename(join(staged, name), join(target.path, name));
    }
    const old = target.ours.filter((name) => !files.has(name));
    for (const name of old) await rm(join(target.path, name), { recursive: true, force: true });
    await rename(join(staged, MARKER), join(target.path, MARKER));
  } finally {
    await rm(staged, { recursive: true, force: true });
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
