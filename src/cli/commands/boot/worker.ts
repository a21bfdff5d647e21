import { bootAndJudge } from '../../../backends/index.ts';
import { ModuleTree } from '../../../guest/index.ts';
import { BACKENDS } from './backends.ts';
import { hooksThrough, sendError, type BootResult, type BootTask } from './task.ts';

/** Modules that an earlier boot of this worker unpacked, by directory. */
const trees = new Map<string, Promise<ModuleTree>>();

/** A boot in a worker thread; it ends early when the thread is ended. */
export default async function bootInWorker(task: BootTask): Promise<BootResult> {
  const { boot, options, guest, port, hears } = task;
  try {
    const modules = trees.get(guest.modulesDir) ?? ModuleTree.open(guest.modulesDir);
    trees.set(guest.modulesDir, modules);
    const parts = { options, boot, guest: () => Promise.resolve(guest), modules: await modules };
    const backend = await BACKENDS[boot.backend](parts);
    const { model, firmware } = boot;
    const input = { model, firmware, timeLimit: options.timeout, seed: options.seed };
    return { verdict: await bootAndJudge(backend, input, hooksThrough(port, hears)) };
  } catch (error) {
    return { error: sendError(error) };
  } finally {
    port.close();
  }
}
