import { nodeAt, type DataNode, type ListNode, type MapEntry, type MapNode } from './node.ts';

/**
 * `over` laid on `base`: maps merge key by key, at every depth; a list whose items all have an
 * `id` merges with such a list item by item; everything else is replaced, an empty list included.
 * Each value keeps the place of the file it came from.
 */
export function merge(base: DataNode, over: DataNode): DataNode {
  if (base.kind === 'map' && over.kind === 'map') return mergeMaps(base, over);
  if (base.kind === 'list' && over.kind === 'list') return mergeLists(base, over);
  return over;
}

function mergeMaps(base: MapNode, over: MapNode): MapNode {
  const entries = new Map<string, MapEntry>(base.entries);
  for (const [key, entry] of over.entries) {
    const below = base.entries.get(key);
    entries.set(
      key,
      below === undefined ? entry : { ...entry, value: merge(below.value, entry.value) },
    );
  }
  return { kind: 'map', entries, place: over.place };
}

function mergeLists(base: ListNode, over: ListNode): ListNode {
  const ids = base.items.map(idOf);
  const named = over.items.length > 0 && over.items.every((item) => idOf(item) !== undefined);
  if (!named || ids.includes(undefined)) return over;
  const items: DataNode[] = [...base.items];
  const position = new Map<string, number>();
  ids.forEach((id, index) => {
    if (id !== undefined && !position.has(id)) position.set(id, index);
  });
  for (const item of over.items) {
    const id = idOf(item);
    const index = id === undefined ? undefined : position.get(id);
    const below = index === undefined ? undefined : items[index];
    if (id === undefined || index === undefined || below === undefined) {
      items.push(item);
    } else {
      items[index] = merge(below, item);
      // A second item of the same name stays a second item, for `resolve` to report.
      position.delete(id);
    }
  }
  return { kind: 'list', items, place: over.place };
}

function idOf(item: DataNode): string | undefined {
  const id = nodeAt(item, ['id']);
  return id?.kind === 'scalar' && typeof id.value === 'string' ? id.value : undefined;
}
