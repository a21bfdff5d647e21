import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { InputError } from './exit.ts';

/** Firmware is never larger: a device tree that a kernel accepts has at most 2 MiB. */
const FIRMWARE_MAX = 64 << 20;

/** Reads a firmware file, with the reason and a cure when that cannot be done. */
export function readFirmwareFile(file: string): Uint8Array {
  let handle: number;
  try {
    handle = openSync(file, 'r');
  } catch (error) {
    throw new InputError(`cannot read ${file}: ${reason(error)}`, 'check the path', {
      cause: error,
    });
  }
  try {
    const stat = fstatSync(handle);
    if (stat.isDirectory()) throw new InputError(`${file} is a directory`, 'name a file in it');
    if (stat.size > FIRMWARE_MAX) {
      throw new InputError(`${file} has ${stat.size} bytes; no firmware table is that large`);
    }
    const bytes = new Uint8Array(stat.size);
    let at = 0;
    while (at < bytes.length) {
      const count = readSync(handle, bytes, at, bytes.length - at, at);
      if (count === 0) break;
      at += count;
    }
    return bytes.subarray(0, at);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`cannot read ${file}: ${reason(error)}`, undefined, { cause: error });
  } finally {
    closeSync(handle);
  }
}

/** What the operating system said, without the call's arguments. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code;
  const words: Record<string, string> = {
    ENOENT: 'no such file',
    EACCES: 'permission denied',
    EISDIR: 'it is a directory',
    ENOTDIR: 'a part of the path is not a directory',
  };
  return (code && words[code]) ?? error.message;
}
