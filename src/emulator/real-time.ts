/** Nothing sleeps longer in one piece: setTimeout's limit is some 24 days, and a day is long enough. */
const SLEEP_MAX_MS = 86_400_000;

/** The wall clock for a machine that is to run in real time, and a way to wake it. */
export class RealTime {
  /** Whether somebody may still wake the machine: then a sleep without a timer is no hang. */
  readonly open: boolean;
  readonly #clock: () => bigint;
  #origin: bigint | undefined;
  #wake: (() => void) | undefined;
  #woken = false;

  constructor(options: { readonly open?: boolean; readonly clock?: () => bigint } = {}) {
    this.open = options.open ?? false;
    this.#clock = options.clock ?? ((): bigint => process.hrtime.bigint());
  }

  /** Nanoseconds since it was first asked. */
  now(): bigint {
    return this.#now();
  }

  /** Ends the sleep, or the next one when there is none. */
  wake(): void {
    this.#woken = true;
    this.#wake?.();
  }

  /** Until that time, in the sense of `now`; until `wake` without one; or until the signal. */
  async sleep(until: bigint | undefined, signal?: AbortSignal): Promise<void> {
    const left = until === undefined ? SLEEP_MAX_MS : Number(until - this.#now()) / 1e6;
    if (!this.#woken && left > 0 && signal?.aborted !== true) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', done);
          resolve();
        };
        const timer = setTimeout(done, Math.min(Math.ceil(left), SLEEP_MAX_MS));
        this.#wake = done;
        signal?.addEventListener('abort', done);
      });
    }
    this.#wake = undefined;
    this.#woken = false;
  }

  /** Apart from `now`, which may be listened to: nothing that the guest sees depends on it. */
  #now(): bigint {
    const time = this.#clock();
    this.#origin ??= time;
    return time - this.#origin;
  }
}
