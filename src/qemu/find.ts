import { statSync } from 'node:fs';
import { execa } from 'execa';

import { EnvironmentError } from '../guest/index.ts';
import { onPath } from './guard.ts';
import {
  OLDEST_QEMU,
  parseQemuVersion,
  qemuAtLeast,
  showQemuVersion,
  type QemuVersion,
} from './version.ts';

/** Architectures a QEMU system emulator can be found for; as in a topology's model. */
export type QemuArch = 'arm64' | 'x86-64';

/** A QEMU that was found and answered. */
export interface QemuProgram {
  readonly path: string;
  readonly arch: QemuArch;
  readonly version: QemuVersion;
  /** First line of `--version`, for verdicts. */
  readonly banner: string;
}

const NAMES: Readonly<Record<QemuArch, { program: string; package: string }>> = {
  arm64: { program: 'qemu-system-aarch64', package: 'qemu-system-arm' },
  'x86-64': { program: 'qemu-system-x86_64', package: 'qemu-system-x86' },
};

const found = new Map<string, Promise<QemuProgram>>();

/**
 * The QEMU for an architecture: `path` when given, otherwise the one on PATH.
 *
 * Throws `EnvironmentError`: `env/program-missing` with the command that installs it,
 * `env/program-failed` when it is no QEMU or older than 7.2. Cached for each file as it is now.
 */
export function findQemu(arch: QemuArch, path?: string): Promise<QemuProgram> {
  const { program, package: name } = NAMES[arch];
  const file = path ?? onPath(program);
  if (file === undefined) {
    throw new EnvironmentError(
      'env/program-missing',
      `${program} is not on PATH`,
      `Install it: sudo apt-get install --no-install-recommends ${name}`,
    );
  }
  const key = `${arch} ${fileKey(file)}`;
  const known = found.get(key);
  if (known !== undefined) return known;
  const asked = ask(file, arch, program);
  found.set(key, asked);
  // A failure may be mended while we run (a long-lived caller): ask again next time.
  asked.catch(() => found.delete(key));
  return asked;
}

/** A file's identity as far as caches care: path, size and time of last change. */
export function fileKey(path: string): string {
  try {
    const { size, mtimeMs, ino } = statSync(path);
    return `${path}:${ino}:${size}:${mtimeMs}`;
  } catch {
    return path;
  }
}

async function ask(path: string, arch: QemuArch, program: string): Promise<QemuProgram> {
  const result = await execa(path, ['--version'], {
    reject: false,
    timeout: 20_000,
    stdin: 'ignore',
  });
  const banner = (result.stdout ?? '').split('\n')[0] ?? '';
  const version = parseQemuVersion(banner);
  if (version === undefined) {
    throw new EnvironmentError(
      'env/program-failed',
      `${path} --version did not answer as QEMU does (exit code ${String(result.exitCode)})`,
      `Check the path; it must be a ${program} of ${showQemuVersion(OLDEST_QEMU)} or newer.`,
    );
  }
  if (!qemuAtLeast(version, OLDEST_QEMU.major, OLDEST_QEMU.minor)) {
    throw new EnvironmentError(
      'env/program-failed',
      `${path} is QEMU ${showQemuVersion(version)}, which is too old`,
      `Install QEMU ${OLDEST_QEMU.major}.${OLDEST_QEMU.minor} or newer.`,
    );
  }
  return { path, arch, version, banner };
}
