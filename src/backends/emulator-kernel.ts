import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

import { FormatError } from '../bytes/index.ts';
import { readImage } from '../emulator/index.ts';
import { EnvironmentError } from '../guest/index.ts';

/** An `Image` is some 50 MB; one that unpacks to more is none. */
const KERNEL_MAX = 512 * 2 ** 20;
const GZIP = [0x1f, 0x8b] as const;
/** What other files begin with that people take for a kernel. */
const STRANGERS: readonly {
  readonly what: string;
  readonly at: number;
  readonly text: string;
}[] = [
  { what: 'an x86 kernel', at: 0x202, text: 'HdrS' },
  { what: 'an ELF file such as vmlinux', at: 0, text: '\u007fELF' },
  { what: 'an EFI zboot image, compressed', at: 4, text: 'zimg' },
];

/**
 * The kernel's uncompressed `Image`; one that gzip packed is unpacked.
 *
 * @throws EnvironmentError `env/kernel-unsuitable` for what the emulator cannot start
 */
export async function readKernel(path: string): Promise<Uint8Array> {
  const file = await readFile(path);
  const bytes = await unpacked(path, file);
  try {
    readImage(bytes);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    const stranger = STRANGERS.find(({ at, text }) => {
      return Buffer.from(bytes.subarray(at, at + text.length)).toString('latin1') === text;
    });
    const what = stranger === undefined ? cause.message : `it is ${stranger.what}`;
    throw unsuitable(path, what, cause);
  }
  return bytes;
}

async function unpacked(path: string, file: Uint8Array): Promise<Uint8Array> {
  if (!GZIP.every((byte, at) => file[at] === byte)) return file;
  return promisify(gunzip)(file, { maxOutputLength: KERNEL_MAX }).catch((cause: unknown) => {
    throw unsuitable(path, cause instanceof Error ? cause.message : String(cause), cause);
  });
}

function unsuitable(path: string, what: string, cause: unknown): EnvironmentError {
  return new EnvironmentError(
    'env/kernel-unsuitable',
    `The emulator cannot start the kernel ${path}: ${what}`,
    'Name an arm64 Image for pages of 4 KiB, such as arch/arm64/boot/Image or Debian’s vmlinuz.',
    { cause },
  );
}
