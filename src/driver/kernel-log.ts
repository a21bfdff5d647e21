/** Lines kept; a guest that faults without end must not fill memory. */
const LINES_MAX = 20_000;
/** Linux prints ten faults in five seconds (`printk_ratelimited`); here, ten between two pauses. */
const BURST = 10;

/** What the guest says, in the wordings of Linux 6.12 where it is the same thing. */
export class KernelLog {
  readonly lines: string[] = [];
  #burst = 0;

  print(line: string): void {
    if (this.lines.length < LINES_MAX) this.lines.push(line);
  }

  /** A message that is dropped when it comes too often. */
  limited(line: string): void {
    this.#burst++;
    if (this.#burst <= BURST) this.print(line);
  }

  /** Five seconds pass. */
  pause(): void {
    this.#burst = 0;
  }
}
