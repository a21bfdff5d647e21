import { extname } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import { Tinypool } from 'tinypool';
import type { Guest } from '../../../guest/index.ts';
import type { BootHooks, Verdict } from '../../../scenario/index.ts';
import type { Boot } from './boots.ts';
import type { BootOptions } from './options.ts';
import { hear, receiveError, type BootResult, type BootTask, type Told } from './task.ts';

/** Worker threads that boot on the emulator, which keeps a core busy. They live as long as the pool. */
export class BootPool {
  readonly #pool: Tinypool;
  readonly #options: BootOptions;

  constructor(jobs: number, options: BootOptions) {
    const extension = extname(import.meta.url);
    this.#options = options;
    this.#pool = new Tinypool({
      filename: new URL(`./worker${extension}`, import.meta.url).href,
      minThreads: jobs,
      maxThreads: jobs,
      isolateWorkers: false,
      // From the sources, a thread needs what its process has: something that reads TypeScript.
      ...(extension === '.ts' ? { execArgv: ['--import', 'jiti/register'] } : {}),
    });
  }

  /**
   * @throws EnvironmentError, FormatError as the boot does; an Error that names the file when the boot
   * or its worker crashed, and one of the signal's
   */
  async boot(boot: Boot, guest: Guest, hooks: BootHooks, signal: AbortSignal): Promise<Verdict> {
    const { port1, port2 } = new MessageChannel();
    port1.on('message', (told: Told) => hear(hooks, told));
    const task: BootTask = {
      boot,
      options: this.#options,
      guest,
      port: port2,
      hears: {
        console: hooks.console !== undefined,
        event: hooks.event !== undefined,
        observed: hooks.observed !== undefined,
      },
    };
    const options = { transferList: [port2], signal };
    const result = await (this.#pool.run(task, options) as Promise<BootResult>)
      .catch((error: unknown): BootResult => {
        signal.throwIfAborted();
        const why = error instanceof Error ? error.message : String(error);
        throw new Error(`${boot.file}: the worker that booted it crashed: ${why}`, {
          cause: error,
        });
      })
      .finally(() => port1.close());
    if ('error' in result) throw receiveError(result.error, boot.file);
    return result.verdict;
  }

  async end(): Promise<void> {
    await this.#pool.destroy();
  }
}
