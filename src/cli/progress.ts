import type { Io } from './io.ts';

/** Milliseconds between two drawings of the line. */
const INTERVAL = 200;
const FRAMES = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏';

/**
 * One line that says what is going on: redrawn in place on a terminal, one plain line for each new
 * stage elsewhere (a CI log).
 */
export class Progress {
  readonly #io: Io;
  readonly #quiet: boolean;
  readonly #started = Date.now();
  #stage = '';
  #timer: NodeJS.Timeout | undefined;
  #frame = 0;

  constructor(io: Io, quiet = false) {
    this.#io = io;
    this.#quiet = quiet;
  }

  stage(text: string): void {
    if (this.#quiet || text === this.#stage) return;
    this.#stage = text;
    if (!this.#io.interactive) {
      this.#io.err(`${this.#elapsed()} ${text}\n`);
      return;
    }
    this.#timer ??= setInterval(() => this.#draw(), INTERVAL).unref();
    this.#draw();
  }

  /** Removes the line; may be called twice. */
  end(): void {
    clearInterval(this.#timer);
    if (this.#timer) this.#io.err('\r\u001b[K');
    this.#timer = undefined;
  }

  #draw(): void {
    this.#frame = (this.#frame + 1) % FRAMES.length;
    // Never more than a line of a narrow terminal, or redrawing would scroll.
    const text = `${FRAMES[this.#frame] ?? ''} ${this.#elapsed()} ${this.#stage}`.slice(0, 78);
    this.#io.err(`\r\u001b[K${text}`);
  }

  #elapsed(): string {
    return `${((Date.now() - this.#started) / 1000).toFixed(1).padStart(5)} s`;
  }
}
