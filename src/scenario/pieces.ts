import { intersection, overlaps, type Range } from '../bytes/index.ts';

/** A mapping: addresses, where they lead, and which accesses it allows. */
export interface Piece {
  readonly virt: Range;
  readonly phys: bigint;
  /** 1: read, 2: write. */
  readonly access: number;
}

/** Index of the first piece that starts above an address, in an ascending list. */
function firstAfter(list: readonly Piece[], address: bigint): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const mid = (low + high) >>> 1;
    if ((list[mid]?.virt.start ?? 0n) <= address) low = mid + 1;
    else high = mid;
  }
  return low;
}

/** Where in the list the pieces are that overlap a range: from, and up to without. */
function extent(list: readonly Piece[], range: Range): [number, number] {
  let from = firstAfter(list, range.start);
  const before = list[from - 1];
  if (before !== undefined && overlaps(before.virt, range)) from--;
  return [from, Math.max(from, firstAfter(list, range.end))];
}

/** Puts a piece into an ascending list. */
export function insertAt(list: Piece[], piece: Piece): void {
  list.splice(firstAfter(list, piece.virt.start), 0, piece);
}

/** Takes out every piece that a range touches; how many. */
export function removeFrom(list: Piece[], range: Range): number {
  const [from, until] = extent(list, range);
  list.splice(from, until - from);
  return until - from;
}

/** The pieces in a range, cut at its ends. */
export function clipped(list: readonly Piece[], range: Range): Piece[] {
  return list.slice(...extent(list, range)).flatMap((piece): Piece[] => {
    const virt = intersection(piece.virt, range);
    if (virt === undefined) return [];
    return [{ ...piece, virt, phys: piece.phys + (virt.start - piece.virt.start) }];
  });
}

/** Neighbours that lead on evenly, as one: who maps 8 KiB may have it as two pages. */
export function joined(list: readonly Piece[]): Piece[] {
  const out: Piece[] = [];
  for (const piece of list) {
    const last = out.at(-1);
    const size = last === undefined ? 0n : last.virt.end + 1n - last.virt.start;
    const goesOn =
      last !== undefined &&
      last.virt.end + 1n === piece.virt.start &&
      last.phys + size === piece.phys &&
      last.access === piece.access;
    if (!goesOn) out.push(piece);
    else out[out.length - 1] = { ...last, virt: { start: last.virt.start, end: piece.virt.end } };
  }
  return out;
}

export function sameMappings(one: readonly Piece[], other: readonly Piece[]): boolean {
  return (
    one.length === other.length &&
    one.every((piece, index) => {
      const peer = other[index];
      return (
        peer !== undefined &&
        peer.virt.start === piece.virt.start &&
        peer.virt.end === piece.virt.end &&
        peer.phys === piece.phys &&
        peer.access === piece.access
      );
    })
  );
}
