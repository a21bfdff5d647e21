import { less } from './wide.ts';

/**
 * The mappings of one domain: disjoint IOVA ranges, each with a physical start and flags.
 *
 * A B+tree whose leaves are flat `Uint32Array`s. Addresses are pairs of 32-bit halves, so that the
 * whole 64-bit space is exact and a lookup allocates nothing. A leaf remembers its neighbours; the
 * last hit is tried first, which makes sequential DMA a matter of two comparisons.
 */

/** Words of an entry: start, end (both included), physical start, flags, one spare for alignment. */
const WORDS = 8;
const START_HI = 0;
const START_LO = 1;
const END_HI = 2;
const END_LO = 3;
const PHYS_HI = 4;
const PHYS_LO = 5;
const FLAGS = 6;

/** Entries of a leaf, children of an inner node. 64 × 32 bytes fill half a page. */
const FAN = 64;
/** Below this a node looks for a neighbour to join. */
const LOW = FAN / 4;
/** Two neighbours are joined when they fit in this, so that a join is not undone at once. */
const JOIN = (FAN * 3) / 4;
const FIRST_CAPACITY = 4;

class Leaf {
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

class Inner {
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

type Node = Leaf | Inner;

/** One mapping, for listings; addresses include their end. */
export interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
  readonly physical: bigint;
  readonly flags: number;
}

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

  #root: Node = new Leaf();
  #hitValid = false;
  readonly #path: Inner[] = [];
  readonly #pathIndex: number[] = [];

