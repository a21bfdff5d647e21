import { cacheDirectory, EnvironmentError } from '../guest/index.ts';
import { cachedQemu } from './fetch.ts';
import { findQemu, type QemuArch, type QemuProgram } from './find.ts';
import { VFIO_USER_QEMU } from './version.ts';
import { VFIO_USER_DEVICE, vfioUserLack } from './vfio-user-lack.ts';

export interface VfioUserQemuOptions {
  /** A program of the user's choice; it is taken or refused, no other is looked for. */
  readonly path?: string;
  /** Default: the user's cache. */
  readonly cache?: string;
}

/**
 * A QEMU that can be a client of vfio-user: `path` when given, else the one on PATH when it is new
 * enough and built with the device, else the one that `viommu-topo qemu fetch` brought.
 *
 * Throws `EnvironmentError`: `env/program-missing`, with what was found instead and the command that
 * mends it.
 */
export async function findVfioUserQemu(
  arch: QemuArch,
  options: VfioUserQemuOptions = {},
): Promise<QemuProgram> {
  const seen: string[] = [];
  const candidates = [
    async (): Promise<QemuProgram | undefined> => findQemu(arch, options.path),
    async (): Promise<QemuProgram | undefined> => {
      if (options.path !== undefined) return undefined;
      const path = await cachedQemu(arch, options.cache ?? cacheDirectory());
      return path === undefined ? undefined : findQemu(arch, path);
    },
  ];
  for (const candidate of candidates) {
    const found = await candidate().catch((error: unknown) => {
      if (!(error instanceof EnvironmentError)) throw error;
      seen.push(error.message);
      return undefined;
    });
    if (found === undefined) continue;
    const lack = await vfioUserLack(found);
    if (lack === undefined) return found;
    seen.push(lack);
  }
  const { major, minor } = VFIO_USER_QEMU;
  throw new EnvironmentError(
    'env/program-missing',
    `No QEMU with ${VFIO_USER_DEVICE} for ${arch}: ${seen.join('; ')}. QEMU has it from ${major}.${minor} on`,
    options.path === undefined
      ? 'Bring a newer one into the cache, without installing anything: viommu-topo qemu fetch'
      : 'Name another program, or leave --qemu out and run: viommu-topo qemu fetch',
  );
}
