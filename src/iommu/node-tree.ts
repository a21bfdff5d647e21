import {
  END_HI,
  END_LO,
  FAN,
  Inner,
  joinWithNeighbour,
  Leaf,
  linkAfter,
  linkBefore,
  LOW,
  START_HI,
  START_LO,
  unlink,
  WORDS,
  type Node,
} from './tree-nodes.ts';

/** The shape of a {@link MappingTree}: ways from the root to a leaf, and how nodes are made and go. */
export class NodeTree {
  /** Where `makeRoom` found room. */
  roomLeaf: Leaf;

  #root: Node;
  /** Levels of inner nodes above the leaves. */
  #height = 0;
  // The way to the leaf of an address, good until a node is made or goes.
  readonly #path: Inner[] = [];
  readonly #pathIndex: number[] = [];
  #pathLeaf: Leaf | undefined;
  #pathHi = 0;
  #pathLo = 0;

  constructor() {
    this.#root = this.roomLeaf = new Leaf();
  }

  clear(): void {
    this.#root = this.roomLeaf = new Leaf();
    this.#height = 0;
    this.#pathLeaf = undefined;
  }

  /** Bytes held by all nodes. */
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

  /** The leaf an address belongs to. */
  leafOf(hi: number, lo: number): Leaf {
    let node = this.#root;
    for (let level = this.#height; level > 0; level--) {
      const inner = node as Inner;
      node = inner.kids[inner.childFor(hi, lo)] as Node;
    }
    return node as Leaf;
  }

  /** As `leafOf`, and remembers the way there for what comes to change that leaf. */
  descend(hi: number, lo: number): Leaf {
    if (this.#pathLeaf !== undefined && this.#pathHi === hi && this.#pathLo === lo) {
      return this.#pathLeaf;
    }
    let node = this.#root;
    for (let depth = 0; depth < this.#height; depth++) {
      const inner = node as Inner;
      const index = inner.childFor(hi, lo);
      this.#path[depth] = inner;
      this.#pathIndex[depth] = index;
      node = inner.kids[index] as Node;
    }
    this.#pathHi = hi;
    this.#pathLo = lo;
    this.#pathLeaf = node as Leaf;
    return this.#pathLeaf;
  }

  /**
   * Makes room in a full leaf, where entry `index` is to be; answers the index in `roomLeaf`. A run
   * of ascending (or descending) inserts, which is what IOVA allocators do, leaves full leaves behind
   * instead of halves.
   */
  makeRoom(leaf: Leaf, index: number): number {
    this.#pathLeaf = undefined;
    const fresh = new Leaf();
    this.roomLeaf = fresh;
    if (index === 0) {
      fresh.reserve(FAN);
      // The fresh leaf takes the old one's place in the order; its entries come from now on.
      linkBefore(fresh, leaf);
      this.#replaceByTwo(fresh, leaf, leaf.data[START_HI] as number, leaf.data[START_LO] as number);
      return 0;
    }
    linkAfter(leaf, fresh);
    if (index === FAN) {
      fresh.reserve(FAN);
      // An empty right sibling: everything after the last end of the left one belongs to it.
      const last = (FAN - 1) * WORDS;
      const endHi = leaf.data[last + END_HI] as number;
      const endLo = leaf.data[last + END_LO] as number;
      const carry = endLo === 0xffffffff ? 1 : 0;
      this.#replaceByTwo(leaf, fresh, endHi + carry, carry ? 0 : endLo + 1);
      return 0;
    }
    const keep = FAN / 2;
    leaf.moveTail(keep, fresh);
    this.#replaceByTwo(leaf, fresh, fresh.data[START_HI] as number, fresh.data[START_LO] as number);
    // An entry that comes just before the first of `fresh` lies below its key: it stays left.
    if (index > keep) return index - keep;
    this.roomLeaf = leaf;
    return index;
  }

  /** Puts `left` and `right` where the path's last child stands; `key` is the lower bound of right. */
  #replaceByTwo(left: Node, right: Node, keyHi: number, keyLo: number): void {
    let depth = this.#height - 1;
    let newLeft = left;
    let newRight = right;
    for (;;) {
      const parent = depth < 0 ? undefined : this.#path[depth];
      if (parent === undefined) {
        const root = new Inner();
        root.insertAt(0, 0, 0, newLeft);
        root.insertAt(1, keyHi, keyLo, newRight);
        this.#root = root;
        this.#height++;
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
  shrink(leaf: Leaf): void {
    this.#pathLeaf = undefined;
    let node: Node = leaf;
    for (let depth = this.#height - 1; depth >= 0; depth--) {
      if (node.count >= LOW) return;
      const parent = this.#path[depth] as Inner;
      const index = this.#pathIndex[depth] as number;
      if (node.count === 0) {
        if (node instanceof Leaf) unlink(node);
        parent.removeAt(index);
      } else if (!joinWithNeighbour(parent, index)) return;
      node = parent;
    }
    // The root has lost a child. With a single one left that is the root.
    while (this.#height > 0 && this.#root.count === 1) {
      this.#root = (this.#root as Inner).kids[0] as Node;
      this.#height--;
    }
  }
}
