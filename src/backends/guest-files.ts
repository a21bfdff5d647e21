import { vfioProgram } from '../guest/index.ts';
import type { Model } from '../topology/index.ts';
import { userspaceEndpoints } from './userspace.ts';

/** Programs that a topology's checks need in the guest, by path. Throws `EnvironmentError`. */
export async function guestFiles(
  model: Model,
  signal?: AbortSignal,
): Promise<Map<string, { readonly data: Uint8Array; readonly mode: number }>> {
  const files = new Map<string, { data: Uint8Array; mode: number }>();
  if (userspaceEndpoints(model).length > 0) {
    const arch = model.arch === 'arm64' ? 'arm64' : 'amd64';
    files.set('bin/vfio-dma', { data: await vfioProgram(arch, { signal }), mode: 0o755 });
  }
  return files;
}
