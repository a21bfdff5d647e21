import type { MachineEvent } from '../machine/index.ts';

/** Events in one batch. */
const BATCH = 512;
/** Batches that may be on their way: what is beyond waits here. */
const ON_THE_WAY = 32;
/** Events that wait; more are lost, and counted. */
const WAITING_MAX = 65_536;
/** Milliseconds that an event may wait for others. */
const PATIENCE = 20;

/**
 * Machine events on their way to another thread, in batches. A thread that is too slow loses events
 * and is told how many, instead of filling the memory.
 */
export class Outbox {
  readonly #post: (events: readonly MachineEvent[], lost: number) => void;
  /** Batches that were taken. */
  readonly #taken: () => number;
  readonly #now: () => number;
  #waiting: MachineEvent[] = [];
  #lost = 0;
  #sent = 0;
  #since = 0;

  constructor(
    post: (events: readonly MachineEvent[], lost: number) => void,
    taken: () => number,
    now: () => number = () => performance.now(),
  ) {
    this.#post = post;
    this.#taken = taken;
    this.#now = now;
  }

  add(event: MachineEvent): void {
    if (this.#waiting.length === 0) this.#since = this.#now();
    if (this.#waiting.length < WAITING_MAX) this.#waiting.push(event);
    else this.#lost++;
  }

  /** Milliseconds until `flush` has something to do; undefined: not before the next event. */
  get patience(): number | undefined {
    return this.#waiting.length === 0 ? undefined : PATIENCE;
  }

  /** Sends what is due. */
  flush(all = false): void {
    const due = all || this.#waiting.length >= BATCH || this.#now() - this.#since >= PATIENCE;
    if (!due) return;
    const most = all ? Infinity : ON_THE_WAY;
    while (this.#waiting.length > 0 && this.#sent - this.#taken() < most) {
      this.#post(this.#waiting.slice(0, BATCH), this.#lost);
      this.#waiting = this.#waiting.slice(BATCH);
      this.#lost = 0;
      this.#sent++;
    }
  }
}
