import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { execa } from 'execa';

import { elfOf, type RandomProgram } from './a64-random.ts';

/** What the program writes under `qemu-aarch64` (Debian package qemu-user). */
export async function runOnQemu(program: RandomProgram): Promise<Uint8Array> {
  const directory = await mkdtemp(join(tmpdir(), 'viommu-topo-a64-'));
  try {
    const path = join(directory, 'program');
    await writeFile(path, elfOf(program.image));
    await chmod(path, 0o755);
    const { stdout } = await execa('qemu-aarch64', [path], {
      encoding: 'buffer',
      stripFinalNewline: false,
      maxBuffer: 1 << 28,
      timeout: 60_000,
    });
    return stdout;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
