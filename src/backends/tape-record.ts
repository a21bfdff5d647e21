import { RealTime, type Emulator } from '../emulator/index.ts';
import type { DeviceEvent } from '../scenario/index.ts';
import type { Terminal } from './emulator-terminal.ts';
import {
  hashOfCpu,
  hashOfText,
  TAPE_FORMAT,
  TAPE_VERSION,
  textOfEvent,
  type RunOrigin,
  type RunTape,
  type TapeRecord,
} from './tape.ts';

/** The wall clock, with somebody who writes down what it said. */
class HeardTime extends RealTime {
  readonly #told: (time: bigint) => void;

  constructor(open: boolean, told: (time: bigint) => void) {
    super({ open });
    this.#told = told;
  }

  override now(): bigint {
    const time = super.now();
    this.#told(time);
    return time;
  }
}

export interface TapeRecorderOptions {
  /** Version of this program. */
  readonly tool: string;
  readonly write: (text: string) => void;
  /** Whether the run is in real time. */
  readonly realTime: boolean;
}

/**
 * Writes a run down: what came from outside (keys, and what the clock said), and hashes of what the
 * run did, for a replay to compare.
 */
export class TapeRecorder implements RunTape {
  readonly realTime: undefined;
  readonly signal: undefined;
  readonly #options: TapeRecorderOptions;
  #screen: { rows: number; columns: number } | undefined;
  #last = 0n;
  #asked = 0;
  #times: number[] = [];
  #events: string[] = [];
  #lines: string[] = [];
  #begun = false;

  constructor(options: TapeRecorderOptions) {
    this.#options = options;
  }

  terminal(given: Terminal | undefined): Terminal | undefined {
    if (given === undefined) return undefined;
    const { rows, columns } = given;
    this.#screen = { rows, columns };
    return {
      ...given,
      connect: (input) =>
        given.connect((bytes) => {
          const text = Buffer.from(bytes).toString('base64');
          this.#write({ kind: 'input', after: this.#asked, bytes: text });
          input(bytes);
        }),
    };
  }

  time(open: boolean): RealTime {
    return new HeardTime(open, (time) => {
      this.#asked++;
      this.#times.push(Number(time - this.#last));
      this.#last = time;
    });
  }

  origin(origin: RunOrigin): void {
    const { tool, realTime } = this.#options;
    this.#begun = true;
    this.#write({
      kind: 'header',
      format: TAPE_FORMAT,
      version: TAPE_VERSION,
      tool,
      realTime: realTime || this.#screen !== undefined,
      ...(this.#screen === undefined ? {} : { terminal: this.#screen }),
      origin,
    });
  }

  boot(placed: string): void {
    this.#write({ kind: 'boot', placed });
  }

  line(text: string): void {
    this.#lines.push(hashOfText(text));
  }

  event(event: DeviceEvent): void {
    this.#events.push(hashOfText(textOfEvent(event)));
  }

  check(emulator: Emulator, ending?: string): void {
    this.#write({
      kind: 'check',
      instructions: Number(emulator.core.retired),
      clock: Number(emulator.core.clock),
      cpu: hashOfCpu(emulator),
      ...(ending === undefined ? {} : { ending }),
      ...this.#taken(),
    });
  }

  /** Whatever became of the run. */
  close(): void {
    if (this.#begun && this.#times.length + this.#events.length + this.#lines.length > 0) {
      this.#write({ kind: 'cut', ...this.#taken() });
    }
  }

  #taken(): { times: number[]; events: string[]; lines: string[] } {
    return {
      times: this.#times.splice(0),
      events: this.#events.splice(0),
      lines: this.#lines.splice(0),
    };
  }

  #write(record: TapeRecord): void {
    this.#options.write(`${JSON.stringify(record)}\n`);
  }
}
