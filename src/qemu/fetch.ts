import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

import { makeDirectories } from '../bytes/index.ts';
import {
  cacheDirectory,
  EnvironmentError,
  unpackDeb,
  withApt,
  withLock,
  writeWhole,
  type AptPackage,
} from '../guest/index.ts';
import type { QemuArch } from './find.ts';
import { findQemu } from './find.ts';
import { shellWord } from './error.ts';
import { firstPath, trimUnpacked } from './unpacked.ts';
import { qemuAtLeast, showQemuVersion, VFIO_USER_QEMU } from './version.ts';
import { vfioUserLack } from './vfio-user-lack.ts';

/** A QEMU in the cache, with the emulators of both architectures. */
export interface FetchedQemu {
  /** `11.1.3`. */
  readonly version: string;
  /** Programs that can be started like an installed QEMU. */
  readonly programs: Readonly<Record<QemuArch, string>>;
  readonly packages: readonly {
    readonly package: string;
    readonly version: string;
    readonly sha256: string;
  }[];
}

export interface FetchQemuOptions {
  /** Default: the user's cache. */
  readonly cache?: string;
  /** Looks for a newer one although the cache has one. */
  readonly refresh?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((line: string) => void) | undefined;
}

/** Suites that are looked in together, the nearest to a stable system first. */
const SUITES: readonly (readonly string[])[] = [['trixie', 'trixie-backports'], ['forky'], ['sid']];
const EMULATORS: Readonly<Record<QemuArch, { package: string; program: string }>> = {
  arm64: { package: 'qemu-system-arm', program: 'qemu-system-aarch64' },
  'x86-64': { package: 'qemu-system-x86', program: 'qemu-system-x86_64' },
};
const PACKAGES = Object.values(EMULATORS).map((emulator) => emulator.package);

/** The host's architecture as Debian calls it, its library directory, and the places of its loader. */
const HOSTS: Readonly<Record<string, { arch: string; triplet: string; loaders: string[] }>> = {
  x64: {
    arch: 'amd64',
    triplet: 'x86_64-linux-gnu',
    loaders: ['usr/lib64/ld-linux-x86-64.so.2', 'lib64/ld-linux-x86-64.so.2'],
  },
  arm64: {
    arch: 'arm64',
    triplet: 'aarch64-linux-gnu',
    loaders: ['usr/lib/ld-linux-aarch64.so.1', 'lib/ld-linux-aarch64.so.1'],
  },
};

const MANIFEST = z.object({
  format: z.literal(1),
  version: z.string(),
  packages: z.array(z.object({ package: z.string(), version: z.string(), sha256: z.string() })),
});

/**
 * A QEMU with a client of vfio-user, from the cache or fetched into it from Debian's packages.
 *
 * Needs no root, installs nothing: the packages are unpacked, with all libraries they need, and
 * run through their own loader. Runs at the same time are safe. Throws {@link EnvironmentError}.
 */
export async function fetchQemu(options: FetchQemuOptions = {}): Promise<FetchedQemu> {
  const home = homeOf(options.cache ?? cacheDirectory());
  const cached = options.refresh === true ? undefined : await load(home);
  if (cached !== undefined) return cached;
  try {
    makeDirectories(home);
  } catch {
    // The lock below says what is wrong with the cache.
  }
  return withLock(`${home}.lock`, async () => {
    // Another run may have fetched it while this one waited.
    const other = options.refresh === true ? undefined : await load(home);
    if (other !== undefined) return other;
    const packages = await fetchPackages(options);
    options.onProgress?.(`unpacking ${packages.length} packages`);
    await installQemu(home, packages, options.signal);
    for (const { path } of packages) await rm(path, { force: true });
    const made = await load(home);
    if (made === undefined) throw unusable(home);
    return made;
  });
}

/** Path of the fetched emulator of an architecture; undefined when none was fetched. */
export async function cachedQemu(arch: QemuArch, cache: string): Promise<string | undefined> {
  return (await load(homeOf(cache)))?.programs[arch];
}

function homeOf(cache: string): string {
  return join(cache, 'qemu');
}

async function fetchPackages(options: FetchQemuOptions): Promise<AptPackage[]> {
  const host = HOSTS[process.arch];
  const { major, minor } = VFIO_USER_QEMU;
  const seen: string[] = [];
  for (const suites of host === undefined ? [] : SUITES) {
    const request = { ...options, suites, arch: host?.arch ?? '' };
    try {
      const found = await withApt(request, async (apt) => {
        const [record] = await apt.show(PACKAGES);
        seen.push(`${suites.join('+')}: ${record?.version ?? 'none'}`);
        return isNewEnough(record?.version) ? apt.downloadAll(PACKAGES) : undefined;
      });
      if (found !== undefined) return found;
    } catch (error) {
      const soft = error instanceof EnvironmentError && error.code === 'env/mirror-unreachable';
      if (!soft || options.signal?.aborted === true) throw error;
      seen.push(`${suites.join('+')}: ${error.message}`);
    }
  }
  throw new EnvironmentError(
    'env/package-missing',
    host === undefined
      ? `Debian's QEMU runs on amd64 and arm64; this host is ${process.arch}`
      : `No suite has a QEMU of ${major}.${minor} or newer (${seen.join('; ')})`,
    `Name a mirror of Debian: VIOMMU_TOPO_MIRROR=URI. Or build QEMU ${major}.${minor} or newer, and name it: --qemu PATH`,
  );
}

