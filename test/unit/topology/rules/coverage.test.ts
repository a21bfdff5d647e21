// oxlint-disable unicorn/consistent-function-scoping -- a helper stands beside the tests that use it
import { describe, expect, it } from 'vitest';
import type { Facts } from '../../../../src/topology/facts.ts';
import type { Endpoint, Model, Viommu } from '../../../../src/topology/model.ts';
import { checkFacts } from '../../../../src/topology/rules/index.ts';
import {
  at,
  check,
  disk,
  host,
  machine,
  model,
  ref,
  ridMap,
  row,
  tree,
  treeDevice,
  treeHost,
  treeIommu,
  viommu,
  viot,
  viotRange,
  node,
} from '../../../support/facts.ts';

/** The machine with another iommu-map in its tree. */
function mapped(rows: Parameters<typeof ridMap>[0], change: Partial<Facts> = {}): Facts {
  return machine({ tree: tree({ hosts: [treeHost({ iommuMap: ridMap(rows) })] }), ...change });
}

const IOMMU = node({ type: 'pci-iommu', offset: 48, segment: 0, rid: 8 });

describe('endpoint-not-covered', () => {
  it('names the endpoints that a map leaves out', () => {
    const facts = mapped([
      row(0, 'viommu0', 0, 8),
      row(9, 'viommu0', 9, 0xf),
      row(0x20, 'viommu0', 0x20, 0xff00),
    ]);
    const found = check('endpoint-not-covered', facts);
    expect(found.map((one) => [one.severity, one.message.slice(0, 52)])).toEqual([
      ['error', 'the device tree covers disk1 (00:03.0) by no vIOMMU;'],
    ]);
    expect(found[0]?.place).toBe(facts.model?.endpoints[1]?.place);
    expect(found[0]?.effect).toContain('works untranslated');
  });

  it('knows that boot-bypass decides between a silent bypass and a hang', () => {
    const facts = mapped([row(0x10, 'viommu0', 0x10, 8)], {
      model: model({ viommus: [viommu({ bootBypass: false })] }),
    });
    expect(check('endpoint-not-covered', facts)[0]?.effect).toContain('I/O hangs');
  });

  it('warns, once for a host, when no device is concerned', () => {
    const rows = [
      row(0, 'viommu0', 0, 8),
      row(9, 'viommu0', 9, 0x10),
      row(0x20, 'viommu0', 0x20, 8),
    ];
    const found = check('endpoint-not-covered', mapped(rows));
    expect(found.map((one) => [one.severity, one.message.slice(0, 70)])).toEqual([
      ['warning', 'the device tree covers 00:03.1-00:03.7 (no device yet, like 1 other ru'],
    ]);
  });

  it('looks at VIOT and at a missing iommu-map', () => {
    const table = viot({ nodes: [IOMMU, viotRange(64, 0, 0x17)] });
    expect(check('endpoint-not-covered', machine({ viot: table }))[0]?.message).toContain(
      'the VIOT covers disk1',
    );
    const { iommuMap: _, ...bare } = treeHost();
    const facts = machine({ tree: tree({ hosts: [bare] }) });
    expect(check('endpoint-not-covered', facts).map((one) => one.severity)).toEqual([
      'error',
      'error',
    ]);
  });

  it('leaves to other rules what they explain', () => {
    expect(check('endpoint-not-covered', mapped([row(0, 0x99, 0, 0x10000)]))).toEqual([]);
    const off = machine({ tree: tree({ iommus: [treeIommu({ enabled: false })] }) });
    expect(check('endpoint-not-covered', off)).toEqual([]);
  });
});

describe('endpoint-id-wrong, bypassed-endpoint-claimed, endpoint-behind-wrong-viommu', () => {
  it('finds another endpoint ID', () => {
    const facts = mapped([row(0, 'viommu0', 0, 8), row(9, 'viommu0', 0x109, 0xfff7)]);
    const found = check('endpoint-id-wrong', facts);
    expect(found.map((one) => one.severity)).toEqual(['error', 'error']);
    expect(found[0]?.message).toContain('disk0');
    expect(check('endpoint-not-covered', facts)).toEqual([]);
  });

  it('finds what the topology lets bypass', () => {
    const half = { host: 'pcie0', segment: 0, viommu: 'viommu0', place: at() };
    const { viommu: _, endpointId: __, ...bypassing } = disk('disk1', 0x18);
    const facts = machine({
      model: model({
        endpoints: [disk('disk0', 0x10), bypassing],
        coverage: [
          { ...half, rids: { start: 0, end: 0x17 }, endpointId: 0 },
          { ...half, rids: { start: 0x20, end: 0xffff }, endpointId: 0x20 },
        ],
      }),
    });
    const found = check('bypassed-endpoint-claimed', facts);
    expect(found.map((one) => one.message)).toEqual([
      'the device tree puts disk1 (00:03.0) behind viommu0, endpoint ID 0x18; the topology lets it bypass',
      'the VIOT puts disk1 (00:03.0) behind viommu0, endpoint ID 0x18; the topology lets it bypass',
    ]);
  });

  it('finds the wrong vIOMMU', () => {
    const other = viommu({
      id: 'viommu1',
      transport: { kind: 'mmio', base: 1n, size: 1n, interrupt: 1, legacy: false },
    });
    const facts = machine({
      model: model({ viommus: [viommu(), other] }),
      tree: tree({
        hosts: [treeHost({ iommuMap: ridMap([row(0, 'viommu1', 0, 0x10000)]) })],
        iommus: [treeIommu(), treeIommu({ key: 'viommu1', location: { kind: 'mmio', base: 1n } })],
      }),
    });
    expect(check('endpoint-behind-wrong-viommu', facts).map((one) => one.severity)).toEqual([
      'error',
      'error',
    ]);
  });

  it('compares platform devices', () => {
    const dma: Endpoint = {
      ...disk('dma0', 0),
      location: { kind: 'platform', base: 0xa003c00n, size: 0x200n, compatible: ['virtio,mmio'] },
      endpointId: 0x20000,
    };
    const told = (id: number): Facts =>
      machine({
        model: model({ board: 'emulator', endpoints: [dma] }),
        tree: tree({
          devices: [treeDevice({ iommus: [{ target: ref('viommu0'), ids: [id], place: at() }] })],
        }),
        viot: viot({
          nodes: [
            IOMMU,
            viotRange(64, 0, 0xffff),
            node({ type: 'mmio-endpoint', offset: 88, endpoint: id, base: 0xa003c00n, output: 48 }),
          ],
        }),
      });
    expect(checkFacts(told(0x20000))).toEqual([]);
    expect(check('endpoint-id-wrong', told(0x20001))).toHaveLength(2);
    expect(check('endpoint-not-covered', { ...told(0), viot: viot() })).toHaveLength(1);
  });
});

