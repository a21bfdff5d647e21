import { join } from 'node:path';

import { readTableHeader } from '../acpi/index.ts';
import { FormatError } from '../bytes/index.ts';
import { readFdt } from '../fdt/index.ts';
import type { Firmware } from '../firmware/index.ts';
import type { FirmwareImages } from '../scenario/index.ts';
import { ACPI_TABLE_HEADER } from '../spec/acpi.ts';
import { readBounded } from '../topology/index.ts';

/** More than this is no firmware of a topology; QEMU takes no tree above 1 MiB anyway. */
const IMAGE_MAX = 64 * 1024 * 1024;

/** The firmware that was built from a model, as a backend takes it. */
export function builtImages(firmware: Firmware, origin: string): FirmwareImages {
  const tables = new Map<string, Uint8Array>();
  for (const bytes of [firmware.viot, firmware.iort, firmware.mcfg]) {
    if (bytes !== undefined) tables.set(readTableHeader(bytes).signature, bytes);
  }
  return { ...(firmware.dtb === undefined ? {} : { tree: firmware.dtb }), tables, origin };
}

/**
 * Firmware edited by hand: what `build -o DIR` wrote, changed. `topology.dtb`, `viot.aml`,
 * `iort.aml`, `mcfg.aml`, each as far as it is there; a table goes by its file's name, since its
 * bytes may be damaged on purpose.
 *
 * Throws `RangeError` when the directory has none of them, when one cannot be read, and when no
 * guest could begin to read it: a tree without a whole structure, a table without a whole header.
 */
export function imagesFrom(directory: string): FirmwareImages {
  const tree = readIfThere(join(directory, 'topology.dtb'), requireTree);
  const tables = new Map<string, Uint8Array>();
  for (const name of ['viot', 'iort', 'mcfg']) {
    const bytes = readIfThere(join(directory, `${name}.aml`), requireHeader);
    if (bytes !== undefined) tables.set(name.toUpperCase(), bytes);
  }
  if (tree === undefined && tables.size === 0) {
    throw new RangeError(
      `${directory} has neither topology.dtb nor viot.aml: write them with viommu-topo build -o`,
    );
  }
  return { ...(tree === undefined ? {} : { tree }), tables, origin: directory };
}

function readIfThere(path: string, check: (bytes: Uint8Array) => void): Uint8Array | undefined {
  const read = readBounded(path, IMAGE_MAX);
  if (read.kind === 'unreadable' && read.code === 'ENOENT') return undefined;
  if (read.kind === 'unreadable') throw new RangeError(`cannot read ${path}: ${read.reason}`);
  if (read.kind === 'too-large') throw new RangeError(`${path} is larger than 64 MiB`);
  try {
    check(read.bytes);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new RangeError(`${path}: ${error.message} [${error.code}]`, { cause: error });
  }
  return read.bytes;
}

/** What makes a blob unreadable for everybody; anything else is for the guest to find wrong. */
const NO_TREE: ReadonlySet<string> = new Set([
  'fdt/magic',
  'fdt/version',
  'fdt/truncated',
  'fdt/unbalanced',
  'fdt/bad-token',
]);

function requireTree(bytes: Uint8Array): void {
  try {
    readFdt(bytes);
  } catch (error) {
    if (!(error instanceof FormatError) || NO_TREE.has(error.code)) throw error;
  }
}

function requireHeader(bytes: Uint8Array): void {
  if (bytes.length >= ACPI_TABLE_HEADER.size) return;
  const what = `an ACPI table has a header of ${ACPI_TABLE_HEADER.size} bytes`;
  throw new FormatError('acpi/truncated', bytes.length, `${what}, this file ${bytes.length}`);
}