/** Whether a package of this version (`1:11.1.3+ds-1`) holds a client of vfio-user. */
export function isNewEnough(version: string | undefined): boolean {
  const [, major = '0', minor = '0'] = /^(?:\d+:)?(\d+)\.(\d+)/u.exec(version ?? '') ?? [];
  const micro = 0;
  const { major: wantedMajor, minor: wantedMinor } = VFIO_USER_QEMU;
  return qemuAtLeast(
    { major: Number(major), minor: Number(minor), micro },
    wantedMajor,
    wantedMinor,
  );
}

/** Unpacks beside the old one, tries the new one out, and puts it in its place. */
export async function installQemu(
  home: string,
  packages: readonly AptPackage[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const before = await rootOf(home);
  for (const name of await readdir(home)) {
    // Of a run that was killed; the lock says that it is not one that works.
    const path = join(home, name);
    if (name.startsWith('root-') && path !== before) await rm(path, { recursive: true });
  }
  const root = await mkdtemp(join(home, 'root-'));
  try {
    for (const { path } of packages) await unpackDeb(path, root, signal);
    await trimUnpacked(root);
    const bin = join(home, 'bin');
    await mkdir(bin, { recursive: true });
    let version = '';
    for (const arch of ['arm64', 'x86-64'] as const) {
      const { program } = EMULATORS[arch];
      const trial = join(root, program);
      await writeWhole(trial, await launcher(root, program));
      await chmod(trial, 0o755);
      const qemu = await findQemu(arch, trial);
      const lack = await vfioUserLack(qemu);
      if (lack !== undefined) throw unusable(home, lack);
      version = showQemuVersion(qemu.version);
    }
    for (const { program } of Object.values(EMULATORS)) {
      await rename(join(root, program), join(bin, program));
    }
    const list = packages.map(({ package: name, version: of, sha256 }) => ({
      package: name,
      version: of,
      sha256,
    }));
    const manifest = { format: 1, version, root, packages: list };
    await writeWhole(join(home, 'manifest.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
    if (before !== undefined) await rm(before, { recursive: true, force: true });
  } catch (error) {
    await rm(root, { recursive: true, force: true });
    throw error;
  }
}

/**
 * A shell script that is a QEMU: its own loader with its own libraries, so that nothing of the
 * host's but the kernel matters. Both `-L` are needed: Debian keeps SeaBIOS apart from QEMU's files.
 */
async function launcher(root: string, program: string): Promise<string> {
  const { triplet = '', loaders = [] } = HOSTS[process.arch] ?? {};
  const loader = await firstPath(root, loaders);
  const file = await firstPath(root, [`usr/bin/${program}`]);
  if (loader === undefined || file === undefined) throw unusable(root);
  const libraries = ['usr/lib', 'lib'].map((dir) => join(root, dir, triplet)).join(':');
  return [
    '#!/bin/sh',
    "# A QEMU of Debian's, not installed. Written by viommu-topo qemu fetch.",
    'unset LD_LIBRARY_PATH LD_PRELOAD',
    `root=${shellWord(root)}`,
    `export QEMU_MODULE_DIR="$root/usr/lib/${triplet}/qemu"`,
    `exec ${shellWord(loader)} --library-path ${shellWord(libraries)} ${shellWord(file)} \\`,
    '  -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "$@"',
    '',
  ].join('\n');
}

async function load(home: string): Promise<FetchedQemu | undefined> {
  try {
    const manifest = MANIFEST.parse(
      JSON.parse(await readFile(join(home, 'manifest.json'), 'utf8')),
    );
    const bin = join(home, 'bin');
    const arm64 = await firstPath(bin, [EMULATORS.arm64.program]);
    const x86 = await firstPath(bin, [EMULATORS['x86-64'].program]);
    if (arm64 === undefined || x86 === undefined || (await rootOf(home)) === undefined) {
      return undefined;
    }
    const { version, packages } = manifest;
    return { version, packages, programs: { arm64, 'x86-64': x86 } };
  } catch {
    return undefined;
  }
}

/** The directory that the programs in `home` run from, when it is there. */
async function rootOf(home: string): Promise<string | undefined> {
  const text = await readFile(join(home, 'manifest.json'), 'utf8').catch(() => '{}');
  const root = z.object({ root: z.string() }).safeParse(JSON.parse(text)).data?.root;
  const found = root === undefined ? undefined : await firstPath(root, ['.']);
  return found === undefined ? undefined : root;
}

function unusable(path: string, why = 'it does not hold what a QEMU needs'): EnvironmentError {
  return new EnvironmentError(
    'env/cache-unusable',
    `${path}: ${why}`,
    `Remove it and fetch again: rm -r ${path}; viommu-topo qemu fetch`,
  );
}
