import type { Range } from '../bytes/index.ts';
import {
  END_HI,
  END_LO,
  entryOf,
  FAN,
  FLAGS,
  LOW,
  PHYS_HI,
  PHYS_LO,
  START_HI,
  START_LO,
  startsAt,
  WORDS,
  type Leaf,
  type Mapping,
} from './tree-nodes.ts';
import { NodeTree } from './node-tree.ts';
import { less, lower, upper } from './wide.ts';

/**
 * The mappings of one domain: disjoint IOVA ranges, each with a physical start and flags.
 *
 * A B+tree whose leaves are flat `Uint32Array`s. Addresses are pairs of 32-bit halves, so that the
 * whole 64-bit space is exact and a lookup allocates nothing. A leaf remembers its neighbours; the
 * last hit is tried first, which makes sequential DMA a matter of two comparisons.
 */

export type { Mapping };

/** What {@link MappingTree.removeWithin} answers when a mapping would have to be split. */
export const WOULD_SPLIT = -1;

export class MappingTree {
  /** Number of mappings. */
  size = 0;

  // The entry that `find` met: valid until the next change. Fields instead of an object, so that an
  // access allocates nothing.
  hitStartHi = 0;
  hitStartLo = 0;
  hitEndHi = 0;
  hitEndLo = 0;
  hitPhysHi = 0;
  hitPhysLo = 0;
  hitFlags = 0;

  readonly #nodes = new NodeTree();
  #hitValid = false;
  /** Where the hit stands, to try its neighbour next; undefined when entries have moved. */
  #hitLeaf: Leaf | undefined;
  #hitIndex = 0;

