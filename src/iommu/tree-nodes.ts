/**
 * Nodes of a {@link MappingTree}: leaves are flat `Uint32Array`s of entries, addresses pairs of 32-bit
 * halves.
 */

/** Words of an entry: start, end (both included), physical start, flags, one spare for alignment. */
export const WORDS = 8;
export const START_HI = 0;
export const START_LO = 1;
export const END_HI = 2;
export const END_LO = 3;
export const PHYS_HI = 4;
export const PHYS_LO = 5;
export const FLAGS = 6;

/** Entries of a leaf, children of an inner node. 64 × 32 bytes fill half a page. */
export const FAN = 64;
/** Below this a node looks for a neighbour to join. */
export const LOW = FAN / 4;
/** Two neighbours are joined when they fit in this, so that a join is not undone at once. */
const JOIN = (FAN * 3) / 4;
const FIRST_CAPACITY = 4;

export class Leaf {
  count = 0;
  data = new Uint32Array(FIRST_CAPACITY * WORDS);
  prev: Leaf | undefined;
  next: Leaf | undefined;

  /** Makes room for `count` entries in all. */
  reserve(count: number): void {
    let capacity = this.data.length / WORDS;
    if (count <= capacity) return;
    while (capacity < count) capacity *= 2;
    const larger = new Uint32Array(Math.min(capacity, FAN) * WORDS);
    larger.set(this.data);
    this.data = larger;
  }

  /** Makes a gap for one entry at `index`; answers where to write it. Needs `count < FAN`. */
  open(index: number): Uint32Array {
    this.reserve(this.count + 1);
    const { data, count } = this;
    if (index < count) data.copyWithin((index + 1) * WORDS, index * WORDS, count * WORDS);
    this.count = count + 1;
    return data;
  }

  /** Drops entries `[from, to)`. */
  close(from: number, to: number): void {
    if (to < this.count) this.data.copyWithin(from * WORDS, to * WORDS, this.count * WORDS);
    this.count -= to - from;
  }

  /** Moves the entries from `keep` on to an empty leaf. */
  moveTail(keep: number, to: Leaf): void {
    to.reserve(this.count - keep + 1);
    to.data.set(this.data.subarray(keep * WORDS, this.count * WORDS));
    to.count = this.count - keep;
    this.count = keep;
  }

  endsAtOrAfter(index: number, hi: number, lo: number): boolean {
    const endHi = this.data[index * WORDS + END_HI] as number;
    return endHi > hi || (endHi === hi && (this.data[index * WORDS + END_LO] as number) >= lo);
  }

  contains(index: number, hi: number, lo: number): boolean {
    const startHi = this.data[index * WORDS + START_HI] as number;
    return (
      (startHi < hi || (startHi === hi && (this.data[index * WORDS + START_LO] as number) <= lo)) &&
      this.endsAtOrAfter(index, hi, lo)
    );
  }

  /** Number of entries whose start is at or below the address. */
  upperBound(hi: number, lo: number): number {
    const data = this.data;
    let low = 0;
    let high = this.count;
    while (low < high) {
      const mid = (low + high) >>> 1;
      const startHi = data[mid * WORDS + START_HI] as number;
      if (startHi < hi || (startHi === hi && (data[mid * WORDS + START_LO] as number) <= lo)) {
        low = mid + 1;
      } else high = mid;
    }
    return low;
  }
}

export class Inner {
  count = 0;
  /** Two words each: a lower bound of every start below the child. The first is never looked at. */
  readonly keys: Uint32Array = new Uint32Array((FAN + 1) * 2);
  readonly kids: Node[] = [];

  /** Index of the child that an address belongs to. */
  childFor(hi: number, lo: number): number {
    const keys = this.keys;
    let low = 1;
    let high = this.count;
    while (low < high) {
      const mid = (low + high) >>> 1;
      const keyHi = keys[mid * 2] as number;
      if (keyHi < hi || (keyHi === hi && (keys[mid * 2 + 1] as number) <= lo)) low = mid + 1;
      else high = mid;
    }
    return low - 1;
  }

  insertAt(index: number, keyHi: number, keyLo: number, kid: Node): void {
    this.keys.copyWithin((index + 1) * 2, index * 2, this.count * 2);
    this.keys[index * 2] = keyHi;
    this.keys[index * 2 + 1] = keyLo;
    this.kids.splice(index, 0, kid);
    this.count++;
  }

  removeAt(index: number): void {
    this.keys.copyWithin(index * 2, (index + 1) * 2, this.count * 2);
    this.kids.splice(index, 1);
    this.count--;
  }
}

export type Node = Leaf | Inner;

/** One mapping, for listings; addresses include their end. */
export interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
  readonly physical: bigint;
  readonly flags: number;
}

export function startsAt(leaf: Leaf, index: number, hi: number, lo: number): boolean {
  return leaf.data[index * WORDS + START_HI] === hi && leaf.data[index * WORDS + START_LO] === lo;
}

export function entryOf(leaf: Leaf, index: number): Mapping {
  const at = index * WORDS;
  const word = (offset: number): bigint => BigInt(leaf.data[at + offset] as number);
  return {
    start: (word(START_HI) << 32n) | word(START_LO),
    end: (word(END_HI) << 32n) | word(END_LO),
    physical: (word(PHYS_HI) << 32n) | word(PHYS_LO),
    flags: leaf.data[at + FLAGS] as number,
  };
}

export function linkBefore(fresh: Leaf, leaf: Leaf): void {
  fresh.prev = leaf.prev;
  fresh.next = leaf;
  if (leaf.prev) leaf.prev.next = fresh;
  leaf.prev = fresh;
}

export function linkAfter(leaf: Leaf, fresh: Leaf): void {
  fresh.next = leaf.next;
  fresh.prev = leaf;
  if (leaf.next) leaf.next.prev = fresh;
  leaf.next = fresh;
}

export function unlink(leaf: Leaf): void {
  if (leaf.prev) leaf.prev.next = leaf.next;
  if (leaf.next) leaf.next.prev = leaf.prev;
}

/** Joins the child with a neighbour below the same parent, if both fit; the right one goes. */
export function joinWithNeighbour(parent: Inner, index: number): boolean {
  for (const left of [index - 1, index]) {
    const a = parent.kids[left];
    const b = parent.kids[left + 1];
    if (left < 0 || a === undefined || b === undefined || a.count + b.count > JOIN) continue;
    if (a instanceof Leaf && b instanceof Leaf) {
      a.reserve(a.count + b.count);
      a.data.set(b.data.subarray(0, b.count * WORDS), a.count * WORDS);
      a.count += b.count;
      unlink(b);
    } else {
      joinInner(a as Inner, b as Inner, parent, left + 1);
    }
    parent.removeAt(left + 1);
    return true;
  }
  return false;
}

/** Moves the children of `b`, child `index` of the parent, behind those of `a`. */
function joinInner(a: Inner, b: Inner, parent: Inner, index: number): void {
  // The first key of an inner node is never looked at: the parent knows the bound.
  b.keys[0] = parent.keys[index * 2] as number;
  b.keys[1] = parent.keys[index * 2 + 1] as number;
  for (let i = 0; i < b.count; i++) {
    a.insertAt(a.count, b.keys[i * 2] as number, b.keys[i * 2 + 1] as number, b.kids[i] as Node);
  }
}
