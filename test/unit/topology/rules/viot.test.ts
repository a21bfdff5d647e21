// oxlint-disable unicorn/consistent-function-scoping -- a helper stands beside the tests that use it
import { describe, expect, it } from 'vitest';
import type {
  IortMapping,
  ViotDescription,
  ViotNode,
} from '../../../../src/topology/description.ts';
import type { Facts } from '../../../../src/topology/facts.ts';
import {
  at,
  check,
  disk,
  firmware,
  host,
  iort,
  machine,
  mcfg,
  model,
  node,
  ridMap,
  row,
  tree,
  treeDevice,
  treeHost,
  treeIommu,
  viot,
  viotRange,
} from '../../../support/facts.ts';

const IOMMU = node({ type: 'pci-iommu', offset: 48, segment: 0, rid: 8 });

function table(...nodes: ViotNode[]): Facts {
  return firmware({ viot: viot({ nodes: [IOMMU, ...nodes] }) });
}

function damaged(change: Partial<ViotDescription>): Facts {
  return firmware({ viot: viot(change) });
}

describe('viot-range-overlap', () => {
  it('points at the range that wins, the last', () => {
    const first = viotRange(64, 0, 0x3ff);
    const last = viotRange(88, 0x200, 0x2ff, { endpointStart: 0x900 });
    const found = check('viot-range-overlap', table(first, last));
    expect(found).toMatchObject([{ severity: 'error', place: last.place }]);
    expect(found[0]?.message).toBe('the VIOT ranges at 0x40 and 0x58 both hold 02:00.0-02:1f.7');
    expect(found[0]?.related[0]?.place).toBe(first.place);
  });

  it('warns when both give the same IDs, as QEMU’s overlapping pxb does', () => {
    const found = check(
      'viot-range-overlap',
      table(viotRange(64, 0, 0x3ff), viotRange(88, 0x200, 0x2ff)),
    );
    expect(found).toMatchObject([{ severity: 'warning' }]);
  });

  it('says it once for ranges of many segments, and accepts other segments', () => {
    const many = { segments: { start: 0, end: 9 } };
    const one = viotRange(64, 0, 0xff, many);
    const two = viotRange(88, 0, 0xff, { segments: { start: 4, end: 20 }, endpointStart: 9 });
    expect(check('viot-range-overlap', table(one, two))).toHaveLength(1);
    const beside = viotRange(88, 0, 0xff, { segments: { start: 10, end: 20 } });
    expect(check('viot-range-overlap', table(one, beside))).toEqual([]);
  });
});

describe('viot-iommu-absent', () => {
  function moved(rid: number): Facts {
    const nodes = [
      node({ type: 'pci-iommu', offset: 48, segment: 0, rid }),
      viotRange(64, 0, 0xffff),
    ];
    return machine({ viot: viot({ nodes }) });
  }

  it('tells a place with another device from an empty one', () => {
    expect(check('viot-iommu-absent', machine())).toEqual([]);
    const disk0 = check('viot-iommu-absent', moved(0x10));
    expect(disk0[0]?.message).toBe('the VIOT names an IOMMU at 00:02.0, but that is disk0');
    expect(disk0[0]?.effect).toContain('deferred for ever');
    const nothing = check('viot-iommu-absent', moved(0x80));
    expect(nothing[0]?.message).toContain('nothing is there');
    expect(nothing[0]?.effect).toContain('Could not find PCI IOMMU');
  });

  it('finds an MMIO base without vIOMMU', () => {
    const nodes = [node({ type: 'mmio-iommu', offset: 48, base: 0xa000000n })];
    expect(check('viot-iommu-absent', machine({ viot: viot({ nodes }) }))).toHaveLength(1);
  });
});

