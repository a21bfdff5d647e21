import { decodeU32, readFdt, walk, type FdtNode } from '../../../src/fdt/index.ts';

/** Nodes that QEMU calls otherwise: its path, as a prefix, and ours. */
export type Renames = readonly (readonly [RegExp, string])[];

/** Cells that are phandles, by property: the position of the first and the distance to the next. */
const PHANDLES: Readonly<Record<string, readonly [number, number]>> = {
  'interrupt-parent': [0, 1],
  'msi-parent': [0, 1],
  clocks: [0, 1],
  gpios: [0, 3],
  cpu: [0, 1],
  iommus: [0, 2],
  'iommu-map': [1, 4],
  'msi-map': [1, 4],
  'interrupt-map': [4, 10],
};

/** Every property of a tree as `path property`, phandles replaced by the path they name. */
function properties(blob: Uint8Array, rename: (path: string) => string): Map<string, string> {
  const { tree } = readFdt(blob);
  const paths = new Map<number, string>();
  for (const { node, path } of walk(tree)) {
    const phandle = decodeU32(node.bytes('phandle'));
    if (phandle !== undefined) paths.set(phandle, rename(path));
  }
  const out = new Map<string, string>();
  for (const { node, path } of walk(tree)) {
    const here = rename(path);
    out.set(here, 'node');
    for (const name of node.props.keys()) {
      // Phandles are numbered by whoever writes them; names are compared instead.
      if (name !== 'phandle') out.set(`${here} ${name}`, show(node, name, paths));
    }
  }
  return out;
}

function show(node: FdtNode, name: string, paths: ReadonlyMap<number, string>): string {
  const bytes = Buffer.from(node.bytes(name) ?? []);
  const [first, step] = PHANDLES[name] ?? [0, 0];
  const words: string[] = [];
  for (let at = 0; at < bytes.length; at += 4) {
    const word = bytes.subarray(at, at + 4).toString('hex');
    const cell = at / 4 - first;
    const isPhandle = step > 0 && cell >= 0 && cell % step === 0;
    words.push(isPhandle ? (paths.get(Number.parseInt(word, 16)) ?? word) : word);
  }
  return words.join(' ');
}

/**
 * What two trees disagree about, sorted: `only in QEMU: /flash@0`, `only in ours: /psci method`,
 * `differs: /timer compatible`. A node that one lacks stands for all that is in it.
 */
export function treeDifferences(ours: Uint8Array, theirs: Uint8Array, renames: Renames): string[] {
  const renamed = new Set<string>();
  const a = properties(ours, (path) => path);
  const b = properties(theirs, (path) => {
    let name = path;
    for (const [from, to] of renames) {
      if (!from.test(name)) continue;
      name = name.replace(from, to);
      renamed.add(`renamed: ${String(from).slice(1, -1).replaceAll('\\', '')} is ${to}`);
    }
    return name;
  });
  return [
    ...renamed,
    ...missing(a, b, 'only in ours'),
    ...missing(b, a, 'only in QEMU'),
    ...differ(a, b),
  ].toSorted();
}

function* missing(
  a: ReadonlyMap<string, string>,
  b: ReadonlyMap<string, string>,
  what: string,
): Generator<string> {
  for (const key of a.keys()) {
    if (b.has(key)) continue;
    const [path = ''] = key.split(' ');
    const parent = path.slice(0, path.lastIndexOf('/')) || '/';
    // Reported with the node that is missing.
    if (!b.has(path) && (key !== path || !b.has(parent))) continue;
    yield `${what}: ${key}`;
  }
}

function* differ(
  a: ReadonlyMap<string, string>,
  b: ReadonlyMap<string, string>,
): Generator<string> {
  for (const [key, value] of a) {
    const other = b.get(key);
    if (other !== undefined && other !== value) yield `differs: ${key}`;
  }
}
