import { intersection, type Range } from '../bytes/index.ts';
import type { Bar, BarRegion } from './bar.ts';
import { isBridge, type PciBus } from './bus.ts';

/** A run of addresses that one BAR answers to. */
export interface Claim extends Range<number> {
  readonly bar: Bar;
  readonly region: BarRegion;
  /** Address of the BAR's first byte, which the run need not hold. */
  readonly base: number;
}

/**
 * Who answers to which address, now: every enabled BAR, cut to the windows of the bridges and the host
 * above it. Where two overlap, as no driver should make them, the function found first has it.
 */
export class MmioMap {
  #claims: readonly Claim[] = [];
  #last: Claim | undefined;

  rebuild(bus: PciBus, windows: readonly Range<number>[]): void {
    const found: Claim[] = [];
    collect(bus, windows, found);
    this.#claims = disjoint(found);
    this.#last = undefined;
  }

  get claims(): readonly Claim[] {
    return this.#claims;
  }

  find(address: number): Claim | undefined {
    const last = this.#last;
    if (last !== undefined && address >= last.start && address <= last.end) return last;
    const claims = this.#claims;
    let low = 0;
    let high = claims.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((claims[mid]?.start ?? Infinity) <= address) low = mid + 1;
      else high = mid;
    }
    const claim = claims[low - 1];
    if (claim === undefined || address > claim.end) return undefined;
    this.#last = claim;
    return claim;
  }
}

function collect(bus: PciBus, windows: readonly Range<number>[], found: Claim[]): void {
  for (const fn of bus.functions) {
    if (!fn.memoryEnabled) continue;
    for (const bar of fn.bars) {
      const base = bar.base(fn.config);
      if (base === undefined) continue;
      for (const window of windows) {
        const part = intersection(window, { start: base, end: base + bar.size - 1 });
        if (part) found.push({ ...part, bar, region: bar.region, base });
      }
    }
    if (!isBridge(fn)) continue;
    const inner = fn
      .windows()
      .flatMap((own) => windows.flatMap((window) => intersection(window, own) ?? []));
    if (inner.length > 0) collect(fn.secondary, inner, found);
  }
}

/** The claims in ascending order, cut so that none overlaps: earlier ones stay whole. */
function disjoint(found: readonly Claim[]): Claim[] {
  const sorted = found.toSorted((a, b) => a.start - b.start);
  const apart = sorted.every((claim, i) => claim.start > (sorted[i - 1]?.end ?? -1));
  return apart ? sorted : cut(found);
}

/** Sweeps over all edges; between two of them the claim found first has the addresses. */
function cut(found: readonly Claim[]): Claim[] {
  const edges = new Set(found.flatMap(({ start, end }) => [start, end + 1]));
  const starts = new Map<number, number[]>();
  for (const [index, { start }] of found.entries()) {
    starts.set(start, [...(starts.get(start) ?? []), index]);
  }
  const out: Claim[] = [];
  const open = new Set<number>();
  const all = [...edges].toSorted((a, b) => a - b);
  for (const [i, edge] of all.entries()) {
    for (const index of open) if ((found[index]?.end ?? -1) < edge) open.delete(index);
    for (const index of starts.get(edge) ?? []) open.add(index);
    const winner = found[Math.min(...open)];
    const next = all[i + 1];
    if (winner === undefined || next === undefined) continue;
    out.push({ ...winner, start: edge, end: next - 1 });
  }
  return out;
}
