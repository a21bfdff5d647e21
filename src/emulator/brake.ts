/** Holds a machine between two instructions, for as long as somebody wants to look at it. */
export class Brake {
  #held = false;
  #waiting: (() => void)[] = [];

  get held(): boolean {
    return this.#held;
  }

  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    for (const go of this.#waiting.splice(0)) go();
  }

  /** When it is released, or the signal aborts. */
  released(signal: AbortSignal | undefined): Promise<void> {
    if (!this.#held || signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        signal?.removeEventListener('abort', done);
        this.#waiting = this.#waiting.filter((other) => other !== done);
        resolve();
      };
      this.#waiting.push(done);
      signal?.addEventListener('abort', done);
    });
  }
}
