import { mkdir, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { type AptPackage, sha256File, unpackDeb } from './apt.ts';
import { writeWhole } from './cache.ts';
import { EnvironmentError } from './environment.ts';
import type { GuestArch, GuestManifest } from './manifest.ts';
import { ModuleTree } from './modules.ts';

/** Unpacks into `work` and keeps what a boot needs. */
export async function assemble(
  work: string,
  arch: GuestArch,
  kernel: readonly AptPackage[],
  userspace: readonly AptPackage[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const unpacked = join(work, 'unpacked');
  for (const one of kernel) await unpackDeb(one.path, unpacked, signal);
  const names = kernel.map((one) => `${one.package} ${one.version}`).join(', ');
  const files = await kernelFiles(unpacked);
  if (files === undefined) throw unusable(kernel[0]?.path ?? unpacked);
  const { release } = files;
  await rename(files.image, join(work, 'vmlinuz'));
  await rename(files.config, join(work, 'config'));
  await rename(await findModules(unpacked), join(work, 'modules'));
  const config = await readFile(join(work, 'config'), 'utf8');
  if (!/^CONFIG_VIRTIO_IOMMU=[my]$/mu.test(config)) {
    throw new EnvironmentError(
      'env/kernel-unsuitable',
      `${names} is built without CONFIG_VIRTIO_IOMMU`,
      'Choose a kernel of 6.12 or newer; Debian 6.1 has the driver switched off.',
    );
  }
  await requireDriver(await ModuleTree.open(join(work, 'modules')), names);
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
    packages: [...kernel, ...userspace].map(({ package: name, version, sha256 }) => ({
      package: name,
      version,
      sha256,
    })),
  };
  await writeWhole(join(work, 'manifest.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

/**
 * Debian up to 6.12 has one package with everything in `/boot`; from 7.x on the kernel is split, and
 * its image and configuration lie beside its modules.
 */
async function kernelFiles(
  unpacked: string,
): Promise<{ release: string; image: string; config: string } | undefined> {
  const boot = join(unpacked, 'boot');
  const inBoot = (await readdir(boot).catch(() => [])).find((name) => name.startsWith('vmlinuz-'));
  if (inBoot !== undefined) {
    const release = inBoot.slice('vmlinuz-'.length);
    return { release, image: join(boot, inBoot), config: join(boot, `config-${release}`) };
  }
  const modules = join(unpacked, 'usr/lib/modules');
  for (const release of await readdir(modules).catch(() => [])) {
    const image = await firstOf(join(modules, release), ['vmlinuz']);
    const config = await firstOf(join(modules, release), ['config']);
    if (image !== undefined && config !== undefined) return { release, image, config };
  }
  return undefined;
}

export async function requireDriver(tree: ModuleTree, kernel: string): Promise<void> {
  if (tree.where('virtio_iommu') !== 'absent') return;
  throw new EnvironmentError(
    'env/kernel-unsuitable',
    `${kernel} has no virtio_iommu driver: not in ${tree.dir}, not built in`,
    'Choose a kernel of 6.12 or newer with CONFIG_VIRTIO_IOMMU=m.',
  );
}

/** `dir` itself, or the one directory in its `lib/modules` or `usr/lib/modules`. */
export async function findModules(dir: string): Promise<string> {
  if ((await firstOf(dir, ['kernel', 'modules.builtin'])) !== undefined) return dir;
  for (const parent of ['lib/modules', 'usr/lib/modules', '.']) {
    const names = await readdir(join(dir, parent)).catch(() => []);
    for (const name of names.toSorted((a, b) => a.localeCompare(b))) {
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

export async function firstOf(dir: string, paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    if ((await stat(join(dir, path)).catch(() => undefined)) !== undefined) return join(dir, path);
  }
  return undefined;
}

/** The cache holds something else than it should. */
export function unusable(path: string): EnvironmentError {
  return new EnvironmentError(
    'env/cache-unusable',
    `${path} does not hold what a guest needs`,
    `Remove it and fetch again: rm -r ${dirname(path)}`,
  );
}
