// oxlint-disable unicorn/consistent-function-scoping -- a helper stands beside the tests that use it
import { describe, expect, it } from 'vitest';
import type { TreeIommuAddress, TreeRegion } from '../../../../src/topology/description.ts';
import type { Facts } from '../../../../src/topology/facts.ts';
import type { Model, ReservedRegion, Viommu } from '../../../../src/topology/model.ts';
import {
  at,
  check,
  disk,
  doorbell,
  firmware,
  host,
  its,
  machine,
  mcfg,
  model,
  ref,
  region,
  ridMap,
  row,
  tree,
  treeDevice,
  treeHost,
  treeIommu,
  treeRegion,
  viommu,
  X86_DOORBELL,
} from '../../../support/facts.ts';

const LINUX_7 = { major: 7, minor: 3 };

function having(change: Partial<Model>, more: Partial<Facts> = {}): Facts {
  return machine({ model: model(change), ...more });
}

function withViommu(change: Partial<Viommu>, more: Partial<Facts> = {}): Facts {
  return having({ viommus: [viommu(change)] }, more);
}

function withRegions(...reserved: Partial<ReservedRegion>[]): Facts {
  return having({ reserved: reserved.map((one, index) => region({ id: `r${index}`, ...one })) });
}

describe('doorbells', () => {
  const x86 = doorbell({ ...X86_DOORBELL, delivery: 'mapped' });
  const elsewhere = region({ type: 'msi', range: { start: 0xfef0_0000n, end: 0xfeff_ffffn } });
  const right = region({ type: 'msi', range: { start: 0xfee0_0000n, end: 0xfeef_ffffn } });

  it('doorbell-not-reserved: on x86 always an error, on Arm without MMIO', () => {
    expect(check('doorbell-not-reserved', having({ doorbells: [x86] }))).toHaveLength(1);
    expect(check('doorbell-not-reserved', having({ doorbells: [x86], reserved: [right] }))).toEqual(
      [],
    );
    const arm = [doorbell({ delivery: 'mapped' })];
    expect(check('doorbell-not-reserved', having({ doorbells: arm }))).toEqual([]);
    const features = viommu().features.filter((one) => one !== 'MMIO');
    const facts = having({ doorbells: arm, viommus: [viommu({ features })] });
    expect(check('doorbell-not-reserved', facts)[0]?.message).toContain('does not offer MMIO');
  });

  it('msi-region-misses-doorbell: error on x86, warning on Arm', () => {
    const facts = having({ doorbells: [x86], reserved: [elsewhere] });
    expect(check('msi-region-misses-doorbell', facts)).toMatchObject([{ severity: 'error' }]);
    expect(check('doorbell-not-reserved', facts)).toEqual([]);
    const arm = having({ doorbells: [doorbell({ delivery: 'mapped' })], reserved: [elsewhere] });
    expect(check('msi-region-misses-doorbell', arm)).toMatchObject([{ severity: 'warning' }]);
    const fine = having({ doorbells: [x86], reserved: [right] });
    expect(check('msi-region-misses-doorbell', fine)).toEqual([]);
  });

  it('several-msi-regions and probe-too-small', () => {
    const two = having({ reserved: [right, { ...elsewhere, id: 'r1' }] });
    expect(check('several-msi-regions', two)).toHaveLength(1);
    expect(check('several-msi-regions', having({ reserved: [right] }))).toEqual([]);
    const small = (probeSize: number): Facts =>
      having({ viommus: [viommu({ probeSize })], reserved: [region()] });
    expect(check('probe-too-small', small(47))[0]?.message).toContain('need 48 bytes');
    expect(check('probe-too-small', small(48))).toEqual([]);
    const none = withViommu({ features: ['MAP_UNMAP', 'MMIO'] });
    expect(check('probe-too-small', none)[0]?.message).toContain('does not offer it');
  });
});

