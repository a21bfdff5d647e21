import { FormatError, hex, type ByteView } from '../bytes/index.ts';
import {
  FDT_BEGIN_NODE,
  FDT_END,
  FDT_END_NODE,
  FDT_MAX_DEPTH,
  FDT_NOP,
  FDT_PROP,
  FDT_TAGSIZE,
} from '../spec/fdt.ts';
import { readLayout, type FdtLayout } from './layout.ts';
import { nodeNameProblem, propertyNameProblem, validPhandle } from './names.ts';
import { FdtNode, joinPath } from './tree.ts';
import { decodeU32 } from './value.ts';
import type { FdtWarn, FdtWarning } from './warnings.ts';
import type { MemReserve } from './write.ts';

/** Where a node is in the blob it was read from. */
export interface NodeOffsets {
  /** Of its FDT_BEGIN_NODE token, bytes from the start of the blob. */
  readonly node: number;
  /** By property name, of the first byte of its value. */
  readonly props: ReadonlyMap<string, number>;
}

/** What a blob holds. */
export interface FdtBlob {
  /** All values are bytes; of properties with the same name the first is kept, as in Linux. */
  readonly tree: FdtNode;
  readonly bootCpuid: number;
  readonly memReserve: readonly MemReserve[];
  /** In the order found; at most `ReadLimits.warnings`. */
  readonly warnings: readonly FdtWarning[];
  /** How many more there were. */
  readonly warningsOmitted: number;
  readonly offsets: ReadonlyMap<FdtNode, NodeOffsets>;
}

/** How much of a hostile blob is taken in. */
export interface ReadLimits {
  /** Largest `totalsize`. 64 MiB if not given: 16 times the largest tree built here. */
  readonly bytes?: number;
  /** Nodes and properties together. 2^20 if not given, some 0.5 GB of heap. */
  readonly items?: number;
  /** Warnings kept. 1000 if not given. */
  readonly warnings?: number;
}

/** Names beyond this many bytes are refused, so that names and paths stay small. */
const NAME_LIMIT = 255;

/**
 * Reads a flattened device tree (version 17, or newer and compatible with 17).
 *
 * Takes time and memory linear in the size of the blob. What libfdt would read but mean otherwise
 * than it looks (a property after a child node, which Linux does not see; two nodes with one
 * phandle) is read and listed in `warnings`.
 * @throws FormatError `fdt/magic`, `fdt/version`, `fdt/truncated`, `fdt/too-large`,
 * `fdt/alignment`, `fdt/overlap`, `fdt/unbalanced`, `fdt/depth`, `fdt/root-name`,
 * `fdt/bad-token`, `fdt/bad-nameoff` or `fdt/name-too-long`, with the offset.
 */
export function readFdt(input: Uint8Array, limits: ReadLimits = {}): FdtBlob {
  const warnings: FdtWarning[] = [];
  const most = limits.warnings ?? 1000;
  let omitted = 0;
  const warn: FdtWarn = (code, offset, path, message) => {
    if (warnings.length < most) warnings.push({ code, offset, path, message });
    else omitted++;
  };
  const layout = readLayout(input, limits.bytes ?? 64 << 20, warn);
  const reader = new StructReader(layout, warn, limits.items ?? 1 << 20);
  const tree = reader.read();
  return {
    tree,
    bootCpuid: layout.bootCpuid,
    memReserve: layout.memReserve,
    warnings,
    warningsOmitted: omitted,
    offsets: reader.offsets,
  };
}

interface OpenNode {
  readonly node: FdtNode;
  readonly path: string;
  readonly props: Map<string, number>;
  readonly childNames: Set<string>;
  phandle: number | undefined;
}

/** Walks the structure block once, front to back, with a stack of open nodes. */
class StructReader {
  readonly offsets: Map<FdtNode, NodeOffsets> = new Map();
  readonly #layout: FdtLayout;
  readonly #view: ByteView;
  readonly #warn: FdtWarn;
  readonly #names = new Map<number, string>();
  readonly #phandles = new Map<number, string>();
  readonly #open: OpenNode[] = [];
  #root: FdtNode | undefined;
  #itemsLeft: number;
  #at: number;

  constructor(layout: FdtLayout, warn: FdtWarn, items: number) {
    this.#layout = layout;
    this.#view = layout.view;
    this.#warn = warn;
    this.#itemsLeft = items;
    this.#at = layout.structStart;
  }

  read(): FdtNode {
    for (;;) {
      const offset = this.#at;
      const token = this.#u32('token, FDT_END missing');
      if (token === FDT_BEGIN_NODE) this.#beginNode(offset);
      else if (token === FDT_PROP) this.#property(offset);
      else if (token === FDT_END_NODE) this.#endNode(offset);
      else if (token === FDT_END) return this.#end(offset);
      else if (token !== FDT_NOP) {
        throw new FormatError('fdt/bad-token', offset, `unknown token ${hex(token)}`);
      } else if (this.#root === undefined) {
        this.#warn('fdt/nop-before-root', offset, '/', 'FDT_NOP before the root: dtc stops here');
      }
    }
  }

