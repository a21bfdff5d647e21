import {
  decodeCells,
  decodeString,
  decodeStrings,
  decodeU32,
  phandleIndex,
  phandleOf,
  walk,
  type FdtBlob,
  type FdtNode,
} from '../../fdt/index.ts';
import type { Range } from '../../bytes/index.ts';
import { PCI_REG_RID_SHIFT, PCI_SPACE_MASK } from '../../spec/pci-tree.ts';
import type { NodeRef, TreePlace } from '../../topology/index.ts';

/** A node of a blob with what its ancestors decide. */
export interface ScanNode {
  readonly node: FdtNode;
  readonly path: string;
  readonly parent: ScanNode | undefined;
  /** The topmost PCI bus node at or above it, which is the host bridge. */
  readonly host: ScanNode | undefined;
  /** Neither it nor an ancestor has a `status` other than `okay`. */
  readonly enabled: boolean;
}

/** The cells of an address and of a size on a bus. */
export interface BusCells {
  readonly address: number;
  readonly size: number;
}

/** No bus has more cells than PCI's three; more would only make numbers too large to use. */
const CELLS_MAX = 4;

/** A device tree blob with its nodes by path, phandle and kind. */
export class TreeScan {
  readonly blob: FdtBlob;
  readonly file: string;
  readonly nodes: ScanNode[] = [];
  readonly #byNode = new Map<FdtNode, ScanNode>();
  readonly #byPhandle: Map<number, FdtNode>;

  constructor(blob: FdtBlob, file: string) {
    this.blob = blob;
    this.file = file;
    for (const { node, path, parent } of walk(blob.tree)) {
      const above = parent && this.#byNode.get(parent);
      const scan: ScanNode = {
        node,
        path,
        parent: above,
        host: above?.host,
        enabled: (above?.enabled ?? true) && isEnabled(node),
      };
      const self = scan.host === undefined && isPciBus(node) ? { ...scan } : scan;
      if (self !== scan) Object.assign(self, { host: self });
      this.nodes.push(self);
      this.#byNode.set(node, self);
    }
    this.#byPhandle = phandleIndex(blob.tree);
  }

  /** What a phandle cell names: a node by its path, or nothing. */
  target(phandle: number): NodeRef {
    const found = this.byPhandle(phandle);
    return found === undefined ? { phandle } : { key: found.path };
  }

  byPhandle(phandle: number): ScanNode | undefined {
    const node = this.#byPhandle.get(phandle);
    return node && this.#byNode.get(node);
  }

  /** Place of a node, or of a property of it and of a byte in the property's value. */
  place(at: ScanNode, property?: string, byte = 0): TreePlace {
    const offsets = this.blob.offsets.get(at.node);
    const base = { kind: 'tree', file: this.file, path: at.path } as const;
    if (property === undefined) {
      return offsets === undefined ? base : { ...base, offset: offsets.node };
    }
    const value = offsets?.props.get(property);
    return value === undefined
      ? { ...base, property }
      : { ...base, property, offset: value + byte };
  }
}

function isEnabled(node: FdtNode): boolean {
  const status = decodeString(node.bytes('status'));
  return status === undefined || status === 'okay' || status === 'ok';
}

/** Linux knows PCI buses by `device_type` (drivers/of/address.c, of_bus_pci_match). */
export function isPciBus(node: FdtNode): boolean {
  const type = decodeString(node.bytes('device_type'));
  return type === 'pci' || type === 'pciex' || /^pcie?@/.test(node.name);
}

/** Cells of a property; a rest of less than four bytes is dropped, as Linux does. */
export function wholeCells(bytes: Uint8Array | undefined): number[] {
  if (bytes === undefined) return [];
  return decodeCells(bytes.subarray(0, bytes.length & ~3)) ?? [];
}

/** Strings of a property, an unterminated last one included. */
export function textList(bytes: Uint8Array | undefined): string[] {
  if (bytes === undefined || bytes.length === 0) return [];
  const whole = bytes.at(-1) === 0 ? bytes : Uint8Array.from([...bytes, 0]);
  return decodeStrings(whole) ?? [];
}

