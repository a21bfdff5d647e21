import type { BootHooks } from '../../../scenario/index.ts';
import type { Io } from '../../io.ts';
import { Progress } from '../../progress.ts';
import type { Boot } from './boots.ts';

/**
 * What is said while guests boot. One at a time: each stage. Several at once: how many are done, and
 * on a terminal where the others are.
 */
export class BootProgress {
  readonly #io: Io;
  readonly #quiet: boolean;
  readonly #total: number;
  readonly #alone: boolean;
  #progress: Progress;
  #done = 0;
  readonly #stages = new Map<Boot, string>();

  constructor(io: Io, quiet: boolean, total: number, jobs: number) {
    this.#io = io;
    this.#quiet = quiet;
    this.#total = total;
    this.#alone = jobs === 1;
    this.#progress = new Progress(io, quiet);
  }

  start(boot: Boot): Pick<BootHooks, 'progress'> {
    const { name } = boot.model;
    // Alone, a boot has the clock for itself.
    if (this.#alone) this.#progress = new Progress(this.#io, this.#quiet);
    this.#stages.set(boot, name);
    return {
      progress: (stage) => {
        // Words that were on their way when the boot ended.
        if (!this.#stages.has(boot)) return;
        this.#stages.set(boot, `${name}: ${stage}`);
        this.#show();
      },
    };
  }

  finish(boot: Boot): void {
    this.#stages.delete(boot);
    this.#done++;
    if (this.#alone) return;
    if (this.#io.interactive) this.#show();
    else this.#progress.stage(`${this.#done} of ${this.#total} done: ${boot.model.name}`);
  }

  clear(): void {
    this.#progress.end();
  }

  #show(): void {
    const stages = [...this.#stages.values()].join('; ');
    if (this.#alone) this.#progress.stage(stages);
    else if (this.#io.interactive) {
      this.#progress.stage(`${this.#done} of ${this.#total} done; ${stages}`);
    }
  }
}
