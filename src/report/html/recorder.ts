import type { DeviceEvent } from '../../scenario/index.ts';

export interface RecorderLimits {
  /** Events kept in full. */
  readonly events?: number;
  /** Faults, attachments and refused requests kept beyond that. */
  readonly important?: number;
  /** Lines of the console kept, half of them from its beginning and half from its end. */
  readonly lines?: number;
}

/** Events of a long boot; a page with more of them would be slow to open. */
const EVENTS = 200_000;
const IMPORTANT = 10_000;
const LINES = 6000;
/** Characters of a line that are kept; a guest may print without ever ending one. */
const LINE_MAX = 2000;

/** A line of the console, and where it stands among the events. */
export interface RecordedLine {
  readonly text: string;
  /** Events that came before it. */
  readonly after: number;
  /** Seconds on the clock of the events, where the backend has one. */
  readonly time?: number;
}

/** What a boot told while it ran, bounded. */
export interface RecordedRun {
  readonly events: readonly DeviceEvent[];
  /** Events that are not kept. */
  readonly eventsLeftOut: number;
  readonly lines: readonly RecordedLine[];
  /** Lines that are not kept, and after which of the kept ones they would stand. */
  readonly linesLeftOut: number;
  readonly leftOutAfter: number;
}

/** Listens to a boot (`event` and `console` of its hooks) and keeps what a report needs. */
export class RunRecorder {
  readonly #limits: Required<RecorderLimits>;
  readonly #events: DeviceEvent[] = [];
  readonly #first: RecordedLine[] = [];
  readonly #last: RecordedLine[] = [];
  #eventCount = 0;
  #lineCount = 0;
  #lastOrder = -1;
  #lastTime = 0;

  constructor({ events = EVENTS, important = IMPORTANT, lines = LINES }: RecorderLimits = {}) {
    this.#limits = { events, important, lines };
  }

  event(event: DeviceEvent): void {
    if (event.order <= this.#lastOrder) this.#startAgain();
    this.#lastOrder = event.order;
    this.#eventCount += 1;
    const { events, important } = this.#limits;
    const kept = this.#events.length;
    if (kept >= events && (kept >= events + important || !isImportant(event))) return;
    // The page has words of its own, and 200,000 trace lines would be the largest part of it.
    const { text: _, ...rest } = event;
    this.#events.push(rest);
  }

  console(line: string, time?: number): void {
    if (time !== undefined && time < this.#lastTime) this.#startAgain();
    this.#lastTime = time ?? 0;
    this.#lineCount += 1;
    const half = Math.floor(this.#limits.lines / 2);
    const text = line.length > LINE_MAX ? `${line.slice(0, LINE_MAX)}…` : line;
    const kept = { text, after: this.#events.length, ...(time === undefined ? {} : { time }) };
    if (this.#first.length < half) {
      this.#first.push(kept);
      return;
    }
    this.#last.push(kept);
    // Shifting one by one would be slow for a long log; twice the size is still bounded.
    if (this.#last.length > 2 * half) this.#last.splice(0, half);
  }

  /** A backend that has to boot twice is judged by the second boot: its clock and its count begin anew. */
  #startAgain(): void {
    this.#events.length = 0;
    this.#first.length = 0;
    this.#last.length = 0;
    this.#eventCount = 0;
    this.#lineCount = 0;
    this.#lastOrder = -1;
    this.#lastTime = 0;
  }

  finish(): RecordedRun {
    const half = Math.floor(this.#limits.lines / 2);
    const lines = [...this.#first, ...this.#last.slice(Math.max(0, this.#last.length - half))];
    return {
      events: this.#events,
      eventsLeftOut: this.#eventCount - this.#events.length,
      lines,
      linesLeftOut: this.#lineCount - lines.length,
      leftOutAfter: this.#first.length,
    };
  }
}

function isImportant({ kind, status }: DeviceEvent): boolean {
  const refused = status !== undefined && status !== 0;
  return refused || kind === 'fault' || kind === 'attach' || kind === 'detach';
}
