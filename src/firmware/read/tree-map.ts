import type { NodeRef, RidMap, RidMapRow, TreePlace } from '../../topology/index.ts';
import { wholeCells, type ScanNode, type TreeScan } from './tree-scan.ts';

const ROW_CELLS = 4;
const ROW_BYTES = 4 * ROW_CELLS;

/** A row whose place is made when asked for: a large tree has a quarter of a million of them. */
class ReadRow implements RidMapRow {
  readonly ridBase: number;
  readonly target: NodeRef;
  readonly outputBase: number;
  readonly length: number;
  readonly #scan: TreeScan;
  readonly #host: ScanNode;
  readonly #property: string;
  readonly #byte: number;

  constructor(
    scan: TreeScan,
    host: ScanNode,
    property: string,
    byte: number,
    target: NodeRef,
    [ridBase, outputBase, length]: readonly [number, number, number],
  ) {
    this.#scan = scan;
    this.#host = host;
    this.#property = property;
    this.#byte = byte;
    this.target = target;
    this.ridBase = ridBase;
    this.outputBase = outputBase;
    this.length = length;
  }

  get place(): TreePlace {
    return this.#scan.place(this.#host, this.#property, this.#byte);
  }
}

/** Rows that are read in all; what is beyond 2^20 of them describes no machine. */
export const ROWS_MAX: number = 1 << 20;

/**
 * Reads `iommu-map` or `msi-map`: rows of four cells. Linux refuses a property whose length is
 * no multiple of 16 bytes (6.12: "Bad iommu-map length"); here the whole rows are read and the
 * rest counted, so that a rule can say so.
 */
export function readRidMap(scan: TreeScan, host: ScanNode, property: string): RidMap | undefined {
  const bytes = host.node.bytes(property);
  if (bytes === undefined) return undefined;
  const cells = wholeCells(bytes);
  const targets = new Map<number, NodeRef>();
  const rows: RidMapRow[] = [];
  const count = Math.min(Math.floor(bytes.length / ROW_BYTES), ROWS_MAX);
  for (let row = 0; row < count; row++) {
    const at = row * ROW_CELLS;
    const phandle = cells[at + 1] ?? 0;
    let target = targets.get(phandle);
    if (target === undefined) targets.set(phandle, (target = scan.target(phandle)));
    const numbers = [cells[at] ?? 0, cells[at + 2] ?? 0, cells[at + 3] ?? 0] as const;
    rows.push(new ReadRow(scan, host, property, row * ROW_BYTES, target, numbers));
  }
  return {
    rows,
    leftover: Math.ceil((bytes.length % ROW_BYTES) / 4),
    bytes: bytes.length,
    place: scan.place(host, property),
  };
}
