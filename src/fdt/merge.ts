import { hex } from '../bytes/index.ts';
import { FdtTreeError } from './error.ts';
import { phandleIndex, phandleOf } from './phandle.ts';
import { ChildIndex, FdtNode, findPath, joinPath, walk, type FdtValue } from './tree.ts';

/** Something of the base that the merged tree must not have. */
export interface FdtRemoval {
  /** Absolute path of a node of the base. */
  readonly node: string;
  /** The property to leave out; without it, the node and all below it. */
  readonly property?: string;
}

/** What else a merge does. */
export interface MergeOptions {
  /** Taken out of the base before the overlay is laid on it. */
  readonly remove?: readonly FdtRemoval[];
}

/**
 * Lays a tree over a base tree and gives a new one; both arguments stay as they are.
 *
 * A node of the overlay is that node of the base which has its path, where a unit address may be
 * left out or be written otherwise (`intc@08000000`); the base's spelling stays. Properties of the
 * overlay replace those of the base in place or follow them; new nodes follow the base's children.
 * Everything else of the base is kept byte for byte, phandles included. References of the overlay
 * may go to nodes of either tree (`ref`) or to paths of the merged one (`refPath`); they are
 * filled in, with new phandles beside the base's, by `writeFdt` or `resolvePhandles`.
 * @throws FdtTreeError when a name is ambiguous, a removal finds nothing, or the overlay insists
 * on a phandle that would break the base's references.
 */
export function mergeFdt(base: FdtNode, overlay: FdtNode, options: MergeOptions = {}): FdtNode {
  const owners = phandleIndex(base);
  const merged = copyTree(base);
  const root = merged.get(base) ?? base;
  for (const removal of options.remove ?? []) remove(root, removal);

  const laid = new Set<FdtNode>([root]);
  const indexes = new Map<FdtNode, ChildIndex>();
  for (const { node, path, parent } of walk(overlay)) {
    if (merged.has(node)) {
      throw new FdtTreeError(
        'fdt/shared-node',
        path,
        'the same node is elsewhere in the trees too',
      );
    }
    const place = parent === undefined ? undefined : merged.get(parent);
    const target = place === undefined ? root : childOf(place, node, path, indexes, laid);
    merged.set(node, target);
    checkPhandle(node, target, path, owners, merged);
  }
  for (const { node, path } of walk(overlay)) {
    const target = merged.get(node);
    for (const [name, value] of node.props) {
      target?.props.set(name, relink(value, merged, `${path}:${name}`));
    }
  }
  return root;
}

/** The base as new nodes that share its values, by the node each was made from. */
function copyTree(base: FdtNode): Map<FdtNode, FdtNode> {
  const copies = new Map<FdtNode, FdtNode>();
  for (const { node, parent } of walk(base)) {
    const copy = new FdtNode(node.name);
    copies.set(node, copy);
    if (parent !== undefined) copies.get(parent)?.children.push(copy);
  }
  for (const { node, path } of walk(base)) {
    const copy = copies.get(node);
    for (const [name, value] of node.props) {
      copy?.props.set(name, relink(value, copies, `${path}:${name}`));
    }
  }
  return copies;
}

function relink(value: FdtValue, merged: ReadonlyMap<FdtNode, FdtNode>, where: string): FdtValue {
  if (value instanceof Uint8Array) return value;
  const refs = value.refs.map(({ offset, to }) => {
    if (typeof to === 'string') return { offset, to };
    const target = merged.get(to);
    if (target !== undefined) return { offset, to: target };
    throw new FdtTreeError('fdt/unresolved', where, `refers to "${to.name}", which is in no tree`);
  });
  return { bytes: value.bytes, refs };
}

function remove(root: FdtNode, { node: path, property }: FdtRemoval): void {
  const node = findPath(root, path);
  if (node === undefined) throw new FdtTreeError('fdt/path', path, 'nothing to remove there');
  if (property !== undefined) {
    if (node.props.delete(property)) return;
    throw new FdtTreeError('fdt/path', `${path}:${property}`, 'no such property to remove');
  }
  for (const { node: parent } of walk(root)) {
    const index = parent.children.indexOf(node);
    if (index < 0) continue;
    parent.children.splice(index, 1);
    return;
  }
  throw new FdtTreeError('fdt/path', path, 'the root cannot be removed');
}

/** The child of `place` that an overlay's node means; a new one if it means none. */
function childOf(
  place: FdtNode,
  node: FdtNode,
  path: string,
  indexes: Map<FdtNode, ChildIndex>,
  laid: Set<FdtNode>,
): FdtNode {
  // The index is made before anything is added here, so it holds the base's children only.
  let index = indexes.get(place);
  if (index === undefined) {
    index = new ChildIndex(place.children);
    indexes.set(place, index);
  }
  const [found, another] = index.match(node.name);
  if (another !== undefined && found !== undefined) {
    throw new FdtTreeError('fdt/path', path, `may be ${found.name} or ${another.name} of the base`);
  }
  const target = found ?? new FdtNode(node.name);
  if (found === undefined) place.children.push(target);
  if (laid.has(target)) {
    const where = joinPath(path, '..');
    throw new FdtTreeError('fdt/duplicate-node', where, `two nodes lie on ${target.name}`);
  }
  laid.add(target);
  return target;
}

function checkPhandle(
  node: FdtNode,
  target: FdtNode,
  path: string,
  owners: ReadonlyMap<number, FdtNode>,
  merged: ReadonlyMap<FdtNode, FdtNode>,
): void {
  const wanted = phandleOf(node);
  if (wanted === undefined) return;
  const old = phandleOf(target);
  if (old !== undefined && old !== wanted) {
    const why = `${hex(wanted)}, but the base has ${hex(old)} and may refer to that`;
    throw new FdtTreeError('fdt/phandle', `${path}:phandle`, why);
  }
  const owner = owners.get(wanted);
  if (owner !== undefined && merged.get(owner) !== target) {
    const why = `${hex(wanted)} is that of ${owner.name} in the base`;
    throw new FdtTreeError('fdt/duplicate-phandle', path, why);
  }
}
