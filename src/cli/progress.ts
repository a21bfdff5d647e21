import { printable } from '../report/index.ts';
import type { Io } from './io.ts';

/** Milliseconds between two drawings of the line. */
const INTERVAL = 200;
/** Milliseconds of silence in a log, after which the stage is said again: CI ends what says nothing. */
const HEARTBEAT = 60_000;
const FRAMES = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏';
/** Columns used on a wide terminal, and on one that does not tell its width. */
const COLUMNS = 78;

/**
 * One line that says what is going on: redrawn in place on a terminal, one plain line for each new
 * stage elsewhere (a CI log). It knows no colours, so `NO_COLOR` has nothing to change.
 */
export class Progress {
  readonly #io: Io;
  readonly #quiet: boolean;
  readonly #started = Date.now();
  #stage = '';
  #timer: NodeJS.Timeout | undefined;
  #frame = 0;
  #tenth = '';

  constructor(io: Io, quiet = false) {
    this.#io = io;
    this.#quiet = quiet;
  }

  /** What is being done now; words of a guest or of another program are made harmless. */
  stage(text: string): void {
    if (this.#quiet || text === this.#stage) return;
    this.#stage = text;
    if (!this.#io.interactive) {
      this.#say();
      return;
    }
    this.#timer ??= setInterval(() => this.#draw(), INTERVAL).unref();
    this.#draw();
  }

  /** The same for work that is counted: the line moves; a log gets one line for each tenth. */
  count(text: string, done: number, total: number): void {
    const share = total > 0 ? Math.min(1, done / total) : 1;
    const tenth = `${text} ${Math.floor(share * 10)}`;
    const shown = `${text} ${Math.floor(share * 100)} % of ${total.toLocaleString('en')}`;
    if (this.#io.interactive || this.#quiet) {
      this.stage(shown);
    } else if (tenth !== this.#tenth) {
      this.#tenth = tenth;
      this.stage(shown);
    }
  }

  /** Removes the line; may be called twice. */
  end(): void {
    clearInterval(this.#timer);
    if (this.#timer && this.#io.interactive) this.#io.err('\r\u001b[K');
    this.#timer = undefined;
    // The same stage, begun again after something was printed, is said again.
    this.#stage = '';
  }

  #say(): void {
    this.#io.err(`${this.#elapsed()} ${printable(this.#stage)}\n`);
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#say(), HEARTBEAT).unref();
  }

  #draw(): void {
    this.#frame = (this.#frame + 1) % FRAMES.length;
    const text = `${FRAMES[this.#frame] ?? ''} ${this.#elapsed()} ${printable(this.#stage)}`;
    // Never more than a line, or redrawing would scroll.
    const columns = Math.min(COLUMNS, (this.#io.columns?.() ?? COLUMNS + 1) - 1);
    this.#io.err(`\r\u001b[K${text.slice(0, Math.max(1, columns))}`);
  }

  #elapsed(): string {
    return `${((Date.now() - this.#started) / 1000).toFixed(1).padStart(5)} s`;
  }
}
