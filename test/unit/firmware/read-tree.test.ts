import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../src/bytes/index.ts';
import {
  cells,
  empty,
  FdtNode,
  ref,
  str,
  u64cells,
  writeFdt,
  type FdtValue,
} from '../../../src/fdt/index.ts';
import {
  coveredByHost,
  describeTree,
  inspect,
  inspectionText,
  toTopologyYaml,
} from '../../../src/firmware/index.ts';
import type { TreeDescription } from '../../../src/topology/index.ts';

const golden = join(import.meta.dirname, '../../golden/fdt');

function read(name: string): TreeDescription {
  return describeTree(readFileSync(join(golden, `${name}.dtb`)), name);
}

function rowsOf(tree: TreeDescription): unknown {
  return tree.hosts.map(({ iommuMap }) =>
    iommuMap?.rows.map(({ ridBase, outputBase, length }) => [ridBase, outputBase, length]),
  );
}

/** A small machine: two segments' worth of nodes, whose properties a test replaces. */
function machine(
  host: Record<string, FdtValue>,
  iommu: Record<string, FdtValue> = {},
): {
  readonly root: FdtNode;
  readonly iommu: FdtNode;
  readonly host: FdtNode;
} {
  const iommuNode = new FdtNode('iommu@1,0', {
    compatible: str('virtio,pci-iommu'),
    reg: cells(0x800, 0, 0, 0, 0),
    '#iommu-cells': cells(1),
    ...iommu,
  });
  const hostNode = new FdtNode('pcie@10000000', {
    device_type: str('pci'),
    '#address-cells': cells(3),
    '#size-cells': cells(2),
    'bus-range': cells(0, 0xf),
    reg: u64cells(0x1000_0000n, 0x100_0000n),
    ...host,
  });
  hostNode.add(iommuNode);
  const root = new FdtNode('', { '#address-cells': cells(2), '#size-cells': cells(2) }, [hostNode]);
  return { root, iommu: iommuNode, host: hostNode };
}

function describeRoot(root: FdtNode): TreeDescription {
  return describeTree(writeFdt(root, { names: 'lax' }), 'test.dtb');
}

describe("QEMU's own trees", () => {
  test('virtio-iommu-pci with GICv2m: hole, v2m without #msi-cells', () => {
    const tree = read('virt-viommu');
    expect(rowsOf(tree)).toEqual([
      [
        [0, 0, 8],
        [9, 9, 0xfff7],
      ],
    ]);
    expect(tree.iommus).toMatchObject([
      {
        nodeName: 'virtio_iommu@1,0',
        virtio: true,
        iommuCells: 1,
        location: { kind: 'pci', rid: 8 },
      },
    ]);
    const [v2m] = tree.msiControllers;
    expect(v2m).toMatchObject({ kind: 'gicv2m', window: { start: 0x802_0000n, end: 0x802_0fffn } });
    expect(v2m).not.toHaveProperty('msiCells');
  });

  test('SMMUv3 is an IOMMU, but no virtio-iommu', () => {
    const tree = read('virt-smmuv3');
    expect(rowsOf(tree)).toEqual([[[0, 0, 0x1_0000]]]);
    expect(tree.iommus).toMatchObject([
      { virtio: false, location: { kind: 'mmio', base: 0x905_0000n } },
    ]);
    expect(tree.msiControllers).toMatchObject([
      { kind: 'its', msiCells: 1, window: { start: 0x809_0000n } },
    ]);
  });

  test('places are offsets into the blob', () => {
    const bytes = readFileSync(join(golden, 'virt-viommu.dtb'));
    const [host] = describeTree(bytes, 'f').hosts;
    const place = host?.iommuMap?.rows[1]?.place;
    expect(place).toMatchObject({ kind: 'tree', path: '/pcie@10000000', property: 'iommu-map' });
    const offset = place !== undefined && 'offset' in place ? (place.offset ?? 0) : 0;
    expect(bytes.subarray(offset, offset + 4).toString('hex')).toBe('00000009');
  });
});

