import { hex } from '../../bytes/index.ts';
import type { FdtNode } from '../../fdt/index.ts';
import type { KernelLog } from '../kernel-log.ts';
import { cellOf, cellsOf, type TreeIndex, type TreeNode } from './tree-index.ts';

const ROW_CELLS = 4;

/** What `iommu-map` or `msi-map` says of an ID. */
export type Mapped =
  /** There is no such property, or it leads to no node: nobody translates. */
  | { readonly kind: 'absent' | 'dangling' | 'unusable' | 'missing' }
  | { readonly kind: 'mapped'; readonly target: TreeNode; readonly id: number };

/**
 * Linux' of_map_id (drivers/of/base.c, 6.12): the first row that holds the masked ID wins. A
 * property that is no whole number of rows, or whose mask drops bits of a row's base, is thrown
 * away with a message at each use.
 */
export function mapId(
  index: TreeIndex,
  host: { readonly node: FdtNode; readonly path: string },
  name: 'iommu-map' | 'msi-map',
  id: number,
  log: KernelLog,
): Mapped {
  const bytes = host.node.bytes(name);
  if (bytes === undefined) return { kind: 'absent' };
  if (bytes.length === 0 || bytes.length % (4 * ROW_CELLS) !== 0) {
    log.print(`OF: ${host.path}: Error: Bad ${name} length: ${bytes.length}`);
    return { kind: 'unusable' };
  }
  const mask = cellOf(host.node, `${name}-mask`) ?? 0xffff_ffff;
  const masked = (id & mask) >>> 0;
  const cells = cellsOf(host.node, name) ?? [];
  for (let at = 0; at < cells.length; at += ROW_CELLS) {
    const [base = 0, phandle = 0, output = 0, length = 0] = cells.slice(at, at + ROW_CELLS);
    if ((base & ~mask) !== 0) {
      const why = `${name}-mask (${hex(mask)}) ignores ${name === 'msi-map' ? 'rid' : 'id'}-base (${hex(base)})`;
      log.print(`OF: ${host.path}: Invalid ${name} translation - ${why}`);
      return { kind: 'unusable' };
    }
    if (masked < base || masked >= base + length) continue;
    const target = index.phandle(phandle);
    if (target === undefined) return { kind: 'dangling' };
    return { kind: 'mapped', target, id: (masked - base + output) >>> 0 };
  }
  log.print(`OF: ${host.path}: no ${name} translation for id ${hex(id)} on (null)`);
  return { kind: 'missing' };
}