describe('viot-damaged', () => {
  it.each([
    [{ nodeCount: 1 }, 'error', 'all after it are never read'],
    [{ nodeCount: 9 }, 'warning', 'node_count is 9'],
    [{ nodeOffset: 40 }, 'error', 'node_offset is 40'],
  ] as const)('%j', (change, severity, text) => {
    const found = check('viot-damaged', damaged(change));
    expect(found).toMatchObject([{ severity }]);
    expect(found[0]?.message).toContain(text);
  });

  it('passes on what the reader found, harmless forms as warnings, others’ business not', () => {
    const formProblems = (
      [
        ['viot/empty-node', 'error'],
        ['viot/revision', 'warning'],
        ['viot/output-not-a-node', 'error'],
      ] as const
    ).map(([code, severity]) => ({ code, severity, message: code, place: at() }));
    const found = check('viot-damaged', damaged({ formProblems, nodeCount: 5 }));
    expect(found.map((one) => [one.message, one.severity])).toEqual([
      ['viot/empty-node', 'error'],
      ['viot/revision', 'warning'],
    ]);
    expect(check('viot-damaged', damaged({}))).toEqual([]);
  });
});

describe('viot-output, viot-unknown-node, viot-too-large, viot-endpoint-wraps', () => {
  it('finds outputs that are no IOMMU node', () => {
    const facts = table(viotRange(64, 0, 7, { output: 64 }), viotRange(88, 8, 9, { output: 50 }));
    expect(check('viot-output', facts).map((one) => one.message)).toEqual([
      'output_node of the VIOT node at 0x40 is 0x40: that is a pci-range node',
      'output_node of the VIOT node at 0x58 is 0x32: no node begins there',
    ]);
    expect(check('viot-output', table(viotRange(64, 0, 7)))).toEqual([]);
  });

  it('warns of unknown types', () => {
    const odd = node({ type: 'unknown', offset: 64, number: 9, length: 8 });
    expect(check('viot-unknown-node', table(odd))).toMatchObject([{ severity: 'warning' }]);
  });

  it('finds an IOMMU past 64 KiB and too many nodes', () => {
    const far = node({ type: 'pci-iommu', offset: 0x10000, segment: 0, rid: 8 });
    const near = node({ type: 'pci-iommu', offset: 0xffff, segment: 0, rid: 8 });
    expect(check('viot-too-large', table(far))).toHaveLength(1);
    expect(check('viot-too-large', table(near))).toEqual([]);
    const many = Array.from({ length: 0x10000 }, (_, i) => viotRange(64 + 24 * i, i, i));
    expect(check('viot-too-large', table(...many))).toHaveLength(1);
  });

  it('finds IDs past 32 bits', () => {
    const last = { endpointStart: 0xffff_fff8 };
    expect(check('viot-endpoint-wraps', table(viotRange(64, 0, 7, last)))).toEqual([]);
    expect(check('viot-endpoint-wraps', table(viotRange(64, 0, 8, last)))).toHaveLength(1);
  });
});

describe('range-reversed', () => {
  it('finds VIOT ranges that end before they begin', () => {
    const facts = table(
      viotRange(64, 8, 7),
      viotRange(88, 0, 7, { segments: { start: 2, end: 1 } }),
      viotRange(112, 9, 9),
    );
    expect(check('range-reversed', facts).map((one) => one.message)).toEqual([
      'the VIOT range at 0x40 ends at 00:00.7, before it begins (00:01.0)',
      'the VIOT range at 0x58 ends in segment 1, before it begins (2)',
    ]);
  });
});

describe('viot-outside-mcfg', () => {
  it('finds segments and buses that do not exist', () => {
    const facts = (...nodes: ViotNode[]): Facts => ({ ...table(...nodes), mcfg: mcfg() });
    const other = { segments: { start: 1, end: 1 } };
    expect(check('viot-outside-mcfg', facts(viotRange(64, 0, 0xff, other)))).toHaveLength(1);
    expect(check('viot-outside-mcfg', facts(viotRange(64, 0, 0xff)))).toEqual([]);
    const far = node({ type: 'pci-iommu', offset: 64, segment: 2, rid: 8 });
    expect(check('viot-outside-mcfg', facts(far))[0]?.message).toContain('0002:00:01.0');
  });
});

