import type { GuestMemory } from '../memory/index.ts';
import { GIC_LPI_FIRST, LPI_ENABLED, LPI_PRIORITY } from '../spec/gicv3.ts';

/** RAM from a physical address on, at most so many bytes; fewer, or none, where it ends. */
export type RamBytes = (address: bigint, most: number) => Uint8Array;

/** RAM as the interrupt controller reads it: past every translation. */
export function ramBytes(memory: GuestMemory): RamBytes {
  return (address, most) => {
    const window = memory
      .windows()
      .find(({ gpa, bytes }) => gpa <= address && address < gpa + BigInt(bytes.length));
    if (window === undefined) return new Uint8Array();
    const at = Number(address - window.gpa);
    return window.bytes.subarray(at, at + most);
  };
}

/** GICR_PROPBASER: where the table is, and how many bits interrupt numbers have, less one. */
const ADDRESS = 0x000f_ffff_ffff_f000n;
const ID_BITS = 0x1fn;
/** What GICD_TYPER says of them. */
export const LPI_ID_BITS = 16;

/**
 * Message-signalled interrupts of the ITS. What is enabled and how urgent it is lies in a table of
 * the guest's, which is read whenever it matters: the guest's INV commands have nothing to drop.
 */
export class Lpis {
  /** GICR_CTLR.EnableLPIs. */
  on = false;
  /** GICR_PROPBASER. */
  table = 0n;
  readonly #pending = new Set<number>();
  readonly #ram: RamBytes;

  constructor(ram: RamBytes) {
    this.#ram = ram;
  }

  /** Makes an LPI pending, or takes that back. Numbers that are none are nobody's. */
  set(id: number, pending: boolean): void {
    if (!pending) this.#pending.delete(id);
    else if (id >= GIC_LPI_FIRST && id < 1 << LPI_ID_BITS) this.#pending.add(id);
  }

  /** The most urgent one that is more urgent than `urgency`. */
  best(urgency: number): { readonly id: number; readonly priority: number } | undefined {
    if (!this.on || this.#pending.size === 0) return undefined;
    const table = this.#configurations();
    let best: { id: number; priority: number } | undefined;
    for (const id of this.#pending) {
      const configuration = table[id - GIC_LPI_FIRST] ?? 0;
      const priority = configuration & LPI_PRIORITY;
      if ((configuration & LPI_ENABLED) === 0 || priority >= (best?.priority ?? urgency)) continue;
      best = { id, priority };
    }
    return best;
  }

  priorityOf(id: number): number {
    return (this.#configurations()[id - GIC_LPI_FIRST] ?? 0) & LPI_PRIORITY;
  }

  save(): { on: boolean; table: bigint; pending: number[] } {
    return { on: this.on, table: this.table, pending: [...this.#pending] };
  }

  restore(state: { on: boolean; table: bigint; pending: readonly number[] }): void {
    this.on = state.on;
    this.table = state.table;
    this.#pending.clear();
    for (const id of state.pending) this.set(id, true);
  }

  /** A byte for each LPI, as far as the table goes and RAM holds it. */
  #configurations(): Uint8Array {
    const ids = 2 ** Math.min(Number(this.table & ID_BITS) + 1, LPI_ID_BITS);
    return this.#ram(this.table & ADDRESS, Math.max(ids - GIC_LPI_FIRST, 0));
  }
}
