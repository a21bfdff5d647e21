import type { DeviceEvent } from '../scenario/index.ts';
import {
  eventRecord,
  TRACE_FORMAT,
  TRACE_VERSION,
  type RunEnd,
  type RunHeader,
  type TraceRecord,
} from './record.ts';

/** What follows runs and writes them down. Text is given piece by piece, whole lines each. */
export interface TraceSink {
  /** A run begins; the answer is its number, 0 for the first. */
  begin(header: RunHeader): number;
  event(run: number, event: DeviceEvent): void;
  /** `time`: seconds, where the backend has a clock. */
  console(run: number, text: string, time?: number): void;
  end(run: number, end: RunEnd): void;
  /** No run is left. */
  close(): void;
}

/** A trace as JSON lines: docs/reference/trace.md. */
export class JsonLinesTrace implements TraceSink {
  readonly #write: (text: string) => void;
  /** Events of each run. */
  readonly #events: number[] = [];

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  begin(header: RunHeader): number {
    const run = this.#events.push(0) - 1;
    const { tool, topology, file, backend, firmware, seed } = header;
    const known = { tool, topology, file, backend, firmware, seed };
    this.#line({ type: 'header', format: TRACE_FORMAT, version: TRACE_VERSION, run, ...known });
    return run;
  }

  event(run: number, event: DeviceEvent): void {
    this.#events[run] = (this.#events[run] ?? 0) + 1;
    this.#line(eventRecord(run, event));
  }

  console(run: number, text: string, time?: number): void {
    this.#line({ type: 'console', run, ...(time === undefined ? {} : { time }), text });
  }

  end(run: number, { outcome, ending }: RunEnd): void {
    this.#line({ type: 'end', run, events: this.#events[run] ?? 0, outcome, ending });
  }

  close(): void {
    // Every line is whole already.
  }

  #line(record: TraceRecord): void {
    this.#write(`${JSON.stringify(record)}\n`);
  }
}
