import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** The first of some paths below `dir` that leads to something. */
export async function firstPath(
  dir: string,
  paths: readonly string[],
): Promise<string | undefined> {
  for (const path of paths) {
    if ((await stat(join(dir, path)).catch(() => undefined)) !== undefined) return join(dir, path);
  }
  return undefined;
}

/** What programs need that are run from an unpacked tree; the rest of it is documentation. */
const KEPT: Readonly<Record<string, readonly string[]>> = {
  '.': ['usr', 'lib', 'lib64', 'bin'],
  usr: ['bin', 'lib', 'lib64', 'share'],
  'usr/share': ['qemu', 'seabios', 'qemu-efi-aarch64', 'ovmf'],
};

/** Removes what nothing that is run from `root` will look at. */
export async function trimUnpacked(root: string): Promise<void> {
  for (const [dir, kept] of Object.entries(KEPT)) {
    for (const name of await readdir(join(root, dir)).catch(() => [])) {
      if (!kept.includes(name)) await rm(join(root, dir, name), { recursive: true, force: true });
    }
  }
}