describe('msi-map', () => {
  const holed = ridMap([row(0, 'its0', 0, 0x18), row(0x20, 'its0', 0x20, 0xffe0)]);

  it('msi-map-missing: names the devices that a map leaves out', () => {
    const facts = machine({ tree: tree({ hosts: [treeHost({ msiMap: holed })] }) });
    const found = check('msi-map-missing', facts);
    expect(found).toMatchObject([{ severity: 'error', place: holed.place }]);
    expect(found[0]?.message).toContain('00:03.0-00:03.7: disk1');
  });

  it('msi-map-missing: with neither property, unless the machine has no doorbell', () => {
    const { msiMap: _, ...bare } = treeHost();
    const facts = machine({ tree: tree({ hosts: [bare] }) });
    expect(check('msi-map-missing', facts)).toHaveLength(1);
    const { doorbell: __, ...silent } = host();
    expect(check('msi-map-missing', { ...facts, model: model({ hosts: [silent] }) })).toEqual([]);
    const parent = { ...bare, msiParent: { target: ref('its0'), place: at() } };
    expect(check('msi-map-missing', machine({ tree: tree({ hosts: [parent] }) }))).toEqual([]);
  });

  it('msi-map-missing: a foreign tree is only warned, and only if it has a controller', () => {
    const { msiMap: _, ...bare } = treeHost();
    const foreign = firmware({ tree: tree({ hosts: [bare] }) });
    expect(check('msi-map-missing', foreign)).toMatchObject([{ severity: 'warning' }]);
    const none = firmware({ tree: tree({ hosts: [bare], msiControllers: [] }) });
    expect(check('msi-map-missing', none)).toEqual([]);
  });

  it('msi-map-missing: IORT without mapping', () => {
    const iort = { rootComplexes: [], formProblems: [], place: at() };
    expect(check('msi-map-missing', machine({ iort }))[0]?.message).toContain('IORT maps');
  });

  it('msi-map-offset: QEMU’s ITS sees the requester ID', () => {
    const msiMap = ridMap([row(0, 'its0', 0x100, 0x10000)]);
    const facts = machine({ tree: tree({ hosts: [treeHost({ msiMap })] }) });
    expect(check('msi-map-offset', facts)).toMatchObject([{ place: msiMap.rows[0]?.place }]);
    const v2m = [its({ kind: 'gicv2m' })];
    const ignored = machine({ tree: tree({ hosts: [treeHost({ msiMap })], msiControllers: v2m }) });
    expect(check('msi-map-offset', ignored)).toEqual([]);
  });

  it('msi-map-offset: two functions with one DeviceID', () => {
    const hosts = [treeHost(), treeHost({ key: 'pcie1', segment: 1 })];
    expect(check('msi-map-offset', firmware({ tree: tree({ hosts }) }))).toHaveLength(1);
    const apart = [
      treeHost(),
      treeHost({ key: 'pcie1', segment: 1, msiMap: ridMap([row(0, 'its0', 0x10000, 0x10000)]) }),
    ];
    expect(check('msi-map-offset', firmware({ tree: tree({ hosts: apart }) }))).toEqual([]);
  });
});

