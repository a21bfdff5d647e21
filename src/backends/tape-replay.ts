import { RealTime, type Emulator } from '../emulator/index.ts';
import type { DeviceEvent } from '../scenario/index.ts';
import type { Terminal } from './emulator-terminal.ts';
import {
  hashOfCpu,
  hashOfText,
  readTape,
  textOfEvent,
  type RunOrigin,
  type RunTape,
  type TapeCheck,
  type TapeHeader,
} from './tape.ts';

/** How long a shown line or event may be. */
const SHOWN = 160;

interface Key {
  readonly after: number;
  readonly bytes: Uint8Array;
}

/** A clock that says what it said, and sleeps no more. */
class ToldTime extends RealTime {
  readonly #next: () => bigint;

  constructor(open: boolean, next: () => bigint) {
    super({ open });
    this.#next = next;
  }

  override now(): bigint {
    return this.#next();
  }

  override async sleep(): Promise<void> {
    // Signals and the event loop get their turn.
    await new Promise((resolve) => void setImmediate(resolve));
  }
}

/** How a replay went. */
export interface ReplayResult {
  /** What was not as in the recording before the first instruction. */
  readonly otherwise: readonly string[];
  /** Where it first parted from the recording; undefined: nowhere. */
  readonly parted: string | undefined;
  /** Whether the recording ended before the run. */
  readonly ended: boolean;
  readonly checks: number;
  readonly events: number;
  readonly lines: number;
  /** Instructions at the last check that was the same. */
  readonly instructions: number;
}

/** Gives a run what came from outside when it was recorded, and compares what it does. */
export class TapeReplayer implements RunTape {
  readonly realTime: boolean;
  readonly #header: TapeHeader;
  readonly #output: (bytes: Uint8Array) => void;
  readonly #boots: string[] = [];
  readonly #keys: Key[] = [];
  readonly #times: bigint[] = [];
  readonly #checks: TapeCheck[] = [];
  readonly #events: string[] = [];
  readonly #lines: string[] = [];
  readonly #otherwise: string[] = [];
  readonly #end = new AbortController();
  #input: ((bytes: Uint8Array) => void) | undefined;
  #asked = 0;
  #event = 0;
  #line = 0;
  #check = 0;
  #boot = 0;
  #instructions = 0;
  #parted: string | undefined;

  /**
   * @param output takes what the guest's shell writes
   * @throws FormatError `tape/…` for what is no recording
   */
  constructor(text: string, output: (bytes: Uint8Array) => void) {
    const { header, records } = readTape(text);
    this.#header = header;
    this.#output = output;
    this.realTime = header.realTime;
    let time = 0n;
    for (const record of records) {
      if (record.kind === 'boot') this.#boots.push(record.placed);
      if (record.kind === 'input') {
        this.#keys.push({ after: record.after, bytes: Buffer.from(record.bytes, 'base64') });
      }
      if (record.kind !== 'check' && record.kind !== 'cut') continue;
      for (const step of record.times) this.#times.push((time += BigInt(step)));
      for (const hash of record.events) this.#events.push(hash);
      for (const hash of record.lines) this.#lines.push(hash);
      if (record.kind === 'check') this.#checks.push(record);
    }
  }

  get signal(): AbortSignal {
    return this.#end.signal;
  }

  get result(): ReplayResult {
    return {
      otherwise: this.#otherwise,
      parted: this.#parted,
      ended: this.#end.signal.aborted,
      checks: this.#check,
      events: this.#event,
      lines: this.#line,
      instructions: this.#instructions,
    };
  }

  terminal(): Terminal | undefined {
    const screen = this.#header.terminal;
    if (screen === undefined) return undefined;
    return {
      ...screen,
      output: this.#output,
      connect: (input) => void (this.#input = input),
    };
  }

  time(open: boolean): RealTime {
    return new ToldTime(open, () => this.#now());
  }

  origin(origin: RunOrigin): void {
    for (const [name, value] of Object.entries(this.#header.origin)) {
      const here = origin[name as keyof RunOrigin];
      if (here === value) continue;
      const isHash = name === 'machine' || name === 'code';
      this.#otherwise.push(
        isHash ? `another ${name}` : `${name} ${here}, and ${value} in the recording`,
      );
    }
  }

  boot(placed: string): void {
    if (this.#boots[this.#boot++] === placed) return;
    this.#otherwise.push('another kernel, initramfs, firmware or command line in RAM');
  }

  line(text: string): void {
    const at = this.#line++;
    this.#compare('line', at, this.#lines[at], text);
  }

  event(event: DeviceEvent): void {
    const at = this.#event++;
    this.#compare('event', at, this.#events[at], textOfEvent(event));
  }

  check(emulator: Emulator, ending?: string): void {
    if (this.#parted !== undefined) return;
    const { retired, clock } = emulator.core;
    const recorded = this.#checks[this.#check];
    const between = `between instructions ${this.#instructions} and ${retired}`;
    if (recorded === undefined) {
      this.#part(`the recording ends, and the run goes on, ${between}`);
    } else if (recorded.ending !== ending) {
      const was = recorded.ending ?? 'went on';
      this.#part(`the run: ${ending ?? 'goes on'}, the recorded one: ${was}, ${between}`);
    } else if (BigInt(recorded.instructions) !== retired || BigInt(recorded.clock) !== clock) {
      const other = `${recorded.instructions} and clock ${recorded.clock}`;
      this.#part(`instruction ${retired} and clock ${clock} where the recording has ${other}`);
    } else if (recorded.cpu !== hashOfCpu(emulator)) {
      this.#part(`the CPU's registers, interrupts or UART, ${between}`);
    } else {
      this.#check++;
      this.#instructions = Number(retired);
      if (ending !== undefined) this.#isAllTold();
    }
  }

  /** Of the recorded run there is nothing left that did not happen. */
  #isAllTold(): void {
    const events = this.#events.length - this.#event;
    const lines = this.#lines.length - this.#line;
    if (events > 0 || lines > 0) this.#part(`${events} events and ${lines} lines did not come`);
  }

  #compare(what: string, at: number, recorded: string | undefined, text: string): void {
    if (this.#parted !== undefined || recorded === hashOfText(text)) return;
    const shown = text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
    this.#part(
      `${what} ${at + 1}, after instruction ${this.#instructions}: ` +
        (recorded === undefined ? `the recording has none: ${shown}` : `here it is ${shown}`),
    );
  }

  #part(where: string): void {
    this.#parted ??= where;
  }

  #now(): bigint {
    for (let key = this.#keys[0]; key !== undefined && key.after <= this.#asked;) {
      this.#keys.shift();
      this.#input?.(key.bytes);
      [key] = this.#keys;
    }
    const time = this.#times[this.#asked++];
    if (time !== undefined) return time;
    this.#end.abort();
    return this.#times.at(-1) ?? 0n;
  }
}
