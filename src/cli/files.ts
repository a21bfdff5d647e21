import { existsSync, statSync, writeFileSync, type Stats } from 'node:fs';
import { asOutputError } from '../firmware/index.ts';
import { readBounded } from '../topology/index.ts';
import { InputError } from './exit.ts';

/** Firmware is never larger: a device tree that a kernel accepts has at most 2 MiB. */
const FIRMWARE_MAX = 64 << 20;

/**
 * Reads a firmware file.
 * @throws InputError with the reason, and a cure, when that cannot be done
 */
export function readFirmwareFile(file: string): Uint8Array {
  const read = readBounded(file, FIRMWARE_MAX);
  if (read.kind === 'bytes') return read.bytes;
  if (read.kind === 'too-large') {
    throw new InputError(
      `${file} is larger than ${FIRMWARE_MAX >> 20} MiB; no firmware table is that large`,
      'name a device tree or an ACPI table',
    );
  }
  throw new InputError(
    `cannot read ${file}: ${read.reason}`,
    read.code === 'EACCES' ? 'name a file that you may read' : 'name an existing, regular file',
  );
}

/**
 * A result must not take the place of what it is made from.
 * @throws InputError when `output` is one of `inputs`, by whatever name
 */
export function refuseInput(output: string | undefined, inputs: readonly string[]): void {
  const there = output === undefined ? undefined : statOf(output);
  if (output === undefined || there?.isFile() !== true) return;
  for (const input of inputs) {
    const read = statOf(input);
    if (read?.dev !== there.dev || read.ino !== there.ino) continue;
    throw new InputError(`${output} is read, and would be overwritten`, 'name another file');
  }
}

/**
 * Directories, and named pipes: one that nobody writes to would be waited for, and no signal ends
 * that in Node.
 * @throws InputError
 */
export function refuseUnending(file: string): void {
  const there = statOf(file);
  const isPipe = there?.isFIFO() === true && !/^\/(?:dev|proc)\//u.test(file);
  if (!isPipe && there?.isDirectory() !== true) return;
  throw new InputError(
    `cannot read ${file}: it is a ${isPipe ? 'pipe' : 'directory'}`,
    'name a file, or /dev/stdin',
  );
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

/** Writes a result where the user wants it; what the file system refuses is a `FirmwareError`. */
export function writeResult(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw asOutputError(error, file);
  }
}

/**
 * Writes a file that is the user's from then on. Without `force` it is exclusive: nothing that is there,
 * or comes into being meanwhile, is written over.
 * @throws InputError when the file is there; `FirmwareError` for what the file system refuses
 */
export function writeNew(file: string, text: string, force: boolean): void {
  if (!force && existsSync(file)) {
    throw new InputError(`${file} is there already`, 'name another file, or give --force');
  }
  try {
    writeFileSync(file, text, { flag: force ? 'w' : 'wx' });
  } catch (error) {
    throw asOutputError(error, file);
  }
}
