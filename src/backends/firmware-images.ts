import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { readTableHeader } from '../acpi/index.ts';
import type { Firmware } from '../firmware/index.ts';
import type { FirmwareImages } from '../scenario/index.ts';

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
 * Throws `RangeError` when the directory has none of them.
 */
export async function imagesFrom(directory: string): Promise<FirmwareImages> {
  const tree = await readIfThere(join(directory, 'topology.dtb'));
  const tables = new Map<string, Uint8Array>();
  for (const name of ['viot', 'iort', 'mcfg']) {
    const bytes = await readIfThere(join(directory, `${name}.aml`));
    if (bytes !== undefined) tables.set(name.toUpperCase(), bytes);
  }
  if (tree === undefined && tables.size === 0) {
    throw new RangeError(
      `${directory} has neither topology.dtb nor viot.aml: write them with viommu-topo build -o`,
    );
  }
  return { ...(tree === undefined ? {} : { tree }), tables, origin: directory };
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    const bytes = await readFile(path);
    if (bytes.length > IMAGE_MAX) throw new RangeError(`${path} is larger than 64 MiB`);
    return bytes;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
