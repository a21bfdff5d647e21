import { customGuest, fetchGuest, type Guest } from '../../../guest/index.ts';
import { stockSeries } from '../../../qemu/index.ts';
import type { KernelVersion, Model } from '../../../topology/index.ts';
import { kernelVersion } from '../../arguments.ts';
import type { Io } from '../../io.ts';
import type { Progress } from '../../progress.ts';
import type { BootOptions } from './options.ts';

/** The guests of one command: each is fetched once, however many topologies boot it. */
export class Guests {
  readonly #io: Io;
  readonly #options: BootOptions;
  readonly #made = new Map<string, Promise<Guest>>();

  constructor(io: Io, options: BootOptions) {
    this.#io = io;
    this.#options = options;
  }

  of(model: Model, progress: Progress): Promise<Guest> {
    const arch = model.arch === 'arm64' ? 'arm64' : 'amd64';
    const { kernel, modules } = this.#options;
    const series = this.#options.series ?? stockSeries(model.guest.kernel);
    const key = `${arch} ${series}`;
    const fetch = {
      signal: this.#io.signal,
      onProgress: (line: string) => progress.stage(`guest: ${line}`),
    };
    const made =
      this.#made.get(key) ??
      (kernel !== undefined && modules !== undefined
        ? customGuest({ arch, kernel, modules, fetch })
        : fetchGuest(arch, { ...fetch, series }));
    this.#made.set(key, made);
    return made;
  }
}

/** The kernel that the rules judge for, as far as the options tell. */
export function chosenKernel({ series, modules }: BootOptions): KernelVersion | undefined {
  if (series !== undefined) return kernelVersion(series);
  // A kernel of the user's own is judged by its name, where that tells the version.
  const named = /(\d+\.\d+)[^/]*$/.exec(modules ?? '')?.[1];
  return named === undefined ? undefined : kernelVersion(named);
}
