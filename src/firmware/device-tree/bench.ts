import { cells, FdtNode, findPath, joinPath, ref, type FdtCell } from '../../fdt/index.ts';
import type { NodeRef } from '../../topology/index.ts';
import { FirmwareError } from '../error.ts';

/** The highest phandle that may be given out, which never is: what points to it points nowhere. */
export const NOBODYS_PHANDLE = 0xffff_fffe;

/** Makes the properties of a node that nobody described but that lies on the way to one. */
export type Filler = (node: FdtNode, path: string, parent: string) => void;

/** A tree in the making, and which node stands for which key of a description. */
export class TreeBench {
  readonly root: FdtNode;
  readonly #byKey = new Map<string, FdtNode>();
  readonly #undescribed: ReadonlySet<string>;

  /** `undescribed` are keys that may be referred to although they have no node. */
  constructor(root: FdtNode, undescribed: Iterable<string> = []) {
    this.root = root;
    this.#undescribed = new Set(undescribed);
  }

  /** The node at `path`; it and its parents are made where they are missing. */
  ensure(path: string, fill?: Filler): FdtNode {
    if (!path.startsWith('/')) {
      throw new FirmwareError('firmware/node-path', `${path} is not a path in a device tree`);
    }
    let node = this.root;
    let here = '/';
    for (const name of path.split('/')) {
      if (name === '') continue;
      const parent = here;
      here = joinPath(parent, name);
      let next = node.children.find((child) => child.name === name);
      if (next === undefined) {
        next = node.add(new FdtNode(name));
        if (here !== path) fill?.(next, here, parent);
      }
      node = next;
    }
    return node;
  }

  /** The node that stands for `key`, made at `path` where it is missing. */
  claim(key: string, path: string, fill?: Filler): FdtNode {
    const node = this.ensure(path, fill);
    this.#byKey.set(key, node);
    return node;
  }

  /** Lets `key` stand for a node that exists. */
  assign(key: string, node: FdtNode): void {
    this.#byKey.set(key, node);
  }

  /** The node of a key, or undefined. */
  node(key: string): FdtNode | undefined {
    return this.#byKey.get(key);
  }

  /** The cell that names a node: its phandle to be, or the number that names nothing. */
  cell(target: NodeRef): FdtCell {
    if ('phandle' in target) return target.phandle;
    const node = this.#byKey.get(target.key) ?? this.#atPath(target.key);
    if (node === undefined && this.#undescribed.has(target.key)) return NOBODYS_PHANDLE;
    if (node === undefined) {
      throw new FirmwareError(
        'firmware/dangling-reference',
        `the description refers to "${target.key}", which it does not contain`,
      );
    }
    return ref(node);
  }

  #atPath(key: string): FdtNode | undefined {
    return key.startsWith('/') ? findPath(this.root, key) : undefined;
  }
}

/** A 64-bit number as two cells. */
export function wide(value: bigint): [number, number] {
  return [Number(BigInt.asUintN(32, value >> 32n)), Number(BigInt.asUintN(32, value))];
}

/** Sets `name` to cells, or takes it away. */
export function setCells(
  node: FdtNode,
  name: string,
  value: number | readonly FdtCell[] | undefined,
): void {
  if (value === undefined) node.props.delete(name);
  else if (typeof value === 'number') node.set(name, cells(value));
  else node.set(name, cells(value));
}
