import type { Range } from '../bytes/index.ts';
import type { PciFunction } from './function.ts';
import type { BusSide, Upstream } from './tree.ts';

/** A function that has a bus below it. */
export interface BridgeLike extends PciFunction {
  readonly secondary: PciBus;
  /** Whether configuration requests for that bus go through it. */
  leadsTo(bus: number): boolean;
  /** Addresses that it forwards downstream. */
  windows(): Range<number>[];
}

/** One PCI bus: up to 32 devices of 8 functions. Its number is what is above it. */
export class PciBus implements BusSide {
  readonly #upstream: Upstream;
  readonly #functions = new Map<number, PciFunction>();

  constructor(upstream: Upstream) {
    this.#upstream = upstream;
  }

  get number(): number {
    return this.#upstream.number;
  }

  get isRoot(): boolean {
    return this.#upstream.isRoot;
  }

  /** Functions by device and function number, ascending. */
  get functions(): PciFunction[] {
    return [...this.#functions.values()].toSorted((a, b) => a.devfn - b.devfn);
  }

  at(devfn: number): PciFunction | undefined {
    return this.#functions.get(devfn);
  }

  /**
   * Puts a function in a place.
   *
   * @throws RangeError when the place is taken, or there is none: our own mistake
   */
  plug(devfn: number, fn: PciFunction): void {
    if (!Number.isInteger(devfn) || devfn < 0 || devfn > 0xff || this.#functions.has(devfn)) {
      throw new RangeError(`${fn.name}: device ${devfn >> 3}, function ${devfn & 7} is taken`);
    }
    this.#functions.set(devfn, fn);
    this.#announce(devfn);
    this.#upstream.populated?.(true);
    this.decodeChanged();
  }

  unplug(devfn: number): PciFunction | undefined {
    const fn = this.#functions.get(devfn);
    if (fn === undefined) return undefined;
    fn.unplugged();
    this.#functions.delete(devfn);
    this.#announce(devfn);
    this.#upstream.populated?.(this.#functions.size > 0);
    this.decodeChanged();
    return fn;
  }

  /** For the bridge above: it was plugged in, with what is below it. */
  announce(): void {
    for (const devfn of this.#functions.keys()) this.#announce(devfn);
  }

  /** The function that answers to a bus number and place below here. */
  find(bus: number, devfn: number): PciFunction | undefined {
    if (bus === this.number) return this.at(devfn);
    for (const fn of this.#functions.values()) {
      if (isBridge(fn) && fn.leadsTo(bus)) return fn.secondary.find(bus, devfn);
    }
    return undefined;
  }

  /** Every function on this bus and below, with its place on each bus: `01.0/00.0`. */
  *walk(above = ''): Generator<{ readonly path: string; readonly fn: PciFunction }> {
    for (const fn of this.functions) {
      const place = `${(fn.devfn >> 3).toString(16).padStart(2, '0')}.${fn.devfn & 7}`;
      const path = above + place;
      yield { path, fn };
      if (isBridge(fn)) yield* fn.secondary.walk(`${path}/`);
    }
  }

  /** Reset of the bus: of everything on it and below. */
  reset(): void {
    for (const fn of this.functions) {
      fn.reset();
      if (isBridge(fn)) fn.secondary.reset();
    }
  }

  sourceOf(rid: number): number {
    return this.#upstream.sourceOf(rid);
  }

  decodeChanged(): void {
    this.#upstream.decodeChanged();
  }

  intx(devfn: number, pin: number, level: boolean): void {
    this.#upstream.intx(devfn, pin, level);
  }

  /** Tells all functions of a slot where they are and whether they are several. */
  #announce(devfn: number): void {
    const slot = [...this.#functions].filter(([place]) => place >> 3 === devfn >> 3);
    for (const [place, fn] of slot) fn.plugged(this, place, slot.length > 1);
  }
}

export function isBridge(fn: PciFunction): fn is BridgeLike {
  return 'secondary' in fn;
}
