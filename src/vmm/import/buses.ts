import type { ImportedBridge } from './machine.ts';

/** A bridge before the guest has numbered its bus. */
export interface Port {
  readonly id: string;
  readonly kind: ImportedBridge['kind'];
  /** Name of the bus it sits on. */
  readonly bus: string;
  /** Device and function on that bus: device << 3 | function. */
  readonly slot: number;
}

/** Where a bus is, and which numbers are below it. */
export interface NumberedBus {
  readonly number: number;
  readonly last: number;
}

/**
 * The numbers that firmware and Linux give: depth first, in order of slots, from the root's own
 * number on. A port without anything below takes one number, too.
 */
export function numberBuses(
  root: string,
  first: number,
  ports: readonly Port[],
): Map<string, NumberedBus> {
  const buses = new Map<string, NumberedBus>();
  let next = first;
  const visit = (name: string): void => {
    const number = next++;
    // A port that names a bus above itself would never end; each bus is visited once.
    buses.set(name, { number, last: number });
    const here = ports.filter(({ bus }) => bus === name).toSorted((a, b) => a.slot - b.slot);
    for (const port of here) if (!buses.has(port.id)) visit(port.id);
    buses.set(name, { number, last: next - 1 });
  };
  visit(root);
  return buses;
}

/** Free slots of buses, given out as QEMU does: the lowest. */
export class Slots {
  readonly #taken = new Map<string, Set<number>>();

  take(bus: string, slot: number): void {
    const taken = this.#taken.get(bus) ?? new Set();
    taken.add(slot);
    this.#taken.set(bus, taken);
  }

  /** Lowest free device, function 0; undefined when all 32 are taken. */
  next(bus: string): number | undefined {
    const taken = this.#taken.get(bus) ?? new Set();
    for (let device = 0; device < 32; device++) {
      const free = Array.from({ length: 8 }, (_, fn) => (device << 3) | fn).every(
        (slot) => !taken.has(slot),
      );
      if (!free) continue;
      this.take(bus, device << 3);
      return device << 3;
    }
    return undefined;
  }
}
