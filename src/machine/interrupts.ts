/** An interrupt that reached the interrupt controllers of the machine. */
export type Interrupt =
  /** A wired line: SPI on arm64, counted from 0; GSI on x86-64. Told of changes only. */
  | { readonly kind: 'line'; readonly number: number; readonly level: boolean }
  /** An edge of an SPI, counted from 0, by a write to a GICv2m frame. */
  | { readonly kind: 'edge'; readonly number: number }
  /** An event at an ITS: what it means is for the ITS's tables to say. */
  | {
      readonly kind: 'its';
      readonly doorbell: string;
      readonly deviceId: number;
      readonly eventId: number;
    }
  /** A message to a local APIC. */
  | { readonly kind: 'apic'; readonly destination: number; readonly vector: number };

/** Where interrupts go: the GIC of an emulator, or the CPU side of a model guest. */
export type InterruptSink = (interrupt: Interrupt) => void;

/** Levels of the wired lines: several devices share one, and a snapshot must know them. */
export class InterruptLines {
  readonly #levels = new Map<number, Set<string>>();
  readonly #sink: InterruptSink;

  constructor(sink: InterruptSink) {
    this.#sink = sink;
  }

  /** The line as one of its devices wants it. */
  set(number: number, source: string, level: boolean): void {
    const holders = this.#levels.get(number) ?? new Set<string>();
    const before = holders.size > 0;
    if (level) holders.add(source);
    else holders.delete(source);
    this.#levels.set(number, holders);
    const now = holders.size > 0;
    if (now !== before) this.#sink({ kind: 'line', number, level: now });
  }

  level(number: number): boolean {
    return (this.#levels.get(number)?.size ?? 0) > 0;
  }

  /** Lines that are asserted, ascending. */
  asserted(): number[] {
    return [...this.#levels.keys()].filter((line) => this.level(line)).toSorted((a, b) => a - b);
  }
}
