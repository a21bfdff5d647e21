// oxlint-disable unicorn/consistent-function-scoping -- a helper stands beside the tests that use it
import { describe, expect, it } from 'vitest';
import type { TreeHost, TreeIommusEntry } from '../../../../src/topology/description.ts';
import type { Facts } from '../../../../src/topology/facts.ts';
import {
  at,
  check,
  firmware,
  its,
  machine,
  ref,
  ridMap,
  row,
  tree,
  treeDevice,
  treeHost,
  treeIommu,
  treeRegion,
} from '../../../support/facts.ts';

const LINUX_7 = { major: 7, minor: 3 };

function hosted(change: Partial<TreeHost>, more: Partial<Facts> = {}): Facts {
  return firmware({ tree: tree({ hosts: [treeHost(change)] }), ...more });
}

describe('iommu-map-overlap', () => {
  it('names both rows, the functions and what each would give', () => {
    const first = row(0, 'viommu0', 0, 0x20);
    const second = row(0x18, 'viommu0', 0x118, 0x10);
    const [found, ...rest] = check(
      'iommu-map-overlap',
      hosted({ iommuMap: ridMap([first, second]) }),
    );
    expect(rest).toEqual([]);
    expect(found).toMatchObject({ severity: 'error', place: second.place });
    expect(found?.message).toBe(
      'rows 0 and 1 of the iommu-map of pcie0 both match 00:03.0-00:03.7: viommu0 ID 0x18 and viommu0 ID 0x118',
    );
    expect(found?.related[0]?.place).toBe(first.place);
  });

  it('only warns when both rows agree', () => {
    const rows = [row(0, 'viommu0', 0x100, 0x20), row(8, 'viommu0', 0x108, 8)];
    const found = check('iommu-map-overlap', hosted({ iommuMap: ridMap(rows) }));
    expect(found.map((one) => one.severity)).toEqual(['warning']);
  });

  it('accepts rows that touch, in any order, and rows that match nothing', () => {
    const rows = [
      row(8, 'viommu0', 8, 8),
      row(0, 'viommu0', 0, 8),
      row(4, 'viommu0', 4, 0),
      row(1, 'viommu0', 1, 0xffff_ffff),
    ];
    expect(check('iommu-map-overlap', hosted({ iommuMap: ridMap(rows) }))).toEqual([]);
  });
});

describe('unknown-phandle', () => {
  const rows = [row(0, 0x99, 0, 8), row(8, 0x99, 8, 8), row(16, 'viommu0', 16, 8)];

  it('says it once for each phandle of a map', () => {
    const found = check('unknown-phandle', hosted({ iommuMap: ridMap(rows) }));
    expect(found).toHaveLength(1);
    expect(found[0]?.message).toContain('phandle 0x99');
    expect(found[0]?.message).toContain('and in 1 more row');
    expect(found[0]?.effect).toContain(
      'Linux 6.12 fails the lookup of the IDs that this row matches:',
    );
  });

  it('tells what 7.x does otherwise', () => {
    const facts = hosted({ iommuMap: ridMap(rows) }, { kernel: LINUX_7 });
    expect(check('unknown-phandle', facts)[0]?.effect).toContain('and of all that no earlier row');
  });

  it('looks at msi-map, msi-parent, iommus and iommu-addresses', () => {
    const broken = tree({
      hosts: [
        treeHost({ msiMap: ridMap([row(0, 5, 0, 8)]), msiParent: { target: ref(6), place: at() } }),
      ],
      devices: [treeDevice({ iommus: [{ target: ref(7), ids: [1], place: at() }] })],
      regions: [treeRegion({ addresses: [{ device: ref(8), cells: [], place: at() }] })],
    });
    const found = check('unknown-phandle', firmware({ tree: broken }));
    expect(found.map((one) => /phandle (\w+) in the ([\w-]+)/.exec(one.message)?.slice(1))).toEqual(
      [
        ['0x5', 'msi-map'],
        ['0x6', 'msi-parent'],
        ['0x7', 'iommus'],
        ['0x8', 'iommu-addresses'],
      ],
    );
  });
});

