/** Bytes of one line: questions are short, answers hold at most some thousand mappings. */
export const REQUEST_MAX: number = 64 << 10;
export const ANSWER_MAX: number = 16 << 20;

const NEWLINE = 0x0a;

/** Cuts a stream of bytes into lines; empty ones are passed over. */
export class LineSplitter {
  readonly #tell: (line: string) => void;
  readonly #most: number;
  #parts: Buffer[] = [];
  #length = 0;
  #broken = false;

  constructor(tell: (line: string) => void, most: number = REQUEST_MAX) {
    this.#tell = tell;
    this.#most = most;
  }

  /** False when a line is longer than it may be: nothing more is told then. */
  push(bytes: Buffer): boolean {
    let from = 0;
    while (!this.#broken) {
      const at = bytes.indexOf(NEWLINE, from);
      const piece = bytes.subarray(from, at < 0 ? undefined : at);
      this.#length += piece.length;
      this.#broken = this.#length > this.#most;
      if (this.#broken) break;
      this.#parts.push(piece);
      if (at < 0) return true;
      const line = Buffer.concat(this.#parts).toString('utf8').trim();
      this.#parts = [];
      this.#length = 0;
      from = at + 1;
      if (line !== '') this.#tell(line);
    }
    this.#parts = [];
    return false;
  }
}
