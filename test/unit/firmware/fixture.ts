import type { TreeDescription, TreeHost } from '../../../src/topology/index.ts';
import type { FilePlace } from '../../../src/topology/index.ts';
import type { Model, PciHost } from '../../../src/topology/index.ts';

/** The place of things that were made here. */
export const here: FilePlace = { kind: 'file', file: 'fixture' };

const ALL = (1n << 64n) - 1n;

export const host0: PciHost = {
  id: 'pcie0',
  kind: 'root',
  segment: 0,
  buses: { start: 0, end: 0xff },
  ecam: { start: 0x40_1000_0000n, end: 0x40_1fff_ffffn },
  io: { start: 0x3eff_0000n, end: 0x3eff_ffffn },
  mem32: { start: 0x1000_0000n, end: 0x3efe_ffffn },
  mem64: { start: 0x80_0000_0000n, end: 0xff_ffff_ffffn },
  endpointIdBase: 0,
  viommu: 'viommu0',
  doorbell: 'its0',
  bridges: [],
  place: here,
};

/** QEMU's `virt,gic-version=3` with a virtio-iommu-pci in the default slot. */
export const model: Model = {
  name: 'fixture',
  description: 'a machine made by hand',
  file: 'fixture.yaml',
  board: 'virt',
  arch: 'arm64',
  cpus: 1,
  memory: [{ start: 0x4000_0000n, end: 0x47ff_ffffn }],
  gic: {
    version: 3,
    distributor: { start: 0x800_0000n, end: 0x800_ffffn },
    cpuInterface: { start: 0x80a_0000n, end: 0x8ff_ffffn },
    place: here,
  },
  hosts: [host0],
  viommus: [
    {
      id: 'viommu0',
      transport: { kind: 'pci', host: 'pcie0', segment: 0, rid: 8 },
      pageSizeMask: ALL & ~0xfffn,
      granule: 0x1000n,
      inputRange: { start: 0n, end: ALL },
      domainRange: { start: 0, end: 0xffff_ffff },
      probeSize: 512,
      bootBypass: true,
      features: ['INPUT_RANGE', 'DOMAIN_RANGE', 'MAP_UNMAP', 'PROBE', 'MMIO', 'BYPASS_CONFIG'],
      requestQueue: { size: 256, ring: 'split' },
      eventQueue: { size: 256, ring: 'split' },
      place: here,
      places: {},
    },
  ],
  endpoints: [],
  doorbells: [
    {
      id: 'its0',
      kind: 'its',
      frame: { start: 0x808_0000n, end: 0x809_ffffn },
      window: { start: 0x809_0000n, end: 0x809_ffffn },
      delivery: 'reserved',
      place: here,
    },
  ],
  reserved: [],
  coverage: [
    {
      host: 'pcie0',
      segment: 0,
      rids: { start: 0, end: 7 },
      viommu: 'viommu0',
      endpointId: 0,
      place: here,
    },
    {
      host: 'pcie0',
      segment: 0,
      rids: { start: 9, end: 0xffff },
      viommu: 'viommu0',
      endpointId: 9,
      place: here,
    },
  ],
  firmware: { deviceTree: true, acpi: true },
  expect: { endpoints: {}, log: { present: [], absent: [] } },
  guest: { pageSize: 0x1000n, checks: [], transferSize: 1n << 20n },
  place: here,
};

/** A host's description with these rows of `iommu-map`. */
export function treeHost(
  rows: readonly (readonly [number, number, number])[],
  more: Partial<TreeHost> = {},
): TreeHost {
  return {
    key: 'pcie0',
    path: '/pcie@4010000000',
    segment: 0,
    buses: { start: 0, end: 0xff },
    iommuMap: {
      rows: rows.map(([ridBase, outputBase, length]) => {
        return { ridBase, target: { key: 'viommu0' }, outputBase, length, place: here };
      }),
      leftover: 0,
      bytes: rows.length * 16,
      place: here,
    },
    msiMap: {
      rows: [{ ridBase: 0, target: { key: 'its0' }, outputBase: 0, length: 0x1_0000, place: here }],
      leftover: 0,
      bytes: 16,
      place: here,
    },
    dmaCoherent: true,
    place: here,
    ...more,
  };
}

/** What a device tree of that machine says. */
export const tree: TreeDescription = {
  hosts: [
    treeHost([
      [0, 0, 8],
      [9, 9, 0xfff7],
    ]),
  ],
  iommus: [
    {
      key: 'viommu0',
      path: '/pcie@4010000000/iommu@1,0',
      location: { kind: 'pci', parent: 'pcie0', host: 'pcie0', rid: 8 },
      compatible: ['virtio,pci-iommu', 'pci1af4,1057'],
      nodeName: 'iommu@1,0',
      iommuCells: 1,
      enabled: true,
      virtio: true,
      place: here,
    },
  ],
  devices: [],
  regions: [],
  msiControllers: [
    {
      key: 'its0',
      path: '/interrupt-controller@8000000/msi-controller@8080000',
      kind: 'its',
      msiCells: 1,
      window: { start: 0x809_0000n, end: 0x809_ffffn },
      place: here,
    },
  ],
  memory: model.memory,
  formProblems: [],
  place: here,
};
