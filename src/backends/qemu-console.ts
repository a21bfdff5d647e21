import { ReportReader, type GuestReport } from '../guest/index.ts';
import type { BootHooks, Ending } from '../scenario/index.ts';
import { LogCollector } from './guest-observation.ts';

/** Bytes of serial log kept in memory; the beginning and the end of a longer one matter most. */
const LOG_BYTES_MAX = 16 * 1024 * 1024;

/** What the progress line says when a line of the report comes. */
const STAGES: Readonly<Record<string, string>> = {
  begin: 'guest: init script runs',
  blob: 'guest: reading the firmware',
  module: 'guest: loading drivers',
  inventory: 'guest: listing groups and devices',
  disk: 'guest: reading and writing disks',
  nic: 'guest: sending packets',
  edustart: 'guest: provoking faults',
  aim: 'guest: provoking faults',
  unbind: 'guest: unbinding and binding drivers',
  plugin: 'guest: waiting for a device that is plugged in',
  transfer: 'guest: moving data over TCP',
  vfiobegin: 'guest: a program drives a device',
  end: 'guest: powering off',
};

/** Reads a guest's console as it comes: report, kernel log, progress, and the text itself. */
export class ConsoleWatch {
  readonly #reader = new ReportReader();
  readonly #log = new LogCollector();
  readonly #hooks: BootHooks;
  readonly #onRecord: ((kind: string, fields: ReadonlyMap<string, string>) => void) | undefined;
  readonly #onLine: (ended: boolean) => void;
  readonly #text: string[] = [];
  #bytes = 0;
  #ended = false;
  #stage = '';

  /**
   * `onLine`: after each line; `ended` once the guest has said its last.
   * `onRecord`: at each line of the report.
   */
  constructor(
    hooks: BootHooks,
    onLine: (ended: boolean) => void,
    onRecord?: (kind: string, fields: ReadonlyMap<string, string>) => void,
  ) {
    this.#onRecord = onRecord;
    this.#hooks = hooks;
    this.#onLine = onLine;
  }

  /** Whether the guest has said its last line. */
  get ended(): boolean {
    return this.#ended;
  }

  /** `time`: seconds on the clock of the events. */
  line(raw: string, time?: number): void {
    if (this.#bytes < LOG_BYTES_MAX) this.#text.push(raw);
    this.#bytes += raw.length + 1;
    this.#hooks.console?.(raw, time);
    for (const line of this.#reader.push(`${raw}\n`)) {
      this.#log.add(line);
      if (line.type === 'record') {
        this.#progress(STAGES[line.kind]);
        this.#onRecord?.(line.kind, line.fields);
        this.#ended ||= line.kind === 'end';
      } else if (line.type === 'kernel' && this.#stage === '') {
        this.#progress('guest: kernel starts');
      }
    }
    this.#onLine(this.#ended);
  }

  finish(): { report: GuestReport; log: LogCollector['lines']; text: string } {
    return {
      report: this.#reader.finish(),
      log: this.#log.lines,
      text: `${this.#text.join('\n')}\n`,
    };
  }

  #progress(stage: string | undefined): void {
    if (stage === undefined || stage === this.#stage) return;
    this.#stage = stage;
    this.#hooks.progress?.(stage);
  }
}

/** How a run ended, from how its QEMU did and what its guest had said. */
export function endingOf(
  report: GuestReport,
  log: LogCollector['lines'],
  exit: { readonly why: 'exited' | 'time-limit' | 'silent'; readonly limit: number },
  errors: readonly string[],
): Ending {
  const tail = report.tail;
  const last = report.tail.at(-1) ?? 'nothing';
  if (report.complete) {
    return { kind: 'completed', detail: `report complete, ${report.lines} lines`, tail };
  }
  if (report.ended) {
    const lost = `the guest came to its end, but ${report.missing} of its report lines were lost`;
    return { kind: 'machine-exited', detail: lost, tail };
  }
  const panic = log.find(({ meaning }) => meaning?.code === 'panic');
  if (panic !== undefined) return { kind: 'panic', detail: panic.text, tail };
  const said = report.lines === 0 ? 'before its init script' : `after ${report.lines} report lines`;
  switch (exit.why) {
    case 'time-limit':
      return { kind: 'time-limit', detail: `ended at the limit of ${exit.limit} s, ${said}`, tail };
    case 'silent':
      return {
        kind: 'silent',
        detail: `not a word for ${exit.limit} s, ${said}; the last: ${last}`,
        tail,
      };
    case 'exited': {
      const why = errors.length === 0 ? '' : `: ${errors.slice(-2).join('; ')}`;
      return { kind: 'machine-exited', detail: `the machine stopped ${said}${why}`, tail };
    }
    default:
      return exit.why satisfies never;
  }
}
