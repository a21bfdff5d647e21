import { hex } from '../bytes/index.ts';
import {
  decodeReferences,
  isReference,
  labelNodes,
  type Labels,
  type ShownCell,
} from './dts-refs.ts';
import { resolvePhandles } from './phandle.ts';
import { walk, type FdtNode } from './tree.ts';
import { decodeCells } from './value.ts';
import type { WriteOptions } from './write.ts';

/** What dtc's lexer takes as the name of a node or a property. */
const DTS_NAME = /^[a-zA-Z0-9,._+*#?@-]+$/;
/** A printed line is broken beyond this many characters. */
const LINE = 96;
const CELLS_PER_LINE = 8;
const BYTES_PER_LINE = 24;

/** Properties that are cells even where their bytes happen to look like text. */
const CELLS: ReadonlySet<string> = new Set([
  'assigned-clock-rates',
  'bus-range',
  'clock-frequency',
  'dma-ranges',
  'interrupt-map',
  'interrupt-map-mask',
  'interrupts',
  'iommu-map-mask',
  'linux,initrd-end',
  'linux,initrd-start',
  'linux,pci-domain',
  'linux,phandle',
  'msi-map-mask',
  'phandle',
  'ranges',
  'reg',
  'virtual-reg',
]);

/** Properties that are strings even where one of them is empty. */
const STRINGS = /^(compatible|model|status|device_type|bootargs|stdout-path|method|.*-names?)$/;

/**
 * The tree as DTS source (`/dts-v1/`) that dtc compiles to the same tree: every property in its
 * place, phandles explicit. Nodes with phandles get labels, and properties whose binding is known
 * (`iommu-map`, `iommus`, `msi-map`, `interrupt-parent` …) refer to these.
 *
 * What DTS has no words for (a name with a blank in it) becomes a comment. `boot_cpuid_phys` is
 * given in a comment too: dtc takes it from its `-b` option.
 * @throws FdtTreeError for a reference that cannot be resolved, or more than 64 levels.
 */
export function printDts(root: FdtNode, options: WriteOptions = {}): string {
  const tree = resolvePhandles(root, options).root;
  const labels = labelNodes(tree);
  const lines = ['/dts-v1/;'];
  if ((options.bootCpuid ?? 0) !== 0) lines.push(`// dtc -b ${options.bootCpuid}`);
  for (const { address, size } of options.memReserve ?? []) {
    lines.push(`/memreserve/ ${hex(address)} ${hex(size)};`);
  }
  let open = 0;
  // Depth of a node that DTS cannot name: all below it is left out with it.
  let hidden = Infinity;
  for (const { node, depth } of walk(tree)) {
    if (depth > hidden) continue;
    hidden = Infinity;
    while (open > depth) lines.push(`${indent(--open)}};`);
    lines.push('');
    if (depth > 0 && !DTS_NAME.test(node.name)) {
      hidden = depth;
      lines.push(`${indent(depth)}/* node ${quoteComment(node.name)} has no name in DTS */`);
      continue;
    }
    const label = labels.byNode.get(node);
    const name = depth === 0 ? '/' : node.name;
    lines.push(`${indent(depth)}${label === undefined ? '' : `${label}: `}${name} {`);
    open = depth + 1;
    for (const [property, value] of node.props) {
      if (value instanceof Uint8Array) lines.push(printProperty(property, value, labels, open));
    }
  }
  while (open > 0) lines.push(`${indent(--open)}};`);
  return `${lines.join('\n')}\n`;
}

function indent(depth: number): string {
  return '\t'.repeat(depth);
}

function quoteComment(name: string): string {
  return JSON.stringify(name).replaceAll('*/', '* /');
}

function printProperty(name: string, value: Uint8Array, labels: Labels, depth: number): string {
  const start = indent(depth);
  if (!DTS_NAME.test(name)) {
    return `${start}/* property ${quoteComment(name)}, ${value.length} bytes, has no name in DTS */`;
  }
  if (value.length === 0) return `${start}${name};`;
  const text = printValue(name, value, labels, `\n${indent(depth + 1)}`);
  return `${start}${name} =${text.startsWith('\n') ? '' : ' '}${text};`;
}

/** `line` is what a continued line begins with. */
function printValue(name: string, value: Uint8Array, labels: Labels, line: string): string {
  const asCells = CELLS.has(name) || isReference(name) || name.startsWith('#');
  const numbers = decodeCells(value);
  if (asCells && numbers !== undefined) {
    const rows = decodeReferences(name, numbers, labels);
    return rows === undefined ? printCells(numbers, line) : printRows(rows, line);
  }
  const texts = printable(value, STRINGS.test(name));
  if (texts !== undefined) return joinItems(texts.map(quote), line);
  if (numbers !== undefined) return printCells(numbers, line);
  return printBytes(value, line);
}

/** The strings of a value that reads as text: printable ASCII, empty ones only if allowed. */
function printable(value: Uint8Array, allowEmpty: boolean): string[] | undefined {
  if (value.at(-1) !== 0) return undefined;
  let previous = 0;
  for (const byte of value) {
    if (byte === 0 ? previous === 0 && !allowEmpty : byte < 0x20 || byte > 0x7e) return undefined;
    previous = byte;
  }
  return Buffer.from(value.subarray(0, -1)).toString('latin1').split('\0');
}

function quote(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

function showCell(cell: ShownCell): string {
  return typeof cell === 'number' ? hex(cell) : `&${cell}`;
}

function printRows(rows: readonly (readonly ShownCell[])[], line: string): string {
  return joinItems(
    rows.map((row) => `<${row.map(showCell).join(' ')}>`),
    line,
  );
}

/** On one line if it fits, else one item a line. */
function joinItems(items: readonly string[], line: string): string {
  const length = items.reduce((sum, item) => sum + item.length + 2, 0);
  return length <= LINE ? items.join(', ') : line + items.join(`,${line}`);
}

function printCells(numbers: readonly number[], line: string): string {
  const shown = numbers.map((cell) => hex(cell));
  return `<${wrap(shown, CELLS_PER_LINE, line)}>`;
}

function printBytes(value: Uint8Array, line: string): string {
  const shown = Array.from(value, (byte) => byte.toString(16).padStart(2, '0'));
  return `[${wrap(shown, BYTES_PER_LINE, line)}]`;
}

function wrap(items: readonly string[], perLine: number, line: string): string {
  if (items.length <= perLine) return items.join(' ');
  const rows: string[] = [];
  for (let at = 0; at < items.length; at += perLine) {
    rows.push(items.slice(at, at + perLine).join(' '));
  }
  return line + rows.join(line);
}