/** How the children of `bus` write addresses; Linux takes 1 and 1 where nothing is said. */
export function cellsOf(bus: ScanNode | undefined): BusCells {
  let found = bus;
  let address: number | undefined;
  let size: number | undefined;
  while (found !== undefined && (address === undefined || size === undefined)) {
    address ??= decodeU32(found.node.bytes('#address-cells'));
    size ??= decodeU32(found.node.bytes('#size-cells'));
    found = found.parent;
  }
  return { address: limit(address), size: limit(size) };
}

function limit(count: number | undefined): number {
  return Math.min(count ?? 1, CELLS_MAX);
}

/** A number of `count` cells from `at`, the lowest 64 bits of it. */
export function joinCells(cells: readonly number[], at: number, count: number): bigint {
  let value = 0n;
  for (let index = at; index < at + count; index++) {
    value = (value << 32n) | BigInt(cells[index] ?? 0);
  }
  return BigInt.asUintN(64, value);
}

/** `count` bytes from `start`; undefined when there are none or they leave 64 bits. */
export function rangeOf(start: bigint, count: bigint): Range | undefined {
  const end = start + count - 1n;
  return count === 0n || end >= 1n << 64n ? undefined : { start, end };
}

/** The `reg` of a node as ranges its CPU sees: translated by the `ranges` of each bus above. */
export function regRanges(at: ScanNode): Range[] {
  const { address, size } = cellsOf(at.parent);
  const width = address + size;
  const reg = wholeCells(at.node.bytes('reg'));
  const out: Range[] = [];
  if (width === 0) return out;
  for (let row = 0; row + width <= reg.length; row += width) {
    const start = translate(at.parent, joinCells(reg, row, address));
    const bytes = joinCells(reg, row + address, size);
    const range = start === undefined ? undefined : rangeOf(start, bytes);
    if (range !== undefined) out.push(range);
  }
  return out;
}

/** The first address of `reg`, size or no size. */
export function regBase(at: ScanNode): bigint | undefined {
  const { address } = cellsOf(at.parent);
  const reg = wholeCells(at.node.bytes('reg'));
  if (address === 0 || reg.length < address) return undefined;
  return translate(at.parent, joinCells(reg, 0, address));
}

/** From the address space below `bus` to the CPU's. Without `ranges` there is no way (Linux). */
function translate(bus: ScanNode | undefined, address: bigint): bigint | undefined {
  let here = address;
  for (let at = bus; at?.parent !== undefined; at = at.parent) {
    const bytes = at.node.bytes('ranges');
    if (bytes === undefined) return undefined;
    if (bytes.length === 0) continue;
    const moved = throughRanges(at, wholeCells(bytes), here);
    if (moved === undefined) return undefined;
    here = moved;
  }
  return here;
}

function throughRanges(at: ScanNode, rows: readonly number[], address: bigint): bigint | undefined {
  const child = cellsOf(at);
  const above = cellsOf(at.parent);
  const width = child.address + above.address + child.size;
  if (width === 0) return undefined;
  for (let row = 0; row + width <= rows.length; row += width) {
    const from = joinCells(rows, row, child.address);
    const size = joinCells(rows, row + child.address + above.address, child.size);
    if (address < from || address - from >= size) continue;
    return joinCells(rows, row + child.address, above.address) + (address - from);
  }
  return undefined;
}

/** Phandle of a node, as a property that may be absent. */
export function withPhandle(at: ScanNode): { readonly phandle?: number } {
  const phandle = phandleOf(at.node);
  return phandle === undefined ? {} : { phandle };
}

/** Host and requester ID of a PCI function's node, from the first cell of its `reg`. */
export function pciLocation(
  at: ScanNode,
): { readonly host: string; readonly rid: number } | undefined {
  if (at.host === undefined || at.host === at) return undefined;
  const [first] = wholeCells(at.node.bytes('reg'));
  if (first === undefined) return undefined;
  return { host: at.host.path, rid: ((first & ~PCI_SPACE_MASK) >>> PCI_REG_RID_SHIFT) & 0xffff };
}
