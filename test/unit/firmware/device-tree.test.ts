import { describe, expect, test } from 'vitest';
import {
  decodeStrings,
  findPath,
  readFdt,
  resolvePhandles,
  writeFdt,
} from '../../../src/fdt/index.ts';
import { buildDeviceTree, describeTree, FirmwareError } from '../../../src/firmware/index.ts';
import type { Model, TreeDescription } from '../../../src/topology/index.ts';
import { here, model, tree, treeHost } from './fixture.ts';

function hexOf(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? [])
    .toString('hex')
    .replaceAll(/(.{8})(?=.)/g, '$1 ');
}

function build(description: TreeDescription = tree, of: Model = model): ReturnType<typeof readFdt> {
  return readFdt(writeFdt(buildDeviceTree(of, description)));
}

describe('the bytes of a host bridge', () => {
  const blob = build();
  const host = findPath(blob.tree, '/pcie@4010000000');
  const phandle = (path: string): string => hexOf(findPath(blob.tree, path)?.bytes('phandle'));

  test('iommu-map: two rows around the vIOMMU at 00:01.0', () => {
    const viommu = phandle('/pcie@4010000000/iommu@1,0');
    expect(hexOf(host?.bytes('iommu-map'))).toBe(
      [
        '00000000', // 0x00 rid-base: 00:00.0
        viommu, // 0x04 phandle of iommu@1,0
        '00000000', // 0x08 iommu-base: endpoint 0
        '00000008', // 0x0c length: up to 00:00.7
        '00000009', // 0x10 rid-base: 00:01.1, after the vIOMMU itself
        viommu, // 0x14
        '00000009', // 0x18 endpoint 9
        '0000fff7', // 0x1c length: up to ff:1f.7
      ].join(' '),
    );
  });

  test('msi-map: all requester IDs are DeviceIDs of the ITS', () => {
    const its = phandle('/interrupt-controller@8000000/msi-controller@8080000');
    expect(hexOf(host?.bytes('msi-map'))).toBe(`00000000 ${its} 00000000 00010000`);
  });

  test('ranges: I/O from port 0, memory where it is', () => {
    expect(hexOf(host?.bytes('ranges'))).toBe(
      [
        '01000000 00000000 00000000 00000000 3eff0000 00000000 00010000', // I/O
        '02000000 00000000 10000000 00000000 10000000 00000000 2eff0000', // 32-bit memory
        '03000000 00000080 00000000 00000080 00000000 00000080 00000000', // 64-bit memory
      ].join(' '),
    );
  });

  test('the vIOMMU: virtio/pci-iommu.yaml', () => {
    const node = findPath(blob.tree, '/pcie@4010000000/iommu@1,0');
    expect(decodeStrings(node?.bytes('compatible') ?? new Uint8Array(1))).toEqual([
      'virtio,pci-iommu',
      'pci1af4,1057',
    ]);
    expect(hexOf(node?.bytes('reg'))).toBe('00000800 00000000 00000000 00000000 00000000');
    expect(hexOf(node?.bytes('#iommu-cells'))).toBe('00000001');
  });
});

test('each of four INTx pins of four slots goes to the next of SPI 3-6', () => {
  const host = findPath(build().tree, '/pcie@4010000000');
  const map = Buffer.from(host?.bytes('interrupt-map') ?? []);
  const lines = Array.from({ length: 16 }, (_, row) => map.readUInt32BE(row * 40 + 32));
  expect(lines).toEqual([3, 4, 5, 6, 4, 5, 6, 3, 5, 6, 3, 4, 6, 3, 4, 5]);
});

test('a vIOMMU behind a root port gets the bridge as a parent', () => {
  const bridge = {
    id: 'rp1',
    kind: 'root-port',
    rid: 0x20,
    buses: { start: 1, end: 3 },
    hotplug: false,
    place: here,
  } as const;
  const machine: Model = {
    ...model,
    hosts: model.hosts.map((it) => ({ ...it, bridges: [bridge] })),
  };
  const path = '/pcie@4010000000/pci@4,0/iommu@0,0';
  const iommus = tree.iommus.map((it) => ({
    ...it,
    path,
    location: {
      kind: 'pci',
      parent: '/pcie@4010000000/pci@4,0',
      host: 'pcie0',
      rid: 0x100,
    } as const,
  }));
  const blob = build({ ...tree, iommus }, machine);
  const node = findPath(blob.tree, '/pcie@4010000000/pci@4,0');
  expect(hexOf(node?.bytes('reg'))).toBe('00002000 00000000 00000000 00000000 00000000');
  expect(hexOf(node?.bytes('bus-range'))).toBe('00000001 00000003');
  const again = describeTree(writeFdt(buildDeviceTree(machine, { ...tree, iommus })), 'x');
  expect(again.iommus[0]?.location).toMatchObject({ kind: 'pci', rid: 0x100 });
});

test('msi-parent has a zero for each of #msi-cells', () => {
  const host = { ...treeHost([]), msiParent: { target: { key: 'its0' }, place: here } };
  const blob = build({ ...tree, hosts: [host] });
  const its = findPath(blob.tree, '/interrupt-controller@8000000/msi-controller@8080000');
  const parent = findPath(blob.tree, '/pcie@4010000000')?.bytes('msi-parent');
  expect(hexOf(parent)).toBe(`${hexOf(its?.bytes('phandle'))} 00000000`);
});

test('a phandle that names nothing is written as it is', () => {
  const row = { ridBase: 0, target: { phandle: 0x1234 }, outputBase: 0, length: 1, place: here };
  const map = { rows: [row], leftover: 1, bytes: 20, place: here };
  const blob = build({ ...tree, hosts: [{ ...treeHost([]), iommuMap: map }] });
  const value = findPath(blob.tree, '/pcie@4010000000')?.bytes('iommu-map');
  expect(hexOf(value)).toBe('00000000 00001234 00000000 00000001 00000000');
});

test('a reference to what the description does not contain is refused', () => {
  const host = { ...treeHost([]), msiParent: { target: { key: 'nobody' }, place: here } };
  expect(() => buildDeviceTree(model, { ...tree, hosts: [host] })).toThrow(FirmwareError);
});

test('what is written is read back as it was described', () => {
  const { root } = resolvePhandles(buildDeviceTree(model, tree));
  const again = describeTree(writeFdt(root), 'x');
  const [host] = again.hosts;
  expect(
    host?.iommuMap?.rows.map(({ ridBase, outputBase, length }) => [ridBase, outputBase, length]),
  ).toEqual([
    [0, 0, 8],
    [9, 9, 0xfff7],
  ]);
  expect(again.memory).toEqual(tree.memory);
  expect(again.msiControllers[0]).toMatchObject({
    kind: 'its',
    window: tree.msiControllers[0]?.window,
  });
  expect(again.formProblems).toEqual([]);
});