describe('iort', () => {
  const mapping = (start: number, end: number, target: 'its' | 'smmu' = 'its'): IortMapping => ({
    input: { start, end },
    outputBase: start,
    target,
    place: at(),
  });
  const withMappings = (...mappings: IortMapping[]): Facts =>
    firmware({
      iort: iort({ rootComplexes: [{ segment: 0, mappings, place: at() }] }),
      viot: viot(),
    });

  it('knows an overlap by one from a larger one', () => {
    const byOne = withMappings(mapping(0, 0x100), mapping(0x100, 0xffff));
    expect(check('iort-overlap', byOne)).toMatchObject([{ severity: 'warning' }]);
    const larger = withMappings(mapping(0, 0x1ff), mapping(0x100, 0xffff));
    expect(check('iort-overlap', larger)).toMatchObject([{ severity: 'error' }]);
    expect(check('iort-overlap', withMappings(mapping(0, 0xff), mapping(0x100, 0xffff)))).toEqual(
      [],
    );
    expect(check('iort-overlap', withMappings(mapping(0, 0x10000)))).toHaveLength(1);
  });

  it('iort-damaged passes on what the reader found', () => {
    const formProblems = (
      [
        ['iort/mapping-outside', 'error'],
        ['iort/mapping-overlap', 'error'],
        ['iort/checksum', 'warning'],
      ] as const
    ).map(([code, severity]) => ({ code, severity, message: code, place: at() }));
    const found = check('iort-damaged', firmware({ iort: iort({ formProblems }) }));
    expect(found.map((one) => [one.message, one.severity])).toEqual([
      ['iort/mapping-outside', 'error'],
      ['iort/checksum', 'warning'],
    ]);
  });

  it('finds an SMMU that hides VIOT', () => {
    expect(check('iort-hides-viot', withMappings(mapping(0, 0xffff)))).toEqual([]);
    const hidden = check('iort-hides-viot', withMappings(mapping(0, 0xffff, 'smmu')));
    expect(hidden[0]?.effect).toContain('uses the SMMU');
  });
});

describe('tree-and-viot-disagree', () => {
  it('compares IOMMU and endpoint ID of each function', () => {
    const both = (outputBase: number): Facts =>
      firmware({
        tree: tree({
          hosts: [treeHost({ iommuMap: ridMap([row(0x10, 'viommu0', outputBase, 8)]) })],
        }),
        viot: viot({ nodes: [IOMMU, viotRange(64, 0x10, 0x17)] }),
      });
    expect(check('tree-and-viot-disagree', both(0x10))).toEqual([]);
    expect(check('tree-and-viot-disagree', both(0x110)).map((one) => one.message)).toEqual([
      '00:02.0-00:02.7: the device tree says viommu0, endpoint ID 0x110; VIOT says viommu0, endpoint ID 0x10',
    ]);
  });

  const machines = (
    ...[treeChange, viotNodes]: [Parameters<typeof tree>[0], ViotNode[]]
  ): string[] =>
    check(
      'tree-and-viot-disagree',
      firmware({ tree: tree(treeChange), viot: viot({ nodes: viotNodes }) }),
    ).map(({ severity, message }) => `${severity}: ${message}`);
  const pci = (rid: number, segment = 0): ViotNode =>
    node({ type: 'pci-iommu', offset: 48, segment, rid });

  it('names the IOMMU that only one of them has, and whom it translates', () => {
    expect(machines({}, [pci(0x18), viotRange(64, 0, 0xffff)])).toEqual([
      'error: VIOT has an IOMMU at 00:03.0: the device tree has none there',
      'error: the device tree has the IOMMU viommu0: VIOT has none there',
      'error: 00:00.0-00:00.7: the device tree says viommu0, endpoint ID 0x0; VIOT says the IOMMU at 00:03.0, endpoint ID 0x0',
      'error: 00:01.1-ff:1f.7: the device tree says viommu0, endpoint ID 0x9; VIOT says the IOMMU at 00:03.0, endpoint ID 0x9',
    ]);
  });

  it('finds requester IDs that only one of them translates, but not the hole of the IOMMU', () => {
    expect(machines({}, [pci(8), viotRange(64, 0, 0xfeff)])).toEqual([
      'error: ff:00.0-ff:1f.7: the device tree says viommu0, endpoint ID 0xff00; VIOT says no IOMMU',
    ]);
  });

  it('finds a segment that only VIOT has, a disabled or foreign IOMMU is left alone', () => {
    const other = viotRange(88, 0, 7, { segments: { start: 3, end: 4 } });
    expect(machines({}, [pci(8), viotRange(64, 0, 0xffff), other])).toEqual([
      'error: VIOT translates segments 3-4: the device tree has no host there',
    ]);
    const map = ridMap([row(0, 'smmu', 0, 0x10000)]);
    const smmu = treeIommu({ key: 'smmu', virtio: false, location: { kind: 'mmio', base: 1n } });
    const off = treeIommu({ enabled: false });
    expect(machines({ hosts: [treeHost({ iommuMap: map })], iommus: [smmu, off] }, [])).toEqual([]);
  });

  it('compares platform devices by their address', () => {
    const iommus = [{ target: { key: 'viommu0' }, ids: [7], place: at() }];
    const at1 = treeDevice({ base: 0x1000n, iommus });
    const both = [pci(8), viotRange(64, 0, 0xffff)];
    const endpoint = (base: bigint, id: number): ViotNode =>
      node({ type: 'mmio-endpoint', offset: 88, endpoint: id, base, output: 48 });
    expect(machines({ devices: [at1] }, [...both, endpoint(0x1000n, 7)])).toEqual([]);
    expect(machines({ devices: [at1] }, [...both, endpoint(0x1000n, 8)])).toEqual([
      'error: the device at 0x1000: the device tree says viommu0, endpoint ID 0x7; VIOT says viommu0, endpoint ID 0x8',
    ]);
    expect(machines({ devices: [at1] }, [...both, endpoint(0x2000n, 7)])).toEqual([
      'error: the device at 0x1000: the device tree says viommu0, endpoint ID 0x7; VIOT says no IOMMU',
      'error: the device at 0x2000: the device tree says no IOMMU; VIOT says viommu0, endpoint ID 0x7',
    ]);
  });
});

