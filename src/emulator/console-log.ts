const LINES_KEPT = 64;
/** A guest that never ends its line must not fill the host. */
const LINE_MAX = 4096;

/** The last lines, and the bytes of one that has not ended. */
export interface ConsoleState {
  readonly lines: readonly string[];
  readonly open: Uint8Array;
}

/** The console as lines: the last ones are kept, each is told when it ends. */
export class ConsoleLog {
  #line: number[] = [];
  #lines: string[] = [];
  readonly #onLine: ((line: string) => void) | undefined;

  constructor(onLine?: (line: string) => void) {
    this.#onLine = onLine;
  }

  put(byte: number): void {
    if (byte === 0x0a) this.#end();
    else if (byte !== 0x0d) {
      this.#line.push(byte);
      if (this.#line.length >= LINE_MAX) this.#end();
    }
  }

  /** The last lines, oldest first; the one that has not ended is among them. */
  last(count = LINES_KEPT): string[] {
    const open = this.#line.length > 0 ? [this.#text()] : [];
    return [...this.#lines, ...open].slice(-count);
  }

  save(): ConsoleState {
    return { lines: this.#lines.slice(), open: Uint8Array.from(this.#line) };
  }

  restore({ lines, open }: ConsoleState): void {
    this.#lines = lines.slice(-LINES_KEPT);
    this.#line = [...open.subarray(0, LINE_MAX - 1)];
  }

  #text(): string {
    return Buffer.from(this.#line).toString('utf8');
  }

  #end(): void {
    const line = this.#text();
    this.#line = [];
    this.#lines.push(line);
    if (this.#lines.length > LINES_KEPT) this.#lines.shift();
    this.#onLine?.(line);
  }
}
