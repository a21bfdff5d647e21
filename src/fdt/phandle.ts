import { hex } from '../bytes/index.ts';
import { FDT_PHANDLE_INVALID } from '../spec/fdt.ts';
import { FdtTreeError } from './error.ts';
import { plainBytes, validPhandle } from './names.ts';
import { findPath, FdtNode, walk, type FdtLinked } from './tree.ts';
import { cells, decodeU32 } from './value.ts';

/** The phandle a node has, from `phandle` or the older `linux,phandle`; undefined without one. */
export function phandleOf(node: FdtNode): number | undefined {
  return decodeU32(plainBytes(node, 'phandle')) ?? decodeU32(plainBytes(node, 'linux,phandle'));
}

/** The nodes by phandle. Where two share one, the first in tree order has it, as in Linux. */
export function phandleIndex(root: FdtNode): Map<number, FdtNode> {
  const index = new Map<number, FdtNode>();
  for (const { node } of walk(root)) {
    const phandle = phandleOf(node);
    if (phandle !== undefined && validPhandle(phandle) && !index.has(phandle)) {
      index.set(phandle, node);
    }
  }
  return index;
}

/** The first node in tree order with this phandle, or undefined. */
export function findPhandle(root: FdtNode, phandle: number): FdtNode | undefined {
  return phandleIndex(root).get(phandle);
}

/** Hands out phandles: ascending, none twice, none of those taken, never 0 or 0xffffffff. */
export class PhandleAllocator {
  readonly #taken: Set<number>;
  #next: number;

  /** `first` is the lowest to hand out. */
  constructor(taken: Iterable<number> = [], first = 1) {
    this.#taken = new Set(taken);
    this.#next = Math.max(1, first);
  }

  /** @throws FdtTreeError when none is left. */
  allocate(): number {
    while (this.#taken.has(this.#next)) this.#next++;
    if (this.#next >= FDT_PHANDLE_INVALID) {
      throw new FdtTreeError('fdt/phandle', '/', 'no phandle left');
    }
    this.#taken.add(this.#next);
    return this.#next++;
  }
}

/** How `resolvePhandles` numbers. */
export interface PhandleOptions {
  /** Phandles not to hand out beside those that the tree has. */
  readonly reserved?: Iterable<number>;
  /** Lowest phandle to hand out; 1 if not given. */
  readonly first?: number;
}

/** A tree without references, and who has which phandle. */
export interface ResolvedTree {
  readonly root: FdtNode;
  /** By node of the tree that was given, those with old phandles included. */
  readonly phandles: ReadonlyMap<FdtNode, number>;
}

/**
 * Fills in every reference of a tree, giving a new tree (unchanged values are shared with the
 * given one, which stays as it is). Phandles that exist are kept; referenced nodes without one
 * get the next free number in tree order, so the same tree always gets the same numbers.
 * @throws FdtTreeError for a reference to a node that is not in the tree.
 */
export function resolvePhandles(root: FdtNode, options: PhandleOptions = {}): ResolvedTree {
  const { paths, links, owners } = survey(root);
  const targets = new Set<FdtNode>();
  const byPath = new Map<string, FdtNode>();
  for (const { value, where } of links) {
    // Most of a long map goes to one node: that one is looked up once.
    let last: FdtNode | string | undefined;
    for (const { to } of value.refs) {
      if (to === last) continue;
      last = to;
      const target = typeof to === 'string' ? (byPath.get(to) ?? findPath(root, to)) : to;
      if (target === undefined || !paths.has(target)) {
        const name = typeof to === 'string' ? to : `"${to.name}"`;
        throw new FdtTreeError(
          'fdt/unresolved',
          where,
          `refers to ${name}, which is not in the tree`,
        );
      }
      if (typeof to === 'string') byPath.set(to, target);
      targets.add(target);
    }
  }
  const phandles = assign(paths, owners, targets, options);
  if (links.length === 0) return { root, phandles };
  const fill = (value: FdtLinked): Uint8Array => {
    const bytes = value.bytes.slice();
    const data = new DataView(bytes.buffer);
    let last: FdtNode | string | undefined;
    let phandle = 0;
    for (const { offset, to } of value.refs) {
      if (to !== last) {
        const node = typeof to === 'string' ? byPath.get(to) : to;
        phandle = (node && phandles.get(node)) ?? 0;
        last = to;
      }
      data.setUint32(offset, phandle);
    }
    return bytes;
  };
  const copies = new Map<FdtNode, FdtNode>();
  for (const { node, parent } of walk(root)) {
    const copy = new FdtNode(node.name);
    for (const [name, value] of node.props) {
      copy.props.set(name, value instanceof Uint8Array ? value : fill(value));
    }
    const phandle = phandles.get(node);
    if (phandle !== undefined && targets.has(node) && phandleOf(node) === undefined) {
      copy.props.set('phandle', cells(phandle));
    }
    copies.set(node, copy);
    if (parent !== undefined) copies.get(parent)?.children.push(copy);
  }
  return { root: copies.get(root) ?? root, phandles };
}

interface Survey {
  readonly paths: Map<FdtNode, string>;
  readonly links: { readonly value: FdtLinked; readonly where: string }[];
  readonly owners: Map<number, FdtNode>;
}

function survey(root: FdtNode): Survey {
  const found: Survey = { paths: new Map(), links: [], owners: new Map() };
  for (const { node, path } of walk(root)) {
    const other = found.paths.get(node);
    if (other !== undefined) {
      throw new FdtTreeError('fdt/shared-node', path, `the same node is also at ${other}`);
    }
    found.paths.set(node, path);
    for (const [name, value] of node.props) {
      if (!(value instanceof Uint8Array)) found.links.push({ value, where: `${path}:${name}` });
    }
    const phandle = phandleOf(node);
    if (phandle !== undefined && !found.owners.has(phandle)) found.owners.set(phandle, node);
  }
  return found;
}

function assign(
  paths: ReadonlyMap<FdtNode, string>,
  owners: ReadonlyMap<number, FdtNode>,
  targets: ReadonlySet<FdtNode>,
  options: PhandleOptions,
): Map<FdtNode, number> {
  const phandles = new Map<FdtNode, number>();
  const taken = [...owners.keys()];
  const allocator = new PhandleAllocator([...taken, ...(options.reserved ?? [])], options.first);
  for (const [node, path] of paths) {
    const old = phandleOf(node);
    if (old !== undefined) {
      if (targets.has(node) && (!validPhandle(old) || owners.get(old) !== node)) {
        const why = validPhandle(old) ? 'is shared with an earlier node' : 'is not valid';
        throw new FdtTreeError(
          'fdt/phandle',
          path,
          `referred to, but its phandle ${hex(old)} ${why}`,
        );
      }
      phandles.set(node, old);
    } else if (targets.has(node)) {
      phandles.set(node, allocator.allocate());
    }
  }
  return phandles;
}