describe('endpoint-id-collision', () => {
  it('finds functions of one map, of two segments, and a platform device', () => {
    const rows = [row(0x10, 'viommu0', 0x10, 8), row(0x18, 'viommu0', 0x14, 2)];
    const first = treeHost({ iommuMap: ridMap(rows) });
    const two = treeHost({
      key: 'pcie1',
      segment: 1,
      iommuMap: ridMap([row(0, 'viommu0', 0x17, 1)]),
    });
    const found = check('endpoint-id-collision', firmware({ tree: tree({ hosts: [first, two] }) }));
    expect(found.map((one) => one.message)).toEqual([
      '00:02.4-00:02.5 and 00:03.0-00:03.1 have the same endpoint ID 0x14-0x15 on viommu0',
      '00:02.7 and 0001:00:00.0 have the same endpoint ID 0x17 on viommu0',
    ]);
    expect(found[0]).toMatchObject({ severity: 'error', place: rows[1]?.place });
  });

  it('accepts the same ID on two IOMMUs, and what Linux never looks at', () => {
    const iommus = [treeIommu(), treeIommu({ key: 'viommu1' })];
    const hosts = [
      treeHost({ iommuMap: ridMap([row(0, 'viommu0', 0, 8), row(0x18, 'viommu1', 0, 8)]) }),
      // The second row is shadowed by the first.
      treeHost({
        key: 'b',
        segment: 1,
        iommuMap: ridMap([row(0, 'viommu0', 64, 8), row(0, 'viommu0', 0, 8)]),
      }),
    ];
    expect(check('endpoint-id-collision', firmware({ tree: tree({ hosts, iommus }) }))).toEqual([]);
  });

  it('finds VIOT ranges that collide, segment << 16 or not', () => {
    const collide = table(
      viotRange(64, 0, 0xff),
      viotRange(88, 0, 0xff, { segments: { start: 1, end: 1 }, endpointStart: 0xf0 }),
    );
    expect(check('endpoint-id-collision', collide)).toHaveLength(1);
    const apart = table(
      viotRange(64, 0, 0xff),
      viotRange(88, 0, 0xff, { segments: { start: 1, end: 1 }, endpointStart: 0x10000 }),
    );
    expect(check('endpoint-id-collision', apart)).toEqual([]);
  });
});

describe('a model with 8 hosts', () => {
  it('is matched with a foreign tree by segment', () => {
    const facts = machine({ tree: tree({ hosts: [treeHost({ key: '/pcie@10000000' })] }) });
    expect(check('endpoint-not-covered', facts)).toEqual([]);
    const gone = {
      ...facts,
      model: model({ hosts: [host({ segment: 3 })], endpoints: [disk('d', 16)] }),
    };
    expect(check('endpoint-not-covered', gone).length).toBeGreaterThan(0);
  });
});