describe('endpoint-id-too-large', () => {
  const far = (board: Model['board']): Facts =>
    machine({
      model: model({
        board,
        coverage: [
          {
            host: 'pcie0',
            segment: 0,
            viommu: 'viommu0',
            rids: { start: 0, end: 9 },
            endpointId: 0x10000,
            place: at(),
          },
        ],
      }),
    });

  it('holds for QEMU only', () => {
    expect(check('endpoint-id-too-large', far('virt'))[0]?.effect).toContain('low 16 bits');
    expect(check('endpoint-id-too-large', far('emulator'))).toEqual([]);
    expect(check('endpoint-id-too-large', machine())).toEqual([]);
  });
});

describe('bypass-blocked', () => {
  const { viommu: _, endpointId: __, ...bypassing } = disk('disk1', 0x18);
  const facts = (bootBypass: boolean, change: Partial<Model> = {}): Facts =>
    machine({
      model: model({
        endpoints: [disk('disk0', 0x10), bypassing],
        viommus: [viommu({ bootBypass })],
        ...change,
      }),
    });

  it('finds a bypassing device that QEMU would block', () => {
    expect(check('bypass-blocked', facts(false))).toHaveLength(1);
    expect(check('bypass-blocked', facts(true))).toEqual([]);
    expect(check('bypass-blocked', facts(false, { board: 'emulator' }))).toEqual([]);
    expect(check('bypass-blocked', facts(false, { coverage: [] }))).toEqual([]);
  });
});

describe('pci-iommu-without-node', () => {
  const withNode = (...iommus: Parameters<typeof treeIommu>): Facts =>
    machine({ tree: tree({ iommus: iommus.map((one) => treeIommu(one)) }) });
  const pci = (rid: number, parent = 'pcie0'): Parameters<typeof treeIommu>[0] => ({
    location: { kind: 'pci', parent, host: 'pcie0', rid },
  });

  it('finds a node that is missing, misplaced or below a bridge', () => {
    expect(check('pci-iommu-without-node', withNode())[0]?.effect).toContain('Linux 6.12 oopses');
    expect(check('pci-iommu-without-node', withNode(pci(0x18)))[0]?.message).toBe(
      'the device tree puts viommu0 at function 00:03.0 below pcie0, but it is at 00:01.0',
    );
    expect(check('pci-iommu-without-node', withNode(pci(8, '/pcie/pci@4')))).toHaveLength(1);
  });

  it('accepts a node of another name, and a vIOMMU on virtio-mmio without one', () => {
    expect(check('pci-iommu-without-node', withNode({ key: '/x', ...pci(8) }))).toEqual([]);
    const transport: Viommu['transport'] = {
      kind: 'mmio',
      base: 0n,
      size: 0x200n,
      interrupt: 1,
      legacy: false,
    };
    const facts = machine({
      model: model({ viommus: [viommu({ transport })] }),
      tree: tree({ iommus: [] }),
    });
    expect(check('pci-iommu-without-node', facts)).toEqual([]);
  });
});

describe('bridge-alias', () => {
  const bridge = {
    id: 'br0',
    kind: 'pcie-pci-bridge' as const,
    rid: 0x20,
    buses: { start: 1, end: 1 },
    hotplug: false,
    place: at(),
  };
  const behind = (board: Model['board'], kind: 'root-port' | 'pcie-pci-bridge'): Facts =>
    machine({
      model: model({
        board,
        hosts: [host({ bridges: [{ ...bridge, kind }] })],
        endpoints: [disk('disk0', 0x108)],
      }),
    });

  it('finds what QEMU leaves untranslated', () => {
    expect(check('bridge-alias', behind('virt', 'pcie-pci-bridge'))[0]?.message).toContain(
      'the alias 01:00.0 only',
    );
    expect(check('bridge-alias', behind('virt', 'root-port'))).toEqual([]);
  });

  it('elsewhere needs the alias covered too', () => {
    const facts = behind('emulator', 'pcie-pci-bridge');
    expect(check('bridge-alias', facts)).toEqual([]);
    const rows = [
      row(0, 'viommu0', 0, 8),
      row(9, 'viommu0', 9, 0xf7),
      row(0x101, 'viommu0', 0x101, 0xfeff),
    ];
    const holed = { ...facts, tree: tree({ hosts: [treeHost({ iommuMap: ridMap(rows) })] }) };
    expect(check('bridge-alias', holed)[0]?.message).toContain(
      'its alias 01:00.0 is behind no vIOMMU',
    );
  });
});
