/** The longest line that is kept whole; what a guest prints beyond that is cut, not stored. */
export const LINE_MAX = 16_384;

/**
 * Cuts a stream of bytes into lines.
 *
 * Latin-1 on purpose: a guest may print any byte, and a byte must never be lost to a decoder that
 * waits for more. A line longer than {@link LINE_MAX} is delivered cut, its rest dropped, so that
 * memory stays bounded whatever arrives.
 */
export class LineSplitter {
  #rest = '';
  #dropping = false;
  readonly #line: (line: string) => void;

  constructor(line: (line: string) => void) {
    this.#line = line;
  }

  push(chunk: Uint8Array | string): void {
    const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('latin1');
    let from = 0;
    for (;;) {
      const at = text.indexOf('\n', from);
      if (at < 0) break;
      this.#append(text.slice(from, at));
      this.#emit();
      from = at + 1;
    }
    this.#append(text.slice(from));
  }

  /** Delivers a last line that had no newline. */
  end(): void {
    if (this.#rest !== '') this.#emit();
  }

  #append(text: string): void {
    if (this.#dropping) return;
    this.#rest += text;
    if (this.#rest.length > LINE_MAX) {
      this.#rest = this.#rest.slice(0, LINE_MAX);
      this.#dropping = true;
    }
  }

  #emit(): void {
    const line = this.#rest.replace(/\r+$/, '');
    this.#rest = '';
    this.#dropping = false;
    this.#line(line);
  }
}

/** The last lines of a stream, bounded in number and bytes: the tail that an error shows. */
export class Tail {
  readonly #lines: string[] = [];
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  push(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > this.#max) this.#lines.shift();
  }

  get lines(): readonly string[] {
    return [...this.#lines];
  }
}