describe('what is wrong with a tree is read as Linux reads it', () => {
  test('cells that make no row', () => {
    const { root, host, iommu } = machine({});
    host.set('iommu-map', cells(0, ref(iommu), 0, 8, 9, ref(iommu), 9));
    const [seen] = describeRoot(root).hosts;
    expect(seen?.iommuMap).toMatchObject({ leftover: 3, bytes: 28 });
    expect(seen?.iommuMap?.rows).toHaveLength(1);
    expect(seen && coveredByHost(seen)).toEqual([]);
  });

  test('bytes that make no cell', () => {
    const { root } = machine({ 'iommu-map': new Uint8Array(18) });
    expect(describeRoot(root).hosts[0]?.iommuMap).toMatchObject({ leftover: 1, bytes: 18 });
  });

  test('a phandle that names nothing, and one that names no IOMMU', () => {
    const { root, host } = machine({ 'iommu-map': cells(0, 0x77, 0, 8) });
    const other = root.add(new FdtNode('clock', { '#clock-cells': cells(0) }));
    host.set('msi-map', cells(0, ref(other), 0, 1));
    const [seen] = describeRoot(root).hosts;
    expect(seen?.iommuMap?.rows[0]?.target).toEqual({ phandle: 0x77 });
    expect(seen?.msiMap?.rows[0]?.target).toEqual({ key: '/clock' });
  });

  test('a disabled IOMMU, and a disabled host', () => {
    const { root, host, iommu } = machine({}, { status: str('disabled') });
    host.set('iommu-map', cells(0, ref(iommu), 0, 8));
    expect(describeRoot(root).iommus[0]?.enabled).toBe(false);
    host.set('status', str('disabled'));
    expect(describeRoot(root).hosts).toEqual([]);
  });

  test('an IOMMU without #iommu-cells that is only mapped', () => {
    const { root, host } = machine({});
    const mmio = root.add(
      new FdtNode('virtio@a000000', {
        compatible: str('virtio,mmio'),
        reg: u64cells(0xa00_0000n, 0x200n),
      }),
    );
    host.set('iommu-map', cells(0, ref(mmio), 0, 8));
    const found = describeRoot(root).iommus.find(({ path }) => path === '/virtio@a000000');
    expect(found).toMatchObject({ virtio: true, location: { kind: 'mmio', base: 0xa00_0000n } });
    expect(found).not.toHaveProperty('iommuCells');
  });

  test('an IOMMU behind a bridge belongs to the host above, and its parent is the bridge', () => {
    const { root, host } = machine({});
    host.children.length = 0;
    const bridge = host.add(
      new FdtNode('pci@4,0', {
        device_type: str('pci'),
        '#address-cells': cells(3),
        '#size-cells': cells(2),
        reg: cells(0x2000, 0, 0, 0, 0),
      }),
    );
    bridge.add(
      new FdtNode('iommu@0,0', {
        compatible: str('virtio,pci-iommu'),
        reg: cells(0x1_0000, 0, 0, 0, 0),
        '#iommu-cells': cells(1),
      }),
    );
    const tree = describeRoot(root);
    expect(tree.hosts).toHaveLength(1);
    expect(tree.iommus[0]?.location).toEqual({
      kind: 'pci',
      parent: '/pcie@10000000/pci@4,0',
      host: '/pcie@10000000',
      rid: 0x100,
    });
  });

  test('iommu-addresses have the cells of the bus that the device is on', () => {
    const { root, host } = machine({});
    const device = host.add(new FdtNode('device@2,0', { reg: cells(0x1000, 0, 0, 0, 0) }));
    const platform = root.add(new FdtNode('dma@b000000', { reg: u64cells(0xb00_0000n, 0x200n) }));
    const regions = root.add(
      new FdtNode('reserved-memory', {
        '#address-cells': cells(2),
        '#size-cells': cells(2),
        ranges: empty(),
      }),
    );
    const region = regions.add(
      new FdtNode('r0', {
        'iommu-addresses': cells(
          [ref(device), 0x0200_0000, 0, 0xf000_0000, 0, 0x100_0000],
          [ref(platform), 1, 0, 0, 0x1000],
        ),
      }),
    );
    const wrong = regions.add(
      // Two address cells, where a PCI function needs three: what is left makes no tuple.
      new FdtNode('r1', { 'iommu-addresses': cells(ref(device), 0, 0xf000_0000, 0, 0x1000) }),
    );
    device.set('memory-region', cells(ref(region), ref(wrong)));
    const tree = describeRoot(root);
    expect(tree.regions.map(({ addresses }) => addresses.map(({ range }) => range))).toEqual([
      [
        { start: 0xf000_0000n, end: 0xf0ff_ffffn },
        { start: 0x1_0000_0000n, end: 0x1_0000_0fffn },
      ],
      [undefined],
    ]);
    expect(tree.devices.find(({ pci }) => pci?.rid === 0x10)?.memoryRegions).toEqual([
      '/reserved-memory/r0',
      '/reserved-memory/r1',
    ]);
  });

  test('iommus: IDs by #iommu-cells, one cell where nobody says', () => {
    const { root, iommu } = machine({}, { '#iommu-cells': cells(2) });
    const device = new FdtNode('dma@b000000', { reg: u64cells(0xb00_0000n, 0x200n) });
    root.add(device);
    device.set('iommus', cells(ref(iommu), 1, 2, 0x99, 3));
    const found = describeRoot(root).devices.find(({ path }) => path === '/dma@b000000');
    expect(found?.iommus.map(({ ids }) => ids)).toEqual([[1, 2], [3]]);
    expect(found?.iommus[1]?.target).toEqual({ phandle: 0x99 });
  });

  test('addresses behind buses are those of the CPU', () => {
    const root = new FdtNode('', { '#address-cells': cells(2), '#size-cells': cells(2) });
    const bus = root.add(
      new FdtNode('soc', {
        '#address-cells': cells(1),
        '#size-cells': cells(1),
        ranges: cells(0, 0, 0xc00_0000, 0x10_0000),
      }),
    );
    bus.add(new FdtNode('iommu@1000', { '#iommu-cells': cells(1), reg: cells(0x1000, 0x200) }));
    expect(describeRoot(root).iommus[0]?.location).toEqual({ kind: 'mmio', base: 0xc00_1000n });
  });
});

