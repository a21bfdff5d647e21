/** Nothing sleeps longer in one piece: setTimeout's limit is some 24 days, and a day is long enough. */
const SLEEP_MAX_MS = 86_400_000;

/**
 * What a machine that does not sleep may miss between two looks at the clock, in nanoseconds. Turns
 * are some milliseconds; more is a host that stopped us, and time that no guest could have used.
 */
const STALL_MAX = 1_000_000_000n;

/** The wall clock for a machine that is to run in real time, and a way to wake it. */
export class RealTime {
  /** Whether somebody may still wake the machine: then a sleep without a timer is no hang. */
  readonly open: boolean;
  readonly #clock: () => bigint;
  #origin: bigint | undefined;
  /** The clock when it was looked at last. */
  #last = 0n;
  #wake: (() => void) | undefined;
  #woken = false;

  constructor(options: { readonly open?: boolean; readonly clock?: () => bigint } = {}) {
    this.open = options.open ?? false;
    this.#clock = options.clock ?? ((): bigint => process.hrtime.bigint());
  }

  /**
   * Nanoseconds since it was first asked, without those that the host kept from us: after a leap of
   * half a minute a kernel finds that it hung.
   */
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
    // The sleep is no stall; what comes after its end may be one.
    const time = this.#clock();
    const end = until === undefined ? time : (this.#origin ?? time) + until;
    this.#last = time < end ? time : end > this.#last ? end : this.#last;
  }

  /** Apart from `now`, which may be listened to: nothing that the guest sees depends on it. */
  #now(): bigint {
    const time = this.#clock();
    if (this.#origin === undefined) {
      this.#origin = time;
      this.#last = time;
    }
    const stall = time - this.#last - STALL_MAX;
    if (stall > 0n) this.#origin += stall;
    this.#last = time;
    return time - this.#origin;
  }
}