describe('wrong-target', () => {
  it('finds a map to what is no IOMMU, and an msi-map to what is no MSI controller', () => {
    const facts = hosted({
      iommuMap: ridMap([row(0, 'its0', 0, 8), row(8, 'its0', 8, 8)]),
      msiMap: ridMap([row(0, 'viommu0', 0, 8)]),
      msiParent: { target: ref('viommu0'), place: at() },
    });
    expect(check('wrong-target', facts).map((one) => one.message)).toEqual([
      'the iommu-map of pcie0 leads to its0, which is not an IOMMU',
      'the msi-map of pcie0 leads to viommu0, which is not an MSI controller',
      'the msi-parent of pcie0 is viommu0, which is not an MSI controller',
    ]);
  });

  it('accepts IOMMUs that are not virtio’s', () => {
    const smmu = treeIommu({ key: 'smmu', virtio: false });
    const facts = firmware({
      tree: tree({
        hosts: [treeHost({ iommuMap: ridMap([row(0, 'smmu', 0, 0x10000)]) })],
        iommus: [smmu],
      }),
    });
    expect(check('wrong-target', facts)).toEqual([]);
  });
});

describe('cell-count', () => {
  it('quotes the message of Linux', () => {
    const map = ridMap([row(0, 'viommu0', 0, 8)], 3);
    const found = check('cell-count', hosted({ iommuMap: map }));
    expect(found[0]).toMatchObject({ severity: 'error', place: map.place });
    expect(found[0]?.effect).toContain('"Error: Bad iommu-map length: 28"');
  });

  it('finds an empty property, and iommus with other cells than #iommu-cells', () => {
    expect(check('cell-count', hosted({ msiMap: ridMap([]) }))).toHaveLength(1);
    const entry = { target: ref('viommu0'), ids: [1, 2], place: at() };
    const facts = firmware({ tree: tree({ devices: [treeDevice({ iommus: [entry] })] }) });
    expect(check('cell-count', facts)[0]?.message).toContain('has 2 cells after viommu0');
  });
});

describe('map-row-empty', () => {
  it.each([
    [row(9, 'viommu0', 9, 0), 'warning', 'has length 0'],
    [row(9, 'viommu0', 9, 0xffff_ffff), 'error', 'does not fit in 32 bits'],
    [row(9, 'viommu0', 0xffff_fff0, 0x20), 'error', 'output IDs'],
  ] as const)('judges %#', (bad, severity, text) => {
    const found = check('map-row-empty', hosted({ iommuMap: ridMap([bad]) }));
    expect(found).toMatchObject([{ severity, place: bad.place }]);
    expect(found[0]?.message).toContain(text);
  });

  it('accepts the last row and the last output that fit', () => {
    const rows = [row(0, 'viommu0', 0xffff_0000, 0x10000)];
    expect(check('map-row-empty', hosted({ iommuMap: ridMap(rows) }))).toEqual([]);
  });
});

describe('iommu-cells', () => {
  function withCells(iommuCells: number | undefined, used: boolean, kernel = LINUX_7): Facts {
    const { iommuCells: _, ...rest } = treeIommu();
    const iommu = iommuCells === undefined ? rest : { ...rest, iommuCells };
    const iommus = used ? [{ target: ref('viommu0'), ids: [1], place: at() }] : [];
    return firmware({ tree: tree({ iommus: [iommu], devices: [treeDevice({ iommus })] }), kernel });
  }

  it.each([
    [undefined, false, 'warning'],
    [undefined, true, 'error'],
    [2, false, 'error'],
    [0, true, 'error'],
  ] as const)('%s cells, used by iommus: %s → %s', (cells, used, severity) => {
    expect(check('iommu-cells', withCells(cells, used))).toMatchObject([{ severity }]);
  });

  it('warns of two cells before 7.0, where iommu-map is read in 4 cells anyway', () => {
    const found = check('iommu-cells', withCells(2, false, { major: 6, minor: 12 }));
    expect(found).toMatchObject([{ severity: 'warning' }]);
  });

  it('leaves other IOMMUs alone', () => {
    const smmu = treeIommu({ virtio: false, iommuCells: 2 });
    expect(check('iommu-cells', firmware({ tree: tree({ iommus: [smmu] }) }))).toEqual([]);
  });
});

describe('msi-cells', () => {
  it('warns of QEMU’s v2m map, and not of msi-parent', () => {
    const { msiCells: _, ...bare } = its({ key: 'v2m', kind: 'gicv2m' });
    const mapped = treeHost({ msiMap: ridMap([row(0, 'v2m', 0, 0x10000)]) });
    const { msiMap: __, ...plain } = treeHost({ msiParent: { target: ref('v2m'), place: at() } });
    const facts = (host: TreeHost): Facts =>
      firmware({ tree: tree({ hosts: [host], msiControllers: [bare] }) });
    expect(check('msi-cells', facts(mapped))).toMatchObject([{ severity: 'warning' }]);
    expect(check('msi-cells', facts(plain))).toEqual([]);
  });
});