describe('hostile blobs', () => {
  const base = readFileSync(join(golden, 'virt-viommu.dtb'));

  test('mutated trees give a description or a FormatError, and so do the readers above', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(base.length - 1), fc.integer({ min: 0, max: 255 })), {
          minLength: 1,
          maxLength: 12,
        }),
        fc.nat(base.length),
        (edits, cut) => {
          const bytes = Uint8Array.from(cut % 3 === 0 ? base.subarray(0, cut) : base);
          for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
          try {
            const inspection = inspect(bytes, 'fuzz');
            expect(inspectionText(inspection).length).toBeGreaterThan(0);
            expect(toTopologyYaml([inspection], 'fuzz')).toContain('name: "fuzz"');
          } catch (error) {
            if (!(error instanceof FormatError)) throw error;
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test('a map of a million overlapping rows takes a moment', () => {
    const rows = new Uint8Array(16 << 20);
    const data = new DataView(rows.buffer);
    for (let row = 0; row < rows.length; row += 16) {
      data.setUint32(row + 4, 1);
      data.setUint32(row + 12, 0x1_0000);
    }
    const { root, iommu } = machine({ 'iommu-map': rows });
    iommu.set('phandle', cells(1));
    const tree = describeRoot(root);
    expect(tree.hosts[0]?.iommuMap?.rows).toHaveLength(1 << 20);
    expect(tree.hosts.flatMap(coveredByHost)).toEqual([
      { rids: { start: 0, end: 0xfff }, iommu: '/pcie@10000000/iommu@1,0', endpointId: 0 },
    ]);
  });
});
