import { closeSync, openSync, writeSync } from 'node:fs';
import { asOutputError } from '../firmware/index.ts';

/** Characters that wait for each other before they are written. */
const BATCH = 1 << 16;

/**
 * A file that grows while a guest runs, written in batches. Unlike other results it is there before
 * it is whole: of a run that went wrong, what was written is what one wants to see.
 */
export class TextFile {
  readonly #path: string;
  readonly #fd: number;
  #pending: string[] = [];
  #length = 0;
  #closed = false;

  /** @throws FirmwareError for what the file system refuses, here and in `write` */
  constructor(path: string) {
    this.#path = path;
    this.#fd = this.#guard(() => openSync(path, 'w'));
  }

  write(text: string): void {
    this.#pending.push(text);
    this.#length += text.length;
    if (this.#length >= BATCH) this.#flush();
  }

  /** Writes what is left; may be called again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#flush();
    } finally {
      closeSync(this.#fd);
    }
  }

  #flush(): void {
    const bytes = Buffer.from(this.#pending.join(''), 'utf8');
    this.#pending = [];
    this.#length = 0;
    this.#guard(() => {
      for (let at = 0; at < bytes.length;) at += writeSync(this.#fd, bytes, at);
    });
  }

  #guard<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      throw asOutputError(error, this.#path);
    }
  }
}
