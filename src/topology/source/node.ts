import type { SourcePlace } from '../diagnostic.ts';

/**
 * A value of a topology file and where it stands.
 *
 * Plain data, free of YAML: aliases are resolved, every integer is exact, and a number with a
 * fraction is kept as its source text, so that `6.10` is not `6.1`.
 */
export type DataNode = MapNode | ListNode | ScalarNode;

export interface MapNode {
  readonly kind: 'map';
  readonly entries: ReadonlyMap<string, MapEntry>;
  readonly place: SourcePlace;
}

export interface MapEntry {
  /** Of the key itself. */
  readonly place: SourcePlace;
  readonly value: DataNode;
}

export interface ListNode {
  readonly kind: 'list';
  readonly items: readonly DataNode[];
  readonly place: SourcePlace;
}

export interface ScalarNode {
  readonly kind: 'scalar';
  readonly value: string | bigint | boolean | null;
  readonly place: SourcePlace;
}

export type Path = readonly (string | number)[];

/** The node at `path`, if there is one. */
export function nodeAt(root: DataNode, path: Path): DataNode | undefined {
  let node: DataNode | undefined = root;
  for (const step of path) {
    if (node === undefined) return undefined;
    node = child(node, step);
  }
  return node;
}

function child(node: DataNode, step: string | number): DataNode | undefined {
  if (node.kind === 'map') return node.entries.get(String(step))?.value;
  if (node.kind === 'list' && typeof step === 'number') return node.items[step];
  return undefined;
}

/** The place of the deepest node on the way to `path` that exists. */
export function placeAt(root: DataNode, path: Path): SourcePlace {
  let node = root;
  for (const step of path) {
    const next = child(node, step);
    if (next === undefined) break;
    node = next;
  }
  return node.place;
}

/** The place of the key that `path` ends in; the place of its value when that is a list item. */
export function keyPlaceAt(root: DataNode, path: Path): SourcePlace {
  const parent = nodeAt(root, path.slice(0, -1));
  const key = path.at(-1);
  const entry = parent?.kind === 'map' ? parent.entries.get(String(key)) : undefined;
  return entry?.place ?? placeAt(root, path);
}

/** Strings, bigints, booleans, null, arrays and objects without a prototype. */
export function plain(node: DataNode): unknown {
  switch (node.kind) {
    case 'scalar':
      return node.value;
    case 'list':
      return node.items.map(plain);
    case 'map': {
      const object = Object.create(null) as Record<string, unknown>;
      for (const [key, entry] of node.entries) object[key] = plain(entry.value);
      return object;
    }
  }
}

/** What to leave out below a node: all of it, or parts by key or index. */
type Cuts = 'all' | Map<string, Cuts>;

/** A copy of `root` without what stands at `paths`, in one pass. */
export function without(root: DataNode, paths: readonly Path[]): DataNode {
  const cuts = new Map<string, Cuts>();
  for (const path of paths) addCut(cuts, path);
  return cutOut(root, cuts);
}

function addCut(cuts: Map<string, Cuts>, path: Path): void {
  let at = cuts;
  for (const [index, step] of path.entries()) {
    const key = String(step);
    const below = at.get(key);
    if (below === 'all') return;
    if (index === path.length - 1) at.set(key, 'all');
    else {
      const next = below ?? new Map<string, Cuts>();
      at.set(key, next);
      at = next;
    }
  }
}

function cutOut(node: DataNode, cuts: ReadonlyMap<string, Cuts>): DataNode {
  if (node.kind === 'map') {
    const entries = new Map<string, MapEntry>();
    for (const [key, entry] of node.entries) {
      const cut = cuts.get(key);
      if (cut === undefined) entries.set(key, entry);
      else if (cut !== 'all') entries.set(key, { ...entry, value: cutOut(entry.value, cut) });
    }
    return { ...node, entries };
  }
  if (node.kind === 'list') {
    const items = node.items.flatMap((item, index) => {
      const cut = cuts.get(String(index));
      if (cut === undefined) return [item];
      return cut === 'all' ? [] : [cutOut(item, cut)];
    });
    return { ...node, items };
  }
  return node;
}
