import { FDT_MAX_DEPTH } from '../spec/fdt.ts';
import { FdtTreeError } from './error.ts';

/** A place in a value where the phandle of another node goes. */
export interface FdtLink {
  /** Bytes from the start of the value, of the u32 that the phandle becomes. */
  readonly offset: number;
  /** The node itself, or the absolute path of one in the tree that is written. */
  readonly to: FdtNode | string;
}

/** A value that names other nodes; `resolvePhandles` fills in the cells at `refs`. */
export interface FdtLinked {
  readonly bytes: Uint8Array;
  readonly refs: readonly FdtLink[];
}

/** The value of a property: plain bytes, or bytes with phandles still to be filled in. */
export type FdtValue = Uint8Array | FdtLinked;

/** A node of a device tree. The root's name is empty. Order of properties and children is kept. */
export class FdtNode {
  name: string;
  readonly props: Map<string, FdtValue>;
  readonly children: FdtNode[];

  constructor(
    name: string,
    props: Readonly<Record<string, FdtValue>> = {},
    children: readonly FdtNode[] = [],
  ) {
    this.name = name;
    this.props = new Map(Object.entries(props));
    this.children = children.slice();
  }

  /** Sets a property; a new one goes after those that exist. */
  set(name: string, value: FdtValue): this {
    this.props.set(name, value);
    return this;
  }

  /** Appends a child and returns that child. */
  add(child: FdtNode): FdtNode {
    this.children.push(child);
    return child;
  }

  /**
   * The bytes of a property, or undefined when the node has none of that name.
   * @throws FdtTreeError `fdt/unresolved` when phandles have not been filled in yet.
   */
  bytes(name: string): Uint8Array | undefined {
    const value = this.props.get(name);
    if (value === undefined || value instanceof Uint8Array) return value;
    throw new FdtTreeError(
      'fdt/unresolved',
      `${this.name || '/'}:${name}`,
      'phandles not filled in',
    );
  }
}

/** `/soc` and `serial@0` make `/soc/serial@0`; the root's path is `/`. */
export function joinPath(parent: string, name: string): string {
  return parent === '/' ? `/${name}` : `${parent}/${name}`;
}

/** Where a walk is. */
export interface FdtVisit {
  readonly node: FdtNode;
  readonly path: string;
  readonly parent: FdtNode | undefined;
  /** 0 at the root. */
  readonly depth: number;
}

/**
 * Every node in tree order (parents before children), with its path.
 * @throws FdtTreeError `fdt/depth` at more than `FDT_MAX_DEPTH` levels, so a cycle ends too.
 */
export function* walk(root: FdtNode): Generator<FdtVisit, void, undefined> {
  const stack: { readonly visit: FdtVisit; next: number }[] = [];
  const first: FdtVisit = { node: root, path: '/', parent: undefined, depth: 0 };
  yield first;
  stack.push({ visit: first, next: 0 });
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const { node, path, depth } = top.visit;
    const child = node.children[top.next++];
    if (child === undefined) {
      stack.pop();
      continue;
    }
    const below = joinPath(path, child.name);
    if (depth + 1 >= FDT_MAX_DEPTH) {
      throw new FdtTreeError('fdt/depth', path, `more than ${FDT_MAX_DEPTH} levels of nodes`);
    }
    const visit: FdtVisit = { node: child, path: below, parent: node, depth: depth + 1 };
    yield visit;
    stack.push({ visit, next: 0 });
  }
}

/** `serial@9000000` is `serial` at `9000000`; the address is undefined without an `@`. */
export function splitName(name: string): { readonly base: string; readonly unit?: string } {
  const at = name.indexOf('@');
  return at < 0 ? { base: name } : { base: name.slice(0, at), unit: name.slice(at + 1) };
}

function normalUnit(unit: string): string {
  return unit
    .toLowerCase()
    .split(',')
    .map((part) => part.replace(/^0+(?=.)/, ''))
    .join(',');
}

/** Children by what a path component, or a node of an overlay, may call them. */
export class ChildIndex {
  readonly #exact = new Map<string, FdtNode>();
  readonly #normal = new Map<string, FdtNode[]>();
  readonly #base = new Map<string, FdtNode[]>();

  constructor(children: Iterable<FdtNode>) {
    for (const child of children) {
      const { base, unit } = splitName(child.name);
      if (!this.#exact.has(child.name)) this.#exact.set(child.name, child);
      if (unit === undefined) continue;
      append(this.#base, base, child);
      append(this.#normal, `${base}@${normalUnit(unit)}`, child);
    }
  }

  /**
   * The child of exactly that name; else those with the same unit address written otherwise
   * (`@08000000`, `@800ABC`); else, when `name` has no unit address, all of that base name.
   */
  match(name: string): readonly FdtNode[] {
    const exact = this.#exact.get(name);
    if (exact !== undefined) return [exact];
    const { base, unit } = splitName(name);
    if (unit === undefined) return this.#base.get(base) ?? [];
    return this.#normal.get(`${base}@${normalUnit(unit)}`) ?? [];
  }
}

function append(lists: Map<string, FdtNode[]>, key: string, node: FdtNode): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [node]);
  else list.push(node);
}

/**
 * The node at an absolute path, or undefined. A component may leave out its unit address when
 * that is unambiguous (Devicetree Specification, Path Names).
 * @throws FdtTreeError `fdt/path` when the path is not absolute or is ambiguous.
 */
export function findPath(root: FdtNode, path: string): FdtNode | undefined {
  if (!path.startsWith('/')) throw new FdtTreeError('fdt/path', path, 'not an absolute path');
  let node = root;
  for (const name of path.split('/')) {
    if (name === '') continue;
    const [child, another] = new ChildIndex(node.children).match(name);
    if (child === undefined) return undefined;
    if (another !== undefined) {
      throw new FdtTreeError('fdt/path', path, `"${name}" may be ${child.name} or ${another.name}`);
    }
    node = child;
  }
  return node;
}