describe('vIOMMU properties', () => {
  it('granule-too-large', () => {
    const large = { granule: 0x10000n };
    expect(check('granule-too-large', withViommu(large))[0]?.effect).toContain(
      'works untranslated',
    );
    const seven = check('granule-too-large', withViommu(large, { kernel: LINUX_7 }));
    expect(seven[0]?.effect).toContain('binds no driver');
    expect(check('granule-too-large', withViommu(large, { guestPage: 0x10000n }))).toEqual([]);
  });

  it('dma-range-disjoint', () => {
    const hosts = [treeHost({ dmaRanges: [{ start: 0x1_0000_0000n, end: 0x1_ffff_ffffn }] })];
    const facts = (end: bigint): Facts =>
      withViommu({ inputRange: { start: 0n, end } }, { tree: tree({ hosts }) });
    expect(check('dma-range-disjoint', facts(0xffff_ffffn))).toHaveLength(1);
    expect(check('dma-range-disjoint', facts(0x1_0000_0fffn))).toEqual([]);
  });

  it('input-range-too-small', () => {
    const narrow = (end: bigint, features = viommu().features): Facts =>
      withViommu({ inputRange: { start: 0n, end }, features });
    const id = 'input-range-too-small';
    expect(check(id, narrow(0xfffn))).toHaveLength(1);
    expect(check(id, narrow(0xffen))).toMatchObject([{ severity: 'error' }]);
    expect(check(id, narrow(0xffff_ffffn))).toEqual([]);
    const old = viommu().features.filter((one) => one !== 'BYPASS_CONFIG');
    expect(check(id, narrow(0x4fff_ffffn, old))).toMatchObject([{ severity: 'warning' }]);
    expect(check(id, narrow(0x4fff_ffffn))).toEqual([]);
    expect(check(id, narrow(0xfffn, ['MAP_UNMAP']))).toEqual([]);
  });

  it('viommu-refused and domain-range-too-small', () => {
    expect(check('viommu-refused', withViommu({ features: ['PROBE'] }))).toHaveLength(1);
    expect(check('viommu-refused', withViommu({ pageSizeMask: 0n }))).toHaveLength(1);
    const one = { domainRange: { start: 5, end: 5 } };
    expect(check('viommu-refused', withViommu(one))).toEqual([]);
    expect(check('viommu-refused', withViommu(one, { kernel: LINUX_7 }))).toHaveLength(1);
    expect(check('domain-range-too-small', withViommu(one))).toHaveLength(1);
    const two = { domainRange: { start: 5, end: 6 } };
    expect(check('domain-range-too-small', withViommu(two))).toEqual([]);
  });

  it('legacy-mmio', () => {
    const mmio = (legacy: boolean): Facts =>
      withViommu({ transport: { kind: 'mmio', base: 1n, size: 1n, interrupt: 1, legacy } });
    expect(check('legacy-mmio', mmio(true))).toHaveLength(1);
    expect(check('legacy-mmio', mmio(false))).toEqual([]);
  });
});

describe('devices', () => {
  const having1 = (bootable: boolean, accessPlatform: boolean, more: Partial<Model> = {}): Facts =>
    having({
      board: 'q35',
      viommus: [viommu({ bootBypass: false })],
      endpoints: [
        disk('disk0', 16, {
          device: { kind: 'virtio-blk', accessPlatform, bootable, options: {} },
        }),
      ],
      ...more,
    });

  it('no-access-platform', () => {
    expect(check('no-access-platform', having1(false, false))).toMatchObject([
      { severity: 'warning' },
    ]);
    expect(check('no-access-platform', having1(false, true))).toEqual([]);
  });

  it('firmware-dma-blocked', () => {
    expect(check('firmware-dma-blocked', having1(true, true))).toHaveLength(1);
    expect(check('firmware-dma-blocked', having1(false, true))).toEqual([]);
    expect(check('firmware-dma-blocked', having1(true, true, { board: 'virt' }))).toEqual([]);
    expect(check('firmware-dma-blocked', having1(true, true, { viommus: [viommu()] }))).toEqual([]);
  });
});