describe('iommu-map-mask', () => {
  it('finds the first base that the mask cuts', () => {
    const rows = [row(0, 'viommu0', 0, 8), row(9, 'viommu0', 9, 0xfff7)];
    const mask = { value: 0xfff8, place: at() };
    const found = check('iommu-map-mask', hosted({ iommuMap: ridMap(rows), iommuMapMask: mask }));
    expect(found).toMatchObject([{ severity: 'error', place: rows[1]?.place }]);
    expect(found[0]?.effect).toContain('iommu-map-mask (0xfff8) ignores id-base (0x9)');
    expect(found[0]?.effect).toContain('all devices that no earlier row matches');
  });

  it('accepts a mask that keeps the bases, and warns above 16 bits', () => {
    const iommuMap = ridMap([row(0, 'viommu0', 0, 0x10000)]);
    const masked = (value: number): Facts =>
      hosted({ iommuMap, iommuMapMask: { value, place: at() } });
    expect(check('iommu-map-mask', masked(0xff00))).toEqual([]);
    expect(check('iommu-map-mask', masked(0x1_ffff))).toMatchObject([{ severity: 'warning' }]);
  });
});

describe('iommu-behind-iommu', () => {
  it('finds the missing hole', () => {
    const rows = [row(0, 'viommu0', 0, 0x10000)];
    const found = check('iommu-behind-iommu', hosted({ iommuMap: ridMap(rows) }));
    expect(found).toMatchObject([{ severity: 'error', place: rows[0]?.place }]);
    expect(found[0]?.message).toContain('viommu0 (00:01.0) behind itself');
  });

  it('accepts a hole made by an earlier row that leads nowhere, and an IOMMU on virtio-mmio', () => {
    const rows = [row(8, 0x99, 0, 1), row(0, 'viommu0', 0, 0x10000)];
    expect(check('iommu-behind-iommu', hosted({ iommuMap: ridMap(rows) }))).toEqual([]);
    const mmio = treeIommu({ location: { kind: 'mmio', base: 0xa000000n } });
    const hosts = [treeHost({ iommuMap: ridMap([row(0, 'viommu0', 0, 0x10000)]) })];
    expect(
      check('iommu-behind-iommu', firmware({ tree: tree({ hosts, iommus: [mmio] }) })),
    ).toEqual([]);
  });

  it('finds an IOMMU behind another', () => {
    const other = treeIommu({ key: 'viommu1', location: { kind: 'mmio', base: 0n } });
    const hosts = [treeHost({ iommuMap: ridMap([row(0, 'viommu1', 0, 0x10000)]) })];
    const facts = firmware({ tree: tree({ hosts, iommus: [treeIommu(), other] }) });
    expect(check('iommu-behind-iommu', facts)[0]?.message).toContain('another IOMMU, viommu1');
  });
});

describe('map-outside-buses', () => {
  const buses = { start: 0x10, end: 0x1f };

  it('warns of a row for none of the host’s buses', () => {
    const iommuMap = ridMap([row(0x1000, 'viommu0', 0x1000, 0x1000), row(0, 'viommu0', 0, 0x100)]);
    const found = check('map-outside-buses', hosted({ buses, iommuMap }));
    expect(found).toMatchObject([{ severity: 'warning', place: iommuMap.rows[1]?.place }]);
  });

  it('accepts a row over the whole segment for a host with fewer buses', () => {
    expect(check('map-outside-buses', hosted({ buses: { start: 0, end: 0xf } }))).toEqual([]);
  });
});

describe('several-iommus', () => {
  it('finds a device with two IOMMUs, and accepts two IDs on one', () => {
    const entry = (target: string | number, id: number): TreeIommusEntry => ({
      target: ref(target),
      ids: [id],
      place: at(),
    });
    const facts = (...iommus: TreeIommusEntry[]): Facts =>
      firmware({ tree: tree({ devices: [treeDevice({ iommus })] }) });
    const found = check('several-iommus', facts(entry('a', 1), entry('b', 0x22)));
    expect(found[0]?.effect).toContain('keeps a and sends it the ID 0x22');
    expect(check('several-iommus', facts(entry('a', 1), entry('a', 2)))).toEqual([]);
    expect(check('several-iommus', facts(entry('a', 1), entry(0x99, 2)))).toEqual([]);
  });

  it('knows that in QEMU a vIOMMU has whole buses', () => {
    const facts = machine();
    const [first, second] = facts.model?.coverage ?? [];
    if (facts.model === undefined || first === undefined || second === undefined) throw new Error();
    const split = { ...facts.model, coverage: [first, { ...second, viommu: 'viommu1' }] };
    expect(check('several-iommus', { ...facts, model: split })).toHaveLength(1);
    const free = { ...split, board: 'emulator' as const };
    expect(check('several-iommus', { ...facts, model: free })).toEqual([]);
  });
});
