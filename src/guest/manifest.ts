import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { sha256File } from './apt.ts';

/** Debian's names of the architectures a guest can have. */
export type GuestArch = 'arm64' | 'amd64';

/** `manifest.json` of a cached guest; written last, so that a directory with one is whole. */
export interface GuestManifest {
  readonly format: 1;
  readonly arch: GuestArch;
  readonly release: string;
  /** sha256 of files that a damaged disk or a curious hand must not change unseen. */
  readonly files: { readonly vmlinuz: string; readonly 'bin/busybox': string };
  readonly packages: readonly {
    readonly package: string;
    readonly version: string;
    readonly sha256: string;
  }[];
}

const sha256 = z.string().regex(/^[0-9a-f]{64}$/u);
const schema = z.object({
  format: z.literal(1),
  arch: z.enum(['arm64', 'amd64']),
  release: z.string().min(1),
  files: z.object({ vmlinuz: sha256, 'bin/busybox': sha256 }),
  packages: z.array(z.object({ package: z.string(), version: z.string(), sha256 })),
});

/** The manifest in `home`, or undefined when it is absent, odd, or does not fit the files. */
export async function readManifest(home: string): Promise<GuestManifest | undefined> {
  try {
    const manifest = schema.parse(JSON.parse(await readFile(join(home, 'manifest.json'), 'utf8')));
    for (const [name, hash] of Object.entries(manifest.files))
      if ((await sha256File(join(home, name))) !== hash) return undefined;
    return manifest;
  } catch {
    return undefined;
  }
}
