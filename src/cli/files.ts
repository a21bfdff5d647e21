import { writeFileSync } from 'node:fs';
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

/** Writes a result where the user wants it; what the file system refuses is a `FirmwareError`. */
export function writeResult(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw asOutputError(error, file);
  }
}
