import { UART_INPUT_MAX } from '../emulator/index.ts';
import { parseConsoleLine } from '../guest/index.ts';

/** A person at the guest's console. */
export interface Terminal {
  readonly rows: number;
  readonly columns: number;
  /** Bytes for the screen. */
  readonly output: (bytes: Uint8Array) => void;
  /** Called once the machine stands: where to send what is typed. */
  readonly connect: (input: (bytes: Uint8Array) => void) => void;
}

/**
 * A console between a person and a guest. What the person sees: lines as they come, without those of
 * the report; while the guest's shell runs, every byte. What is typed earlier waits for the shell,
 * since the guest's line discipline would echo it into the messages of the kernel.
 */
export class TerminalLink {
  readonly #terminal: Terminal;
  readonly #type: (bytes: Uint8Array) => void;
  readonly #early: number[] = [];
  #inShell = false;

  /** @param type takes what is typed to the guest */
  constructor(terminal: Terminal, type: (bytes: Uint8Array) => void) {
    this.#terminal = terminal;
    this.#type = type;
  }

  connect(): void {
    this.#terminal.connect((bytes) => {
      if (this.#inShell) this.#type(bytes);
      else this.#early.push(...bytes.subarray(0, UART_INPUT_MAX - this.#early.length));
    });
  }

  /** A byte of the guest's. */
  byte(byte: number): void {
    if (this.#inShell) this.#terminal.output(Uint8Array.of(byte));
  }

  /** A line of the guest's, when it has ended. */
  line(raw: string): void {
    const line = parseConsoleLine(raw);
    if (line.type !== 'record') {
      if (!this.#inShell) this.#terminal.output(Buffer.from(`${raw}\r\n`));
    } else if (line.kind === 'shell') {
      this.#inShell = line.fields.get('state') === 'begin';
      if (this.#inShell && this.#early.length > 0)
        this.#type(Uint8Array.from(this.#early.splice(0)));
    }
  }
}