  #u32(what: string): number {
    const offset = this.#at;
    if (offset + FDT_TAGSIZE > this.#layout.structLimit) {
      throw new FormatError('fdt/truncated', offset, `structure block ends in ${what}`);
    }
    this.#at = offset + FDT_TAGSIZE;
    return this.#view.u32(offset);
  }

  /** Takes `size` bytes and the padding up to the next token. */
  #take(size: number, what: string): Uint8Array {
    const offset = this.#at;
    if (offset + size > this.#layout.structLimit) {
      const why = `${what} of ${size} bytes ends after the structure block`;
      throw new FormatError('fdt/truncated', offset, why);
    }
    this.#at = offset + size + (-size & (FDT_TAGSIZE - 1));
    return this.#view.slice(offset, size);
  }

  #count(offset: number): void {
    if (this.#itemsLeft-- > 0) return;
    throw new FormatError('fdt/too-large', offset, 'too many nodes and properties');
  }

  #beginNode(offset: number): void {
    this.#count(offset);
    const name = this.#text(this.#at, this.#layout.structLimit, offset, 'node name');
    this.#take(name.length + 1, 'node name');
    const parent = this.#open.at(-1);
    if (parent === undefined) {
      if (this.#root !== undefined) {
        throw new FormatError('fdt/unbalanced', offset, 'a second root node');
      }
      if (name !== '') throw new FormatError('fdt/root-name', offset, `root named "${name}"`);
    }
    if (this.#open.length >= FDT_MAX_DEPTH) {
      throw new FormatError('fdt/depth', offset, `more than ${FDT_MAX_DEPTH} levels of nodes`);
    }
    const node = new FdtNode(name);
    const path = parent === undefined ? '/' : joinPath(parent.path, name);
    if (parent === undefined) {
      this.#root = node;
    } else {
      const problem = nodeNameProblem(name);
      if (problem !== undefined) this.#warn('fdt/node-name', offset, path, problem);
      if (parent.childNames.has(name)) {
        this.#warn('fdt/duplicate-node', offset, path, 'a second node of this name');
      }
      parent.childNames.add(name);
      parent.node.children.push(node);
    }
    const props = new Map<string, number>();
    this.offsets.set(node, { node: offset, props });
    this.#open.push({ node, path, props, childNames: new Set(), phandle: undefined });
  }

  #endNode(offset: number): void {
    if (this.#open.pop() === undefined) {
      throw new FormatError('fdt/unbalanced', offset, 'FDT_END_NODE without a node');
    }
  }

  #end(offset: number): FdtNode {
    if (this.#open.length > 0 || this.#root === undefined) {
      const why =
        this.#root === undefined ? 'no root node' : `${this.#open.length} nodes left open`;
      throw new FormatError('fdt/unbalanced', offset, `FDT_END with ${why}`);
    }
    const slack = this.#layout.structLimit - this.#at;
    if (slack > 0) {
      this.#warn('fdt/struct-slack', this.#at, '/', `${slack} bytes after FDT_END`);
    }
    return this.#root;
  }

  #property(offset: number): void {
    this.#count(offset);
    const length = this.#u32('property length');
    const nameoff = this.#u32('property name');
    const start = this.#at;
    const value = this.#take(length, 'property value');
    const name = this.#propertyName(nameoff, offset);
    const open = this.#open.at(-1);
    if (open === undefined) {
      throw new FormatError('fdt/unbalanced', offset, `property ${name} outside of any node`);
    }
    const where = `${open.path}:${name}`;
    const problem = propertyNameProblem(name);
    if (problem !== undefined) this.#warn('fdt/property-name', offset, where, problem);
    if (open.node.children.length > 0) {
      const why = 'property after a child node: libfdt and Linux do not see it';
      this.#warn('fdt/property-after-node', offset, where, why);
    }
    if (open.props.has(name)) {
      this.#warn('fdt/duplicate-property', offset, where, 'a second property of this name');
      return;
    }
    open.props.set(name, start);
    open.node.props.set(name, value);
    if (name === 'phandle' || name === 'linux,phandle') this.#phandle(open, value, start, where);
  }

  #phandle(open: OpenNode, value: Uint8Array, offset: number, where: string): void {
    const phandle = decodeU32(value);
    if (phandle === undefined || !validPhandle(phandle)) {
      const shown = phandle === undefined ? `${value.length} bytes` : hex(phandle);
      this.#warn('fdt/phandle', offset, where, `${shown} is no phandle`);
      return;
    }
    if (open.phandle !== undefined) {
      if (open.phandle !== phandle) {
        this.#warn('fdt/phandle', offset, where, `${hex(phandle)}, but also ${hex(open.phandle)}`);
      }
      return;
    }
    open.phandle = phandle;
    const owner = this.#phandles.get(phandle);
    if (owner === undefined) this.#phandles.set(phandle, open.path);
    else this.#warn('fdt/duplicate-phandle', offset, where, `${hex(phandle)} is that of ${owner}`);
  }

  #propertyName(nameoff: number, offset: number): string {
    const { stringsStart, stringsLimit } = this.#layout;
    if (nameoff >= stringsLimit - stringsStart) {
      const why = `nameoff ${hex(nameoff)} is outside of the strings block`;
      throw new FormatError('fdt/bad-nameoff', offset, why);
    }
    // Each offset is decoded once: a name can be used by millions of properties.
    let name = this.#names.get(nameoff);
    if (name === undefined) {
      name = this.#text(stringsStart + nameoff, stringsLimit, offset, 'property name');
      this.#names.set(nameoff, name);
    }
    return name;
  }

  /** Latin-1 text up to a NUL that must come before `limit`. */
  #text(start: number, limit: number, offset: number, what: string): string {
    const most = Math.min(limit, start + NAME_LIMIT + 1);
    const { bytes } = this.#view;
    let end = start;
    while (end < most && bytes[end] !== 0) end++;
    if (end < most) return this.#view.latin1(start, end - start);
    if (most < limit) {
      throw new FormatError(
        'fdt/name-too-long',
        offset,
        `${what} of more than ${NAME_LIMIT} bytes`,
      );
    }
    throw new FormatError('fdt/truncated', offset, `${what} without a NUL`);
  }
}
