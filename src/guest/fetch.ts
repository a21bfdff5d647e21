import { mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { type AptPackage, withApt } from './apt.ts';
import { assemble, firstOf, unusable } from './assemble.ts';
import { cacheDirectory, cacheSubdirectory, withLock } from './cache.ts';
import { EnvironmentError } from './environment.ts';
import { readManifest, type GuestArch } from './manifest.ts';

/** A kernel to boot, its modules, and the userspace for the init script. */
export interface Guest {
  readonly arch: GuestArch;
  /** Boot image: `Image` on arm64, `bzImage` on amd64. */
  readonly kernel: string;
  readonly kernelSha256: string;
  /** `uname -r`: `6.12.95+deb12-arm64`. */
  readonly release: string;
  /** Has `modules.builtin` and `kernel/`. */
  readonly modulesDir: string;
  /** Statically linked, of the guest's architecture. */
  readonly busybox: string;
  /** Directory with klibc's `sh`, `insmod` … and its `lib/klibc-*.so`; for CPUs without FP. */
  readonly klibc?: string;
  /** The Debian packages all this came from; none for the kernel of `customGuest`. */
  readonly packages: readonly {
    readonly package: string;
    readonly version: string;
    readonly sha256: string;
  }[];
}

/** Which stock kernel, and where it is kept. */
export interface FetchOptions {
  /** Default: {@link cacheDirectory}. */
  readonly cache?: string;
  /**
   * Kernel series; default `6.12`, the one all measurements were made with. `7.3+` is the first
   * suite's kernel that is 7.3 or newer.
   */
  readonly series?: string;
  /** Suites to look for the kernel in, the first that has the series wins. */
  readonly suites?: readonly string[];
  /** Looks for newer packages although the cache has some. */
  readonly refresh?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((line: string) => void) | undefined;
}

export const DEFAULT_SERIES = '6.12';
/** Debian 6.1 (bookworm itself) has VIRTIO_IOMMU switched off; each later suite has it. */
const KERNEL_SUITES = ['bookworm-backports', 'trixie', 'trixie-backports', 'sid'] as const;
const USERSPACE_SUITES = ['bookworm', 'trixie', 'sid'] as const;
const USERSPACE = ['busybox-static', 'klibc-utils', 'libklibc'] as const;

/** The directory of a stock guest below the cache's `guests`; `boot.sh` looks there, too. */
export function guestName(arch: GuestArch, series: string): string {
  return `${arch}-${series}`;
}

/**
 * A stock Debian guest, from the cache or fetched into it.
 *
 * Needs no root and installs nothing. Runs at the same time are safe: the guest's directory
 * appears whole, by one rename. Throws {@link EnvironmentError}.
 */
export async function fetchGuest(arch: GuestArch, options: FetchOptions = {}): Promise<Guest> {
  const cache = options.cache ?? cacheDirectory();
  const series = options.series ?? DEFAULT_SERIES;
  const suites = options.suites ?? KERNEL_SUITES;
  const root = await cacheSubdirectory(cache, 'guests');
  const named = options.suites === undefined ? '' : `-${options.suites.join('+')}`;
  const home = join(root, `${guestName(arch, series)}${named}`);
  const cached = options.refresh === true ? undefined : await load(home);
  if (cached !== undefined) return cached;
  return withLock(`${home}.lock`, async () => {
    // Another run may have fetched it while this one waited.
    const other = options.refresh === true ? undefined : await load(home);
    if (other !== undefined) return other;
    const work = await mkdtemp(join(root, `.${arch}-`));
    try {
      const request = { ...options, cache, arch };
      const kernel = await fetchKernel(request, suites, series);
      const userspace = await fetchUserspace(request);
      options.onProgress?.('unpacking');
      await assemble(work, arch, kernel, userspace, options.signal);
      await replace(work, home);
      // 100 MB that are never read again.
      for (const one of kernel) await rm(one.path, { force: true });
    } finally {
      await rm(work, { recursive: true, force: true });
    }
    const made = await load(home);
    if (made === undefined) throw unusable(home);
    return made;
  });
}

/** Every whole guest in the cache, by the name of its directory, such as `arm64-6.12`. */
export async function cachedGuests(cache = cacheDirectory()): Promise<ReadonlyMap<string, Guest>> {
  const root = join(cache, 'guests');
  const names = await readdir(root).catch(() => []);
  const guests = new Map<string, Guest>();
  for (const name of names.toSorted((a, b) => a.localeCompare(b))) {
    const guest = name.startsWith('.') ? undefined : await load(join(root, name));
    if (guest !== undefined) guests.set(name, guest);
  }
  return guests;
}

type Request = FetchOptions & { readonly cache: string; readonly arch: GuestArch };

/** The meta package names the newest kernel; what it depends on is the kernel itself. */
async function fetchKernel(
  request: Request,
  suites: readonly string[],
  series: string,
): Promise<AptPackage[]> {
  const meta = `linux-image-${request.arch}`;
  const seen: string[] = [];
  for (const suite of suites) {
    const found = await inSuite(request, suite, seen, async (apt) => {
      const [record] = await apt.show([meta]);
      const name = new RegExp(`linux-image-[^ ,]*-${request.arch}\\b`, 'u').exec(
        record?.depends ?? '',
      )?.[0];
      if (record === undefined || name === undefined || !inSeries(record.version, series)) {
        seen.push(`${suite}: ${record?.version ?? 'none'}`);
        return undefined;
      }
      const [image] = await apt.show([name]);
      // From 7.x on the image package is empty, and its parts have names of their own.
      const parts = (image?.depends ?? '').matchAll(/linux-(?:base|binary|modules)-[^ ,]+/gu);
      return apt.download([name, ...Array.from(parts, ([part]) => part)]);
    });
    if (found !== undefined) return found;
  }
  throw new EnvironmentError(
    'env/package-missing',
    `No suite has ${meta} of series ${series} (${seen.join('; ')})`,
    'Choose another series or suite, or use --kernel PATH --modules DIR.',
  );
}

/** Whether a package's version belongs to `6.12`, or to `6.12+`: that or newer. */
export function inSeries(version: string, series: string): boolean {
  const numbers = (text: string): readonly [number, number] => {
    const [, major, minor] = /^(\d+)\.(\d+)/u.exec(text) ?? [];
    return [Number(major ?? 0), Number(minor ?? 0)];
  };
  const [major, minor] = numbers(version);
  const [wantedMajor, wantedMinor] = numbers(series);
  if (major === wantedMajor && minor === wantedMinor) return true;
  if (!series.endsWith('+')) return false;
  return major > wantedMajor || (major === wantedMajor && minor > wantedMinor);
}

async function fetchUserspace(request: Request): Promise<AptPackage[]> {
  const seen: string[] = [];
  for (const suite of USERSPACE_SUITES) {
    const found = await inSuite(request, suite, seen, (apt) => apt.download(USERSPACE));
    if (found !== undefined) return found;
  }
  throw new EnvironmentError(
    'env/package-missing',
    `No suite has ${USERSPACE.join(', ')} (${seen.join('; ')})`,
    'Name a mirror of Debian: VIOMMU_TOPO_MIRROR=URI.',
  );
}

/** Asks one suite; a suite that the mirror does not carry is noted, not fatal. */
async function inSuite<T>(
  request: Request,
  suite: string,
  seen: string[],
  work: Parameters<typeof withApt<T>>[1],
): Promise<T | undefined> {
  try {
    return await withApt({ ...request, suites: [suite] }, work);
  } catch (error) {
    const soft = error instanceof EnvironmentError && error.code === 'env/mirror-unreachable';
    if (!soft || request.signal?.aborted === true) throw error;
    seen.push(`${suite}: ${error.message}`);
    return undefined;
  }
}

/** Puts `work` in the place of `home`; a half-written guest is never seen. */
async function replace(work: string, home: string): Promise<void> {
  const old = `${home}.old-${process.pid}`;
  await rename(home, old).catch(() => undefined);
  await rename(work, home);
  await rm(old, { recursive: true, force: true });
}

async function load(home: string): Promise<Guest | undefined> {
  const manifest = await readManifest(home);
  if (manifest === undefined) return undefined;
  const klibc = await firstOf(home, ['klibc']);
  return {
    arch: manifest.arch,
    kernel: join(home, 'vmlinuz'),
    kernelSha256: manifest.files.vmlinuz,
    release: manifest.release,
    modulesDir: join(home, 'modules'),
    busybox: join(home, 'bin/busybox'),
    ...(klibc === undefined ? {} : { klibc }),
    packages: manifest.packages,
  };
}
