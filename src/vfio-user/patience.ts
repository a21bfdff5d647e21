/** Milliseconds that are looked for more to do before sleeping. */
const LOOK = 0.2;
/** Milliseconds between two looks that only another program on our core explains. */
const STOLEN = 1;
/** Milliseconds without looking after that: at first, and at most. */
const PAUSE_MIN = 10;
const PAUSE_MAX = 320;
/** Milliseconds that an answer of whether there is a core to spare is believed. */
const BELIEVED = 1;
/** Milliseconds after which whoever called gets a turn, however much there is to do. */
const TURN = 5;

/**
 * Whether to look for more to do for a moment, or to sleep until somebody wakes us.
 *
 * A guest's driver that asks for a mapping waits in a loop. If its server sleeps, every MAP costs the
 * time until it is woken, which is several times that of the work. But where others want the core, a
 * thread that looks loses it just when it is needed, and one that sleeps gets it at once when woken:
 * so a look that was interrupted ends looking, for longer each time.
 */
export class Patience {
  readonly #spare: () => boolean;
  readonly #now: () => number;
  /** When to stop looking: nothing found, and whatever was found. */
  #until = 0;
  #end = 0;
  #last = 0;
  #pause = PAUSE_MIN;
  #pausedUntil = 0;
  #asked = -Infinity;
  #isSpare = false;

  /**
   * @param spare whether the machine has a core to spare now
   * @param now a clock of milliseconds
   */
  constructor(spare: () => boolean, now: () => number = () => performance.now()) {
    this.#spare = spare;
    this.#now = now;
  }

  /** There was something to do. Whether to look for more. */
  begin(): boolean {
    const now = this.#now();
    if (now < this.#pausedUntil) return false;
    if (now - this.#asked > BELIEVED) {
      this.#asked = now;
      this.#isSpare = this.#spare();
    }
    this.#last = now;
    this.#until = now + LOOK;
    this.#end = now + TURN;
    return this.#isSpare;
  }

  /** After a look: whether to look again. */
  goesOn(found: boolean): boolean {
    const now = this.#now();
    const gap = now - this.#last;
    this.#last = now;
    if (gap > STOLEN) {
      this.#pausedUntil = now + this.#pause;
      this.#pause = Math.min(2 * this.#pause, PAUSE_MAX);
      return false;
    }
    if (found) this.#until = now + LOOK;
    if (now < this.#end) return now < this.#until;
    // A whole turn without interruption.
    this.#pause = Math.max(this.#pause / 2, PAUSE_MIN);
    return false;
  }
}
