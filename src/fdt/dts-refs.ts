import { validPhandle, plainBytes } from './names.ts';
import { phandleOf } from './phandle.ts';
import { splitName, walk, type FdtNode } from './tree.ts';
import { decodeU32 } from './value.ts';

/** Labels of nodes with phandles, and what is needed to read values that refer to them. */
export interface Labels {
  readonly byNode: ReadonlyMap<FdtNode, string>;
  readonly byPhandle: ReadonlyMap<number, Labelled>;
}

interface Labelled {
  readonly label: string;
  readonly node: FdtNode;
  readonly parent: FdtNode | undefined;
}

/**
 * Names every node that has a phandle: `its`, or `its_8080000` when there are several `its`. The
 * root cannot have a label before its slash; `&{/}` refers to it.
 */
export function labelNodes(root: FdtNode): Labels {
  const owners = new Map<number, { node: FdtNode; parent: FdtNode | undefined }>();
  const uses = new Map<string, number>();
  for (const { node, parent } of walk(root)) {
    const phandle = phandleOf(node);
    if (phandle === undefined || !validPhandle(phandle) || owners.has(phandle)) continue;
    owners.set(phandle, { node, parent });
    const base = identifier(splitName(node.name).base);
    uses.set(base, (uses.get(base) ?? 0) + 1);
  }
  const byNode = new Map<FdtNode, string>();
  const byPhandle = new Map<number, Labelled>();
  const taken = new Set<string>();
  for (const [phandle, { node, parent }] of owners) {
    if (parent === undefined) {
      byPhandle.set(phandle, { label: '{/}', node, parent });
      continue;
    }
    const { base, unit } = splitName(node.name);
    const short = identifier(base);
    let label = short;
    if (uses.get(short) !== 1) label = identifier(unit === undefined ? base : `${base}_${unit}`);
    // The phandle is unique, so two rounds at most unless names are made to clash.
    while (taken.has(label)) label = `${label}_${phandle.toString(16)}`;
    taken.add(label);
    byNode.set(node, label);
    byPhandle.set(phandle, { label, node, parent });
  }
  return { byNode, byPhandle };
}

function identifier(text: string): string {
  const safe = text.replace(/[^0-9a-zA-Z_]/g, '_');
  return /^[a-zA-Z_]/.test(safe) ? safe : `n${safe}`;
}

/** A cell to be printed: a number, or the label of the node that it is the phandle of. */
export type ShownCell = number | string;

type Layout = (cells: readonly number[], at: number, labels: Labels) => number | undefined;

/** One entry is a phandle and as many cells as `name` of the node it names says. */
function specifier(name: string, absent?: number): Layout {
  return (cells, at, labels) => {
    const target = labels.byPhandle.get(cells[at] ?? 0);
    if (target === undefined) return undefined;
    const count = decodeU32(plainBytes(target.node, name)) ?? absent;
    return count === undefined || count > 16 ? undefined : 1 + count;
  };
}

/** iommu-addresses: a phandle, then address and size in the cells of that device's bus. */
const addressesOfDevice: Layout = (cells, at, labels) => {
  const parent = labels.byPhandle.get(cells[at] ?? 0)?.parent;
  if (parent === undefined) return undefined;
  const address = decodeU32(plainBytes(parent, '#address-cells')) ?? 2;
  const size = decodeU32(plainBytes(parent, '#size-cells')) ?? 1;
  return address > 4 || size > 4 ? undefined : 1 + address + size;
};

/** iommu-map, msi-map: ID, phandle, ID there, length. Four cells up to Linux 6.x. */
const mapEntry: Layout = () => 4;

/** Properties with phandles in them: how long an entry is and which of its cells is the phandle. */
const ENTRIES: ReadonlyMap<string, { readonly layout: Layout; readonly phandle: number }> = new Map(
  [
    ['interrupt-parent', { layout: () => 1, phandle: 0 }],
    ['memory-region', { layout: () => 1, phandle: 0 }],
    ['clocks', { layout: specifier('#clock-cells'), phandle: 0 }],
    ['interrupts-extended', { layout: specifier('#interrupt-cells'), phandle: 0 }],
    ['iommus', { layout: specifier('#iommu-cells'), phandle: 0 }],
    ['msi-parent', { layout: specifier('#msi-cells', 0), phandle: 0 }],
    ['iommu-map', { layout: mapEntry, phandle: 1 }],
    ['msi-map', { layout: mapEntry, phandle: 1 }],
    ['iommu-addresses', { layout: addressesOfDevice, phandle: 0 }],
  ],
);

/** Whether a property holds references by its binding. */
export function isReference(name: string): boolean {
  return ENTRIES.has(name);
}

/**
 * dtc keeps the labels of a value in a list that it walks for each of them: 64 K take it 20 s. A
 * longer list of references is printed as numbers, which mean the same.
 */
const LABELS_MAX = 2048;

/**
 * The entries of a property with references, phandles turned into labels; undefined unless all of
 * it can be read that way.
 */
export function decodeReferences(
  name: string,
  cells: readonly number[],
  labels: Labels,
): ShownCell[][] | undefined {
  const entry = ENTRIES.get(name);
  if (entry === undefined || cells.length === 0) return undefined;
  const rows: ShownCell[][] = [];
  for (let at = 0; at < cells.length;) {
    const length = entry.layout(cells, at, labels);
    if (length === undefined || at + length > cells.length) return undefined;
    const target = labels.byPhandle.get(cells[at + entry.phandle] ?? 0);
    if (target === undefined) return undefined;
    const row: ShownCell[] = cells.slice(at, at + length);
    row[entry.phandle] = target.label;
    rows.push(row);
    if (rows.length > LABELS_MAX) return undefined;
    at += length;
  }
  return rows;
}