  /** Looks up the mapping that contains the address; on true the `hit…` fields describe it. */
  find(hi: number, lo: number): boolean {
    if (this.#hitValid && this.#hitContains(hi, lo)) return true;
    let node = this.#root;
    while (node instanceof Inner) node = node.kids[node.childFor(hi, lo)] as Node;
    let leaf: Leaf | undefined = node;
    let index = leaf.upperBound(hi, lo) - 1;
    if (index < 0) {
      leaf = leaf.prev;
      if (leaf === undefined) return false;
      index = leaf.count - 1;
    }
    const data = leaf.data;
    const at = index * WORDS;
    const endHi = data[at + END_HI] as number;
    const endLo = data[at + END_LO] as number;
    if (leaf.count === 0 || endHi < hi || (endHi === hi && endLo < lo)) return false;
    this.hitStartHi = data[at + START_HI] as number;
    this.hitStartLo = data[at + START_LO] as number;
    this.hitEndHi = endHi;
    this.hitEndLo = endLo;
    this.hitPhysHi = data[at + PHYS_HI] as number;
    this.hitPhysLo = data[at + PHYS_LO] as number;
    this.hitFlags = data[at + FLAGS] as number;
    this.#hitValid = true;
    return true;
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
    const leaf = this.#descend(startHi, startLo);
    const index = leaf.upperBound(startHi, startLo);
    if (this.#overlapsNeighbours(leaf, index, startHi, startLo, endHi, endLo)) return false;
    const [target, at] = leaf.count < FAN ? [leaf, index] : this.#splitLeaf(leaf, index);
    target.reserve(target.count + 1);
    const data = target.data;
    const word = at * WORDS;
    data.copyWithin(word + WORDS, word, target.count * WORDS);
    data[word + START_HI] = startHi;
    data[word + START_LO] = startLo;
    data[word + END_HI] = endHi;
    data[word + END_LO] = endLo;
    data[word + PHYS_HI] = physHi;
    data[word + PHYS_LO] = physLo;
    data[word + FLAGS] = flags;
    target.count++;
    this.size++;
    return true;
  }

  /** Whether any mapping has an address of the range. */
  overlaps(startHi: number, startLo: number, endHi: number, endLo: number): boolean {
    const leaf = this.#descend(startHi, startLo);
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
   *
   * @param removed is told each mapping before it goes
   */
  removeWithin(
    startHi: number,
    startLo: number,
    endHi: number,
    endLo: number,
    removed?: (mapping: Mapping) => void,
  ): number {
    if (this.wouldSplit(startHi, startLo, endHi, endLo)) return WOULD_SPLIT;
    this.#hitValid = false;
    let total = 0;
    for (;;) {
      const leaf = this.#descend(startHi, startLo);
      // Entries that start at or after the range's start and not after its end: all lie inside.
      let from = leaf.upperBound(startHi, startLo);
      if (from > 0 && startsAt(leaf, from - 1, startHi, startLo)) from--;
      let owner = leaf;
      if (from === leaf.count) {
        if (leaf.next === undefined || leaf.next.count === 0) return total;
        owner = leaf.next;
        from = 0;
        const word = START_HI;
        const nextHi = owner.data[word] as number;
        const nextLo = owner.data[word + START_LO] as number;
        if (less(endHi, endLo, nextHi, nextLo)) return total;
        // Descend again so that the path leads to the leaf that is about to change.
        if (this.#descend(nextHi, nextLo) !== owner) throw new Error('mapping tree: path lost');
      }
      const to = owner.upperBound(endHi, endLo);
      if (to <= from) return total;
      if (removed) for (let i = from; i < to; i++) removed(entryOf(owner, i));
      total += to - from;
      this.size -= to - from;
      owner.data.copyWithin(from * WORDS, to * WORDS, owner.count * WORDS);
      owner.count -= to - from;
      this.#shrink(owner);
    }
  }

  /** Forgets all mappings. */
  clear(): void {
    this.#root = new Leaf();
    this.#hitValid = false;
    this.size = 0;
  }

  /** All mappings, ascending. The tree must not change meanwhile. */
  *entries(): Generator<Mapping> {
    let node = this.#root;
    while (node instanceof Inner) node = node.kids[0] as Node;
    for (let leaf: Leaf | undefined = node; leaf !== undefined; leaf = leaf.next) {
      for (let i = 0; i < leaf.count; i++) yield entryOf(leaf, i);
    }
  }

  /** Bytes held by nodes, for the statement of memory use. */
  get bytes(): number {
    let total = 0;
    const visit = (node: Node): void => {
      if (node instanceof Leaf) total += node.data.byteLength;
      else {
        total += node.keys.byteLength + 8 * node.kids.length;
        for (const kid of node.kids) visit(kid);
      }
    };
    visit(this.#root);
    return total;
  }

  #hitContains(hi: number, lo: number): boolean {
    return (
      !less(hi, lo, this.hitStartHi, this.hitStartLo) && !less(this.hitEndHi, this.hitEndLo, hi, lo)
    );
  }

  /** The leaf an address belongs to; leaves the way there in `#path`. */
  #descend(hi: number, lo: number): Leaf {
    this.#path.length = 0;
    this.#pathIndex.length = 0;
    let node = this.#root;
    while (node instanceof Inner) {
      const index = node.childFor(hi, lo);
      this.#path.push(node);
      this.#pathIndex.push(index);
      node = node.kids[index] as Node;
    }
    return node;
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

  /**
   * Makes room in a full leaf. A run of ascending (or descending) inserts, which is what IOVA
   * allocators do, leaves full leaves behind instead of halves.
   */
  #splitLeaf(leaf: Leaf, index: number): [Leaf, number] {
    const fresh = new Leaf();
    if (index === 0) {
      // The fresh leaf takes the old one's place in the order; its entries come from now on.
      linkBefore(fresh, leaf);
      const hi = leaf.data[START_HI] as number;
      const lo = leaf.data[START_LO] as number;
      this.#replaceByTwo(fresh, leaf, hi, lo);
      return [fresh, 0];
    }
    const keep = index === FAN ? FAN : FAN / 2;
    fresh.reserve(FAN - keep + 1);
    fresh.data.set(leaf.data.subarray(keep * WORDS, FAN * WORDS));
    fresh.count = FAN - keep;
    leaf.count = keep;
    linkAfter(leaf, fresh);
    if (fresh.count > 0) {
      const at = fresh.data;
      this.#replaceByTwo(leaf, fresh, at[START_HI] as number, at[START_LO] as number);
      // An entry that comes just before the first of `fresh` lies below its key: it stays left.
      return index <= keep ? [leaf, index] : [fresh, index - keep];
    }
    // An empty right sibling: everything after the last end of the left one belongs to it.
    const last = (FAN - 1) * WORDS;
    const endHi = leaf.data[last + END_HI] as number;
    const endLo = leaf.data[last + END_LO] as number;
    const carry = endLo === 0xffffffff ? 1 : 0;
    this.#replaceByTwo(leaf, fresh, endHi + carry, carry ? 0 : endLo + 1);
    return [fresh, 0];
  }

  /** Puts `left` and `right` where the path's last child stands; `key` is the lower bound of right. */
  #replaceByTwo(left: Node, right: Node, keyHi: number, keyLo: number): void {
    let depth = this.#path.length - 1;
    let newLeft = left;
    let newRight = right;
    for (;;) {
      const parent = this.#path[depth];
      if (parent === undefined) {
        const root = new Inner();
        root.insertAt(0, 0, 0, newLeft);
        root.insertAt(1, keyHi, keyLo, newRight);
        this.#root = root;
        return;
      }
      const index = this.#pathIndex[depth] as number;
      parent.kids[index] = newLeft;
      parent.insertAt(index + 1, keyHi, keyLo, newRight);
      if (parent.count <= FAN) return;
      const keep = index + 1 === FAN ? FAN : index === 0 ? 1 : FAN >>> 1;
      const sibling = new Inner();
      for (let i = keep; i < parent.count; i++) {
        sibling.insertAt(
          sibling.count,
          parent.keys[i * 2] as number,
          parent.keys[i * 2 + 1] as number,
          parent.kids[i] as Node,
        );
      }
      keyHi = parent.keys[keep * 2] as number;
      keyLo = parent.keys[keep * 2 + 1] as number;
      parent.kids.length = keep;
      parent.count = keep;
      newLeft = parent;
      newRight = sibling;
      depth--;
    }
  }

  /** Joins or drops nodes along the path after entries of `leaf` went. */
  #shrink(leaf: Leaf): void {
    let node: Node = leaf;
    for (let depth = this.#path.length - 1; depth >= 0; depth--) {
      if (node.count >= LOW) return;
      const parent = this.#path[depth] as Inner;
      const index = this.#pathIndex[depth] as number;
      if (node.count === 0) {
        if (node instanceof Leaf) unlink(node);
        parent.removeAt(index);
      } else if (!joinWithNeighbour(parent, index)) return;
      node = parent;
    }
    // Only the root is left to look at.
    while (this.#root instanceof Inner && this.#root.count <= 1) {
      this.#root = this.#root.kids[0] ?? new Leaf();
    }
  }
}

function startsAt(leaf: Leaf, index: number, hi: number, lo: number): boolean {
  return leaf.data[index * WORDS + START_HI] === hi && leaf.data[index * WORDS + START_LO] === lo;
}

function entryOf(leaf: Leaf, index: number): Mapping {
  const at = index * WORDS;
  const word = (offset: number): bigint => BigInt(leaf.data[at + offset] as number);
  return {
    start: (word(START_HI) << 32n) | word(START_LO),
    end: (word(END_HI) << 32n) | word(END_LO),
    physical: (word(PHYS_HI) << 32n) | word(PHYS_LO),
    flags: leaf.data[at + FLAGS] as number,
  };
}

function linkBefore(fresh: Leaf, leaf: Leaf): void {
  fresh.prev = leaf.prev;
  fresh.next = leaf;
  if (leaf.prev) leaf.prev.next = fresh;
  leaf.prev = fresh;
}

function linkAfter(leaf: Leaf, fresh: Leaf): void {
  fresh.next = leaf.next;
  fresh.prev = leaf;
  if (leaf.next) leaf.next.prev = fresh;
  leaf.next = fresh;
}

function unlink(leaf: Leaf): void {
  if (leaf.prev) leaf.prev.next = leaf.next;
  if (leaf.next) leaf.next.prev = leaf.prev;
}

/** Joins the child with a neighbour below the same parent, if both fit; the right one goes. */
function joinWithNeighbour(parent: Inner, index: number): boolean {
  for (const left of [index - 1, index]) {
    const a = parent.kids[left];
    const b = parent.kids[left + 1];
    if (left < 0 || a === undefined || b === undefined || a.count + b.count > JOIN) continue;
    if (a instanceof Leaf && b instanceof Leaf) {
      a.reserve(a.count + b.count);
      a.data.set(b.data.subarray(0, b.count * WORDS), a.count * WORDS);
      a.count += b.count;
      unlink(b);
    } else if (a instanceof Inner && b instanceof Inner) {
      // The first key of an inner node is never looked at: the parent knows the bound.
      b.keys[0] = parent.keys[(left + 1) * 2] as number;
      b.keys[1] = parent.keys[(left + 1) * 2 + 1] as number;
      for (let i = 0; i < b.count; i++) {
        a.insertAt(
          a.count,
          b.keys[i * 2] as number,
          b.keys[i * 2 + 1] as number,
          b.kids[i] as Node,
        );
      }
    }
    parent.removeAt(left + 1);
    return true;
  }
  return false;
}
