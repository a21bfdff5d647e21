import { FormatError } from '../bytes/index.ts';
import { inspect, type Inspection } from '../firmware/index.ts';
import { ACPI_TABLE_HEADER } from '../spec/acpi.ts';
import { FDT_MAGIC } from '../spec/fdt.ts';
import type { Diagnostic, FilePlace } from '../topology/index.ts';
import { InputError } from './exit.ts';
import { readFirmwareFile } from './files.ts';

/** What a firmware file says, or why it says nothing. */
export type FirmwareRead =
  { readonly inspection: Inspection } | { readonly problem: Diagnostic } | { readonly text: true };

/** Reads a file that is firmware, or a topology by another name than `*.yaml` (`text`). */
export function readFirmware(file: string): FirmwareRead {
  try {
    const bytes = readFirmwareFile(file);
    if (!/\.(?:dtb|aml)$/i.test(file) && isText(bytes)) return { text: true };
    return { inspection: inspect(bytes, file) };
  } catch (error) {
    const problem = problemOf(error, file);
    if (problem === undefined) throw error;
    return { problem };
  }
}

/** A diagnostic for a file that cannot be read, or is damaged; undefined for any other error. */
function problemOf(error: unknown, file: string): Diagnostic | undefined {
  if (error instanceof InputError) {
    const place: FilePlace = { kind: 'file', file };
    return unchecked('file-unreadable', place, error.message, error.cure);
  }
  if (!(error instanceof FormatError)) return undefined;
  const place: FilePlace = { kind: 'file', file, offset: error.offset };
  const cure =
    error.code === 'inspect/unknown-format'
      ? 'name a device tree (.dtb), an ACPI table (.aml) or a topology (.yaml)'
      : 'take the file from its source again; a change by hand may have cut or shifted it';
  return unchecked(error.code, place, error.message, cure);
}

function unchecked(
  rule: string,
  place: FilePlace,
  message: string,
  cure: string | undefined,
): Diagnostic {
  return {
    rule,
    severity: 'error',
    place,
    message,
    effect: 'nothing in this file is checked',
    ...(cure === undefined ? {} : { cure }),
    related: [],
  };
}

/** Bytes that no device tree and no ACPI table begins with, and that a topology may. */
function isText(bytes: Uint8Array): boolean {
  const head = bytes.subarray(0, ACPI_TABLE_HEADER.size);
  if (head.length >= 4 && new DataView(head.buffer, head.byteOffset).getUint32(0) === FDT_MAGIC) {
    return false;
  }
  return head.every((byte) => byte >= 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d);
}
