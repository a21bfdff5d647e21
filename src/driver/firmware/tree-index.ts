import type { Range } from '../../bytes/index.ts';
import { decodeCells, decodeStrings, phandleOf, walk, type FdtNode } from '../../fdt/index.ts';

/** A node and where it is. */
export interface TreeNode {
  readonly node: FdtNode;
  readonly path: string;
  readonly parent: TreeNode | undefined;
}

/** A tree with the look-ups that a kernel has: by phandle, by path, by parent. */
export class TreeIndex {
  readonly all: readonly TreeNode[];
  readonly #byPhandle = new Map<number, TreeNode>();
  readonly #byNode = new Map<FdtNode, TreeNode>();

  constructor(root: FdtNode) {
    const all: TreeNode[] = [];
    for (const { node, path, parent } of walk(root)) {
      const above = parent === undefined ? undefined : this.#byNode.get(parent);
      const entry = { node, path, parent: above };
      all.push(entry);
      this.#byNode.set(node, entry);
      const phandle = phandleOf(node);
      if (phandle !== undefined && !this.#byPhandle.has(phandle))
        this.#byPhandle.set(phandle, entry);
    }
    this.all = all;
  }

  phandle(number: number): TreeNode | undefined {
    return this.#byPhandle.get(number);
  }

  children(of: TreeNode): TreeNode[] {
    return of.node.children.flatMap((child) => this.#byNode.get(child) ?? []);
  }
}

/** The cells of a property; a remainder of less than a cell is lost. */
export function cellsOf(node: FdtNode, name: string): number[] | undefined {
  const bytes = node.bytes(name);
  if (bytes === undefined) return undefined;
  return decodeCells(bytes.subarray(0, bytes.length - (bytes.length % 4)));
}

export function cellOf(node: FdtNode, name: string): number | undefined {
  return cellsOf(node, name)?.[0];
}

/** Cells of the number of addresses (and sizes) on the bus that a node is. */
export function busCells(node: FdtNode | undefined): { address: number; size: number } {
  const clamp = (value: number | undefined, otherwise: number): number =>
    value === undefined || value > 3 ? otherwise : value;
  return {
    address: clamp(node && cellOf(node, '#address-cells'), 2),
    size: clamp(node && cellOf(node, '#size-cells'), 1),
  };
}

/** `count` cells as one number. */
export function joined(cells: readonly number[], at: number, count: number): bigint {
  let value = 0n;
  for (let i = 0; i < count; i++) value = (value << 32n) | BigInt(cells[at + i] ?? 0);
  return BigInt.asUintN(64, value);
}

/** The ranges of `reg`; empty ones are left out. Buses in between are taken as identity-mapped. */
export function regOf({ node, parent }: TreeNode): Range[] {
  const cells = cellsOf(node, 'reg') ?? [];
  const { address, size } = busCells(parent?.node);
  const out: Range[] = [];
  const width = address + size;
  if (width === 0) return out;
  for (let at = 0; at + width <= cells.length; at += width) {
    const start = joined(cells, at, address);
    const length = joined(cells, at + address, size);
    if (length > 0n && start + length <= 1n << 64n) out.push({ start, end: start + length - 1n });
  }
  return out;
}

export function compatible(node: FdtNode): readonly string[] {
  return decodeStrings(node.bytes('compatible') ?? new Uint8Array(0)) ?? [];
}

/** `status` is absent, `okay` or `ok` (of_device_is_available). */
export function isAvailable(node: FdtNode): boolean {
  const bytes = node.bytes('status');
  if (bytes === undefined) return true;
  const [status] = decodeStrings(bytes) ?? [];
  return status === 'okay' || status === 'ok';
}
