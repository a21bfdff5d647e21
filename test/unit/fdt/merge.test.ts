import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  cells,
  empty,
  FdtNode,
  FdtTreeError,
  findPath,
  mergeFdt,
  phandleOf,
  readFdt,
  ref,
  refPath,
  resolvePhandles,
  str,
  walk,
  writeFdt,
} from '../../../src/fdt/index.ts';

const QEMU = new URL('../../golden/fdt/virt-viommu.dtb', import.meta.url);
const qemu = (): FdtNode => readFdt(new Uint8Array(readFileSync(QEMU))).tree;

function refusal(action: () => unknown): { code: string; path: string } {
  try {
    action();
  } catch (error) {
    if (error instanceof FdtTreeError) return { code: error.code, path: error.path };
    throw error;
  }
  throw new Error('not refused');
}

const over = (...children: FdtNode[]): FdtNode => new FdtNode('', {}, children);

const two = (): FdtNode => over(new FdtNode('a@1', { phandle: cells(1) }), new FdtNode('a@2'));

describe('mergeFdt', () => {
  it('replaces a property in place, adds others behind, and leaves its arguments alone', () => {
    const base = qemu();
    const untouched = writeFdt(base, { names: 'lax' });
    const overlay = over(
      new FdtNode('chosen', { 'stdout-path': str('/x'), bootargs: str('quiet') }),
    );
    const merged = mergeFdt(base, overlay);
    const names = [...(findPath(base, '/chosen')?.props.keys() ?? [])];
    expect(names).toContain('stdout-path');
    expect([...(findPath(merged, '/chosen')?.props.keys() ?? [])]).toEqual([...names, 'bootargs']);
    expect(findPath(merged, '/chosen')?.bytes('stdout-path')).toEqual(str('/x'));
    expect(writeFdt(base, { names: 'lax' })).toEqual(untouched);
    expect(overlay.children.length).toBe(1);
  });

  it.each(['intc', 'intc@08000000', 'intc@8000000', 'intc@0008000000'])('knows %s', (name) => {
    const merged = mergeFdt(qemu(), over(new FdtNode(name, { seen: empty() })));
    expect(merged.children.length).toBe(qemu().children.length);
    expect(findPath(merged, '/intc@8000000')?.bytes('seen')).toEqual(empty());
  });

  it('tells hexadecimal case and PCI addresses apart as a reader does', () => {
    const base = over(new FdtNode('dev@aB'), new FdtNode('pci@1,0'), new FdtNode('pci@10'));
    const merged = mergeFdt(base, over(new FdtNode('dev@0Ab'), new FdtNode('pci@01,00')));
    expect(merged.children.map(({ name }) => name)).toEqual(['dev@aB', 'pci@1,0', 'pci@10']);
    const more = mergeFdt(base, over(new FdtNode('dev@b'), new FdtNode('pci@1')));
    expect(more.children.length).toBe(5);
  });

  it('gives new phandles beside those of the base, and reaches into it by path', () => {
    const base = qemu();
    const used = new Set(Array.from(walk(base), ({ node }) => phandleOf(node)));
    const iommu = new FdtNode('second@1,0', { reg: cells(0x800, 0, 0, 0, 0) });
    const host = new FdtNode('pcie@20000000', {
      'iommu-map': cells(0, ref(iommu), 0, 0x1_0000),
      'msi-parent': cells(refPath('/intc/v2m')),
      old: cells(ref(findPath(base, '/apb-pclk') ?? base)),
    });
    const { root } = resolvePhandles(mergeFdt(base, over(host, iommu)), { first: 0x8000 });
    const fresh = phandleOf(findPath(root, '/second@1,0') ?? root) ?? 0;
    expect(fresh).toBeGreaterThanOrEqual(0x8000);
    expect(used.has(fresh)).toBe(false);
    const merged = findPath(root, '/pcie@20000000');
    expect(merged?.bytes('iommu-map')).toEqual(cells(0, fresh, 0, 0x1_0000));
    const phandle = (path: string): number => phandleOf(findPath(base, path) ?? over()) ?? 0;
    expect(merged?.bytes('msi-parent')).toEqual(cells(phandle('/intc/v2m')));
    expect(merged?.bytes('old')).toEqual(cells(phandle('/apb-pclk')));
    expect(phandle('/intc/v2m')).toBeGreaterThan(0);
  });

  it('takes away properties and nodes', () => {
    const remove = [
      { node: '/pcie@10000000', property: 'iommu-map' },
      { node: '/pcie@10000000/virtio_iommu@1,0' },
    ];
    const merged = mergeFdt(qemu(), over(), { remove });
    const host = findPath(merged, '/pcie');
    expect(host?.children).toEqual([]);
    expect(host?.props.has('iommu-map')).toBe(false);
    expect(host?.props.has('msi-map')).toBe(true);
  });

  const refused: readonly (readonly [string, string, string, () => unknown])[] = [
    ['an ambiguous node', 'fdt/path', '/a', () => mergeFdt(two(), over(new FdtNode('a')))],
    [
      'two nodes on one',
      'fdt/duplicate-node',
      '/a@01/..',
      () => mergeFdt(two(), over(new FdtNode('a@1'), new FdtNode('a@01'))),
    ],
    [
      'another phandle',
      'fdt/phandle',
      '/a@1:phandle',
      () => mergeFdt(two(), over(new FdtNode('a@1', { phandle: cells(2) }))),
    ],
    [
      "another node's phandle",
      'fdt/duplicate-phandle',
      '/b',
      () => mergeFdt(two(), over(new FdtNode('b', { phandle: cells(1) }))),
    ],
    [
      'a stray reference',
      'fdt/unresolved',
      '/b:x',
      () => mergeFdt(two(), over(new FdtNode('b', { x: cells(ref(new FdtNode('c'))) }))),
    ],
    [
      'no such property',
      'fdt/path',
      '/a@1:x',
      () => mergeFdt(two(), over(), { remove: [{ node: '/a@1', property: 'x' }] }),
    ],
    ['no such node', 'fdt/path', '/c', () => mergeFdt(two(), over(), { remove: [{ node: '/c' }] })],
    [
      'the root removed',
      'fdt/path',
      '/',
      () => mergeFdt(two(), over(), { remove: [{ node: '/' }] }),
    ],
    [
      'a relative path',
      'fdt/path',
      'a',
      () => mergeFdt(two(), over(), { remove: [{ node: 'a' }] }),
    ],
    ['an ambiguous path', 'fdt/path', '/a', () => findPath(two(), '/a')],
    [
      'a node used twice',
      'fdt/shared-node',
      '/b/c',
      () => {
        const shared = new FdtNode('c');
        return mergeFdt(two(), over(shared, new FdtNode('b', {}, [shared])));
      },
    ],
    [
      'a reference to what was removed',
      'fdt/unresolved',
      '/b:x',
      () => {
        const base = two();
        const overlay = over(new FdtNode('b', { x: cells(ref(base.children[0] ?? base)) }));
        return writeFdt(mergeFdt(base, overlay, { remove: [{ node: '/a@1' }] }));
      },
    ],
  ];
  it.each(refused)('refuses %s: %s at %s', (_, code, path, action) => {
    expect(refusal(action)).toEqual({ code, path });
  });
});