describe('regions of a topology', () => {
  it('region-unaligned', () => {
    const odd = { range: { start: 0x2000_0800n, end: 0x2000_ffffn } };
    expect(check('region-unaligned', withRegions(odd))).toMatchObject([{ severity: 'warning' }]);
    const direct = withRegions({ ...odd, type: 'direct' });
    expect(check('region-unaligned', direct)).toMatchObject([{ severity: 'error' }]);
    expect(check('region-unaligned', withRegions({}))).toEqual([]);
  });

  it('region-over-ram', () => {
    const over = { range: { start: 0x3fff_f000n, end: 0x4000_0fffn } };
    expect(check('region-over-ram', withRegions(over))[0]?.message).toContain(
      'over RAM: 0x40000000-0x40000fff',
    );
    const beside = { range: { start: 0x3fff_f000n, end: 0x3fff_ffffn } };
    expect(check('region-over-ram', withRegions(beside))).toEqual([]);
    expect(check('region-over-ram', withRegions({ ...over, type: 'direct' }))).toEqual([]);
  });

  it('region-overlap', () => {
    const range = { start: 0x2000_8000n, end: 0x2001_7fffn };
    expect(check('region-overlap', withRegions({}, { range }))).toMatchObject([
      { severity: 'warning' },
    ]);
    const other = withRegions({}, { range, type: 'msi' });
    expect(check('region-overlap', other)).toMatchObject([{ severity: 'error' }]);
    const apart = withRegions({}, { range: { start: 0x2001_0000n, end: 0x2001_ffffn } });
    expect(check('region-overlap', apart)).toEqual([]);
    const { viommu: _, ...own } = region({ id: 'own', range, endpoints: ['disk0'] });
    expect(check('region-overlap', having({ reserved: [region(), own] }))).toHaveLength(1);
    const strangers = ['disk0', 'disk1'].map((id) => ({ ...own, id, endpoints: [id] }));
    expect(check('region-overlap', having({ reserved: strangers }))).toEqual([]);
  });

  it('range-reversed', () => {
    const facts = withRegions({ range: { start: 2n, end: 1n } });
    expect(check('range-reversed', facts)[0]?.effect).toContain('failed to parse viommu prop');
  });

  it('region-not-describable', () => {
    const reserved = [region({ via: ['device-tree'], type: 'direct' })];
    const acpi = having({ reserved, firmware: { deviceTree: false, acpi: true } });
    expect(check('region-not-describable', acpi)).toHaveLength(1);
    expect(check('region-not-describable', having({ reserved }))).toEqual([]);
  });
});

describe('regions of a tree', () => {
  const range = { start: 0x2000_0000n, end: 0x2000_ffffn };
  const address = (change: Partial<TreeIommuAddress> = {}): TreeIommuAddress => ({
    device: ref('disk0'),
    cells: [0x0200_0000, 0, 0x2000_0000, 0, 0x10000],
    range,
    place: at(),
    ...change,
  });
  const told = (
    change: Partial<TreeRegion>,
    back = true,
    kernel = { major: 6, minor: 12 },
  ): Facts =>
    firmware({
      tree: tree({
        regions: [treeRegion({ addresses: [address()], ...change })],
        devices: [
          treeDevice({
            key: 'disk0',
            pci: { host: 'pcie0', rid: 0x10 },
            memoryRegions: back ? ['r0'] : [],
          }),
        ],
      }),
      kernel,
    });

  it('direct-region: before 7.0, for a device behind a virtio-iommu', () => {
    expect(check('direct-region', told({ physical: range }))).toHaveLength(1);
    expect(check('direct-region', told({ physical: range }, true, LINUX_7))).toEqual([]);
    expect(check('direct-region', told({ physical: range }, false))).toEqual([]);
    expect(check('direct-region', told({}))).toEqual([]);
  });

  it('iommu-addresses-cells', () => {
    const { range: _, ...misread } = address({ cells: [0, 0x2000_0000, 0, 0x10000] });
    const found = check('iommu-addresses-cells', told({ addresses: [misread] }));
    expect(found[0]?.message).toContain('has 4 cells for disk0');
    expect(found[0]?.message).toContain('it needs 5');
    expect(check('iommu-addresses-cells', told({}))).toEqual([]);
  });

  it('region-without-back-link and region-not-direct', () => {
    expect(check('region-without-back-link', told({}, false))).toHaveLength(1);
    expect(check('region-without-back-link', told({}))).toEqual([]);
    const physical = { start: 0x3000_0000n, end: 0x3000_ffffn };
    expect(check('region-not-direct', told({ physical }))).toMatchObject([{ severity: 'warning' }]);
    expect(check('region-not-direct', told({ physical: range }))).toEqual([]);
  });
});

