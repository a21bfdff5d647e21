import { mkdir, mkdtemp, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { type AptPackage, sha256File, unpackDeb, withApt } from './apt.ts';
import { cacheDirectory, cacheSubdirectory, withLock, writeWhole } from './cache.ts';
import { EnvironmentError } from './environment.ts';
import { readManifest, type GuestArch, type GuestManifest } from './manifest.ts';
import { ModuleTree } from './modules.ts';

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
  /** The Debian packages all this came from; none for the kernel of {@link customGuest}. */
  readonly packages: readonly {
    readonly package: string;
    readonly version: string;
    readonly sha256: string;
  }[];
}

export interface FetchOptions {
  /** Default: {@link cacheDirectory}. */
  readonly cache?: string;
  /** Kernel series; default `6.12`, the one all measurements were made with. */
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
  const home = join(root, `${arch}-${series}${named}`);
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
      await rm(kernel.path, { force: true });
    } finally {
      await rm(work, { recursive: true, force: true });
    }
    const made = await load(home);
    if (made === undefined) throw unusable(home);
    return made;
  });
}

/** A guest with a kernel of the user's own; only busybox is Debian's, unless one is given. */
export async function customGuest(options: {
  readonly arch: GuestArch;
  readonly kernel: string;
  readonly modules: string;
  readonly busybox?: string;
  readonly fetch?: FetchOptions;
}): Promise<Guest> {
  const { arch } = options;
  const modulesDir = await findModules(resolve(options.modules));
  const tree = await ModuleTree.open(modulesDir);
  await requireDriver(tree, options.kernel);
  const kernelSha256 = await sha256File(options.kernel).catch((cause: unknown) => {
    throw new EnvironmentError(
      'env/kernel-unsuitable',
      `Cannot read the kernel ${options.kernel}`,
      'Name a boot image: --kernel /boot/vmlinuz-VERSION.',
      { cause },
    );
  });
  const release =
    tree.where('virtio_iommu') === 'module'
      ? ((await tree.read('virtio_iommu')).info.vermagic.split(' ')[0] ?? '')
      : modulesDir.slice(modulesDir.lastIndexOf('/') + 1);
  const userspace =
    options.busybox === undefined ? await fetchGuest(arch, options.fetch) : undefined;
  return {
    arch,
    kernel: resolve(options.kernel),
    kernelSha256,
    release,
    modulesDir,
    busybox: resolve(options.busybox ?? userspace?.busybox ?? ''),
    ...(userspace?.klibc === undefined ? {} : { klibc: userspace.klibc }),
    packages: (userspace?.packages ?? []).filter((one) => !one.package.startsWith('linux-image')),
  };
}

type Request = FetchOptions & { readonly cache: string; readonly arch: GuestArch };

