import { availableParallelism } from 'node:os';
import { sizeOf } from '../../../bytes/index.ts';
import type { Boot } from './boots.ts';

/** What a boot takes beside the guest's RAM: Node or QEMU, the kernel, the initramfs. */
const OVERHEAD = 256n << 20n;
/** The rest of the machine is to live on. */
const SHARE = 0.8;

/** How many boots to run at once: one a core, as far as their memory goes. */
export function defaultJobs(
  boots: readonly Boot[],
  cores: number = availableParallelism(),
  memory: number = process.availableMemory(),
): number {
  const largest = boots.reduce((most, boot) => {
    const need = memoryOf(boot);
    return need > most ? need : most;
  }, OVERHEAD);
  const fitting = Math.floor((memory * SHARE) / Number(largest));
  return Math.max(1, Math.min(cores, fitting, boots.length));
}

function memoryOf({ model }: Boot): bigint {
  return model.memory.reduce((sum, range) => sum + sizeOf(range), OVERHEAD);
}

/**
 * Starts tasks in their order, so many at once. The first error ends it:
 * nothing more is started, `stop` is called, and the rest is waited for.
 */
export async function inParallel<T>(
  items: readonly T[],
  jobs: number,
  task: (item: T, index: number) => Promise<void>,
  stop: () => void,
): Promise<void> {
  let next = 0;
  let failed: { readonly error: unknown } | undefined;
  const lane = async (): Promise<void> => {
    while (failed === undefined) {
      const index = next++;
      const item = items[index];
      if (item === undefined) return;
      try {
        await task(item, index);
      } catch (error) {
        if (failed !== undefined) return;
        failed = { error };
        stop();
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, items.length) }, lane));
  if (failed !== undefined) throw failed.error;
}