describe('hosts', () => {
  const two = (one: Partial<ReturnType<typeof treeHost>>, other: typeof one): Facts =>
    firmware({ tree: tree({ hosts: [treeHost(one), treeHost({ key: 'pcie1', ...other })] }) });

  it('buses-overlap: said once for tree and MCFG', () => {
    const facts = two({ buses: { start: 0, end: 0x1f } }, { buses: { start: 0x10, end: 0x1f } });
    expect(check('buses-overlap', facts)[0]?.message).toBe(
      'pcie0 and pcie1 both have the buses 10-1f of segment 0',
    );
    const entry = mcfg().hosts[0];
    if (entry === undefined) throw new Error('no host');
    const repeated = mcfg({ hosts: [entry, { ...entry, buses: { start: 0x10, end: 0x1f } }] });
    expect(check('buses-overlap', { ...facts, mcfg: repeated })).toHaveLength(1);
    expect(check('buses-overlap', two({}, { segment: 1 }))).toEqual([]);
  });

  it('pci-domain', () => {
    const { segment: _, ...unnumbered } = treeHost({ key: 'pcie1' });
    const mixed = firmware({ tree: tree({ hosts: [treeHost(), unnumbered] }) });
    expect(check('pci-domain', mixed)).toMatchObject([{ severity: 'error' }]);
    const none = firmware({ tree: tree({ hosts: [{ ...unnumbered, key: 'a' }, unnumbered] }) });
    expect(check('pci-domain', none)).toMatchObject([{ severity: 'warning' }]);
    expect(check('pci-domain', firmware({ tree: tree({ hosts: [unnumbered] }) }))).toEqual([]);
    const other = machine({ tree: tree({ hosts: [treeHost({ segment: 3 })] }) });
    expect(check('pci-domain', other)[0]?.message).toContain('is 3, its segment in the topology 0');
  });
});

describe('nodes', () => {
  const iommus = (change: Parameters<typeof treeIommu>[0]): Facts =>
    firmware({ tree: tree({ iommus: [treeIommu(change)] }) });

  it('iommu-disabled, iommu-on-wrong-bus, iommu-compatible', () => {
    expect(check('iommu-disabled', iommus({ enabled: false }))).toHaveLength(1);
    expect(check('iommu-disabled', iommus({ enabled: false, virtio: false }))).toEqual([]);
    const far = { kind: 'pci' as const, parent: 'pcie0', host: 'pcie0', rid: 0x108 };
    expect(check('iommu-on-wrong-bus', iommus({ location: far }))[0]?.message).toContain('01:01.0');
    expect(check('iommu-on-wrong-bus', iommus({ location: { ...far, parent: 'pci@4' } }))).toEqual(
      [],
    );
    expect(check('iommu-compatible', iommus({ compatible: ['x'] }))).toHaveLength(1);
    expect(check('iommu-compatible', iommus({ compatible: ['pci1af4,1057'] }))).toEqual([]);
  });

  it.each([
    ['iommu@1,0', 8, 0],
    ['virtio_iommu@1', 8, 0],
    ['iommu@8', 8, 1],
    ['iommu', 8, 1],
    ['iommu@1f,7', 0xff, 0],
    ['iommu@1f', 0xff, 1],
  ])('iommu-node-name: %s for %i', (nodeName, rid, count) => {
    const location = { kind: 'pci' as const, parent: 'pcie0', host: 'pcie0', rid };
    expect(check('iommu-node-name', iommus({ nodeName, location }))).toHaveLength(count);
  });

  it('tree-too-large and tree-damaged', () => {
    const sized = (size: number): Facts => firmware({ tree: tree({ size }) });
    expect(check('tree-too-large', sized(0x10_0000 - 10_000))).toEqual([]);
    expect(check('tree-too-large', sized(0x10_0000))).toMatchObject([{ severity: 'warning' }]);
    expect(check('tree-too-large', sized(0x20_0001))).toMatchObject([{ severity: 'error' }]);
    const formProblems = [
      { code: 'fdt/property-after-node', message: 'lost', place: at() },
      { code: 'fdt/struct-slack', severity: 'warning' as const, message: 'odd', place: at() },
    ];
    const damaged = check('tree-damaged', firmware({ tree: tree({ formProblems }) }));
    expect(damaged.map((one) => one.severity)).toEqual(['error', 'warning']);
  });
});