  /** Looks up the mapping that contains the address; on true the `hit…` fields describe it. */
  find(hi: number, lo: number): boolean {
    if (this.#hitValid && this.#hitContains(hi, lo)) return true;
    // Sequential accesses go on in the next mapping.
    let leaf = this.#hitLeaf;
    if (leaf !== undefined) {
      const next = this.#hitIndex + 1;
      if (next < leaf.count && leaf.contains(next, hi, lo)) return this.#hit(leaf, next);
    }
    leaf = this.#nodes.leafOf(hi, lo);
    let index = leaf.upperBound(hi, lo) - 1;
    if (index < 0) {
      leaf = leaf.prev;
      if (leaf === undefined || leaf.count === 0) return false;
      index = leaf.count - 1;
    }
    return leaf.endsAtOrAfter(index, hi, lo) && this.#hit(leaf, index);
  }

  /** Adds a mapping; false, and nothing changes, when it would overlap one. Needs start <= end. */
  insert(
    startHi: number,
    startLo: number,
    endHi: number,
    endLo: number,
    physHi: number,
    physLo: number,
    flags: number,
  ): boolean {
    const leaf = this.#nodes.descend(startHi, startLo);
    const index = leaf.upperBound(startHi, startLo);
    if (this.#overlapsNeighbours(leaf, index, startHi, startLo, endHi, endLo)) return false;
    let at = index;
    let target = leaf;
    if (leaf.count === FAN) {
      at = this.#nodes.makeRoom(leaf, index);
      target = this.#nodes.roomLeaf;
    }
    const data = target.open(at);
    const word = at * WORDS;
    data[word + START_HI] = startHi;
    data[word + START_LO] = startLo;
    data[word + END_HI] = endHi;
    data[word + END_LO] = endLo;
    data[word + PHYS_HI] = physHi;
    data[word + PHYS_LO] = physLo;
    data[word + FLAGS] = flags;
    this.#hitLeaf = undefined;
    this.size++;
    return true;
  }

  /** Whether any mapping has an address of the range. */
  overlaps(startHi: number, startLo: number, endHi: number, endLo: number): boolean {
    const leaf = this.#nodes.descend(startHi, startLo);
    const index = leaf.upperBound(startHi, startLo);
    return this.#overlapsNeighbours(leaf, index, startHi, startLo, endHi, endLo);
  }

  /** Whether some mapping lies partly inside the range and partly outside. */
  wouldSplit(startHi: number, startLo: number, endHi: number, endLo: number): boolean {
    return (
      (this.find(startHi, startLo) && less(this.hitStartHi, this.hitStartLo, startHi, startLo)) ||
      (this.find(endHi, endLo) && less(endHi, endLo, this.hitEndHi, this.hitEndLo))
    );
  }

  /**
   * Removes every mapping inside the range and returns how many. When one reaches beyond the range,
   * nothing is removed and the answer is {@link WOULD_SPLIT} (VIRTIO 1.3, UNMAP request).
   */
  removeWithin(startHi: number, startLo: number, endHi: number, endLo: number): number {
    if (this.wouldSplit(startHi, startLo, endHi, endLo)) return WOULD_SPLIT;
    const hitLeaf = this.#hitLeaf;
    const wasHit = this.#hitValid && this.#hitIs(startHi, startLo, endHi, endLo);
    this.#hitValid = false;
    this.#hitLeaf = undefined;
    // Most often it is the one mapping just looked at, and its leaf need not shrink.
    if (wasHit && hitLeaf !== undefined && hitLeaf.count > LOW) {
      const index = this.#hitIndex;
      hitLeaf.close(index, index + 1);
      this.size--;
      return 1;
    }
    let total = 0;
    for (;;) {
      let leaf = this.#nodes.descend(startHi, startLo);
      // Entries that start at or after the range's start and not after its end: all lie inside.
      let from = leaf.upperBound(startHi, startLo);
      if (from > 0 && startsAt(leaf, from - 1, startHi, startLo)) from--;
      if (from === leaf.count) {
        const next = leaf.next;
        if (next === undefined || next.count === 0) return total;
        const nextHi = next.data[START_HI] as number;
        const nextLo = next.data[START_LO] as number;
        if (less(endHi, endLo, nextHi, nextLo)) return total;
        // Descend again so that the path leads to the leaf that is about to change.
        leaf = this.#nodes.descend(nextHi, nextLo);
        /* v8 ignore next -- an assertion: keys never lie beyond the first entry below them */
        if (leaf !== next) throw new Error('mapping tree: path lost');
        from = 0;
      }
      const to = leaf.upperBound(endHi, endLo);
      if (to <= from) return total;
      const isLast = to < leaf.count;
      total += to - from;
      this.size -= to - from;
      leaf.close(from, to);
      if (leaf.count < LOW) this.#nodes.shrink(leaf);
      if (isLast) return total;
    }
  }

  /** Forgets all mappings. */
  clear(): void {
    this.#nodes.clear();
    this.#hitLeaf = undefined;
    this.#hitValid = false;
    this.size = 0;
  }

  /** The mappings, or those that meet a range, ascending. The tree must not change meanwhile. */
  *entries(within?: Range): Generator<Mapping> {
    const start = within?.start ?? 0n;
    let leaf: Leaf | undefined = this.#nodes.descend(upper(start), lower(start));
    let i = leaf.upperBound(upper(start), lower(start)) - 1;
    if (i < 0 && leaf.prev !== undefined) {
      leaf = leaf.prev;
      i = leaf.count - 1;
    }
    for (i = Math.max(0, i); leaf !== undefined; leaf = leaf.next, i = 0) {
      for (; i < leaf.count; i++) {
        const entry = entryOf(leaf, i);
        if (within && entry.start > within.end) return;
        if (entry.end >= start) yield entry;
      }
    }
  }

  /** Bytes held by nodes, for the statement of memory use. */
  get bytes(): number {
    return this.#nodes.bytes;
  }

  #hitContains(hi: number, lo: number): boolean {
    return (
      !less(hi, lo, this.hitStartHi, this.hitStartLo) && !less(this.hitEndHi, this.hitEndLo, hi, lo)
    );
  }

  #hit(leaf: Leaf, index: number): true {
    const data = leaf.data;
    const at = index * WORDS;
    this.hitStartHi = data[at + START_HI] as number;
    this.hitStartLo = data[at + START_LO] as number;
    this.hitEndHi = data[at + END_HI] as number;
    this.hitEndLo = data[at + END_LO] as number;
    this.hitPhysHi = data[at + PHYS_HI] as number;
    this.hitPhysLo = data[at + PHYS_LO] as number;
    this.hitFlags = data[at + FLAGS] as number;
    this.#hitLeaf = leaf;
    this.#hitIndex = index;
    this.#hitValid = true;
    return true;
  }

  #hitIs(startHi: number, startLo: number, endHi: number, endLo: number): boolean {
    return (
      this.hitStartLo === startLo &&
      this.hitEndLo === endLo &&
      this.hitStartHi === startHi &&
      this.hitEndHi === endHi
    );
  }

  /** `index`: how many entries of `leaf` start at or before the range. */
  #overlapsNeighbours(
    leaf: Leaf,
    index: number,
    startHi: number,
    startLo: number,
    endHi: number,
    endLo: number,
  ): boolean {
    const before = index > 0 ? leaf : leaf.prev;
    if (before !== undefined && before.count > 0) {
      const at = (index > 0 ? index - 1 : before.count - 1) * WORDS;
      const hi = before.data[at + END_HI] as number;
      if (!less(hi, before.data[at + END_LO] as number, startHi, startLo)) return true;
    }
    const after = index < leaf.count ? leaf : leaf.next;
    if (after === undefined || after.count === 0) return false;
    const at = (index < leaf.count ? index : 0) * WORDS;
    const hi = after.data[at + START_HI] as number;
    return !less(endHi, endLo, hi, after.data[at + START_LO] as number);
  }
}
