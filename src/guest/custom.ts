import { basename, resolve } from 'node:path';

import { sha256File } from './apt.ts';
import { findModules, requireDriver } from './assemble.ts';
import { EnvironmentError } from './environment.ts';
import { type FetchOptions, type Guest, fetchGuest } from './fetch.ts';
import type { GuestArch } from './manifest.ts';
import { ModuleTree } from './modules.ts';

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
      : basename(modulesDir);
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