/** The meta package names the newest kernel; what it depends on is the kernel itself. */
async function fetchKernel(
  request: Request,
  suites: readonly string[],
  series: string,
): Promise<AptPackage> {
  const meta = `linux-image-${request.arch}`;
  const seen: string[] = [];
  for (const suite of suites) {
    const found = await inSuite(request, suite, seen, async (apt) => {
      const [record] = await apt.show([meta]);
      const name = new RegExp(`linux-image-[^ ,]*-${request.arch}\\b`, 'u').exec(
        record?.depends ?? '',
      )?.[0];
      if (record === undefined || name === undefined || !record.version.startsWith(`${series}.`)) {
        seen.push(`${suite}: ${record?.version ?? 'none'}`);
        return undefined;
      }
      return (await apt.download([name]))[0];
    });
    if (found !== undefined) return found;
  }
  throw new EnvironmentError(
    'env/package-missing',
    `No suite has ${meta} of series ${series} (${seen.join('; ')})`,
    'Choose another series or suite, or use --kernel PATH --modules DIR.',
  );
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

/** Unpacks into `work` and keeps what a boot needs. */
async function assemble(
  work: string,
  arch: GuestArch,
  kernel: AptPackage,
  userspace: readonly AptPackage[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const unpacked = join(work, 'unpacked');
  await unpackDeb(kernel.path, unpacked, signal);
  const boot = join(unpacked, 'boot');
  const image = (await readdir(boot)).find((name) => name.startsWith('vmlinuz-'));
  if (image === undefined) throw unusable(kernel.path);
  const release = image.slice('vmlinuz-'.length);
  await rename(join(boot, image), join(work, 'vmlinuz'));
  await rename(join(boot, `config-${release}`), join(work, 'config'));
  await rename(await findModules(unpacked), join(work, 'modules'));
  const config = await readFile(join(work, 'config'), 'utf8');
  if (!/^CONFIG_VIRTIO_IOMMU=[my]$/mu.test(config)) {
    throw new EnvironmentError(
      'env/kernel-unsuitable',
      `${kernel.package} ${kernel.version} is built without CONFIG_VIRTIO_IOMMU`,
      'Choose a kernel of 6.12 or newer; Debian 6.1 has the driver switched off.',
    );
  }
  await requireDriver(await ModuleTree.open(join(work, 'modules')), kernel.package);
  const programs = join(work, 'userspace');
  for (const one of userspace) await unpackDeb(one.path, programs, signal);
  await mkdir(join(work, 'bin'));
  const busybox = (await firstOf(programs, ['bin/busybox', 'usr/bin/busybox'])) ?? '';
  await rename(busybox, join(work, 'bin/busybox'));
  const klibc = await findKlibc(programs);
  if (klibc !== undefined) {
    await rename(klibc.bin, join(work, 'klibc'));
    await rename(klibc.lib, join(work, 'klibc', klibc.lib.slice(klibc.lib.lastIndexOf('/') + 1)));
  }
  await rm(unpacked, { recursive: true, force: true });
  await rm(programs, { recursive: true, force: true });
  const manifest: GuestManifest = {
    format: 1,
    arch,
    release,
    files: {
      vmlinuz: await sha256File(join(work, 'vmlinuz')),
      'bin/busybox': await sha256File(join(work, 'bin/busybox')),
    },
    packages: [kernel, ...userspace].map(({ package: name, version, sha256 }) => ({
      package: name,
      version,
      sha256,
    })),
  };
  await writeWhole(join(work, 'manifest.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

async function requireDriver(tree: ModuleTree, kernel: string): Promise<void> {
  if (tree.where('virtio_iommu') !== 'absent') return;
  throw new EnvironmentError(
    'env/kernel-unsuitable',
    `${kernel} has no virtio_iommu driver: not in ${tree.dir}, not built in`,
    'Choose a kernel of 6.12 or newer with CONFIG_VIRTIO_IOMMU=m.',
  );
}

/** `dir` itself, or the one directory in its `lib/modules` or `usr/lib/modules`. */
async function findModules(dir: string): Promise<string> {
  if ((await firstOf(dir, ['kernel', 'modules.builtin'])) !== undefined) return dir;
  for (const parent of ['lib/modules', 'usr/lib/modules', '.']) {
    const names = await readdir(join(dir, parent)).catch(() => []);
    for (const name of names.sort()) {
      const inner = join(dir, parent, name);
      if ((await firstOf(inner, ['kernel', 'modules.builtin'])) !== undefined) return inner;
    }
  }
  throw new EnvironmentError(
    'env/module-missing',
    `${dir} holds no kernel modules`,
    'Name the directory of one kernel, as in --modules /lib/modules/VERSION.',
  );
}

async function findKlibc(dir: string): Promise<{ bin: string; lib: string } | undefined> {
  const bin = await firstOf(dir, ['usr/lib/klibc/bin']);
  for (const parent of ['lib', 'usr/lib']) {
    const names = await readdir(join(dir, parent)).catch(() => []);
    const name = names.find((entry) => /^klibc-.*\.so$/u.test(entry));
    if (bin !== undefined && name !== undefined) return { bin, lib: join(dir, parent, name) };
  }
  return undefined;
}

async function firstOf(dir: string, paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    if ((await stat(join(dir, path)).catch(() => undefined)) !== undefined) return join(dir, path);
  }
  return undefined;
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

function unusable(path: string): EnvironmentError {
  return new EnvironmentError(
    'env/cache-unusable',
    `${path} does not hold what a guest needs`,
    `Remove it and fetch again: rm -r ${dirname(path)}`,
  );
}
