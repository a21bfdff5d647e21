import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  describe,
  deviceIdBase,
  parseTopology,
  type CoverageRow,
  type Descriptions,
} from '../../../src/topology/index.ts';

const BASE = `extends: virt-arm64
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints: [{ id: disk0, at: 00:02.0, device: virtio-blk }]
`;

function described(text: string): Required<Descriptions> {
  const { model, diagnostics } = parseTopology(text, 'x.yaml');
  if (model === undefined) throw new Error(JSON.stringify(diagnostics.map((d) => d.message)));
  return describe(model) as Required<Descriptions>;
}

const override = (text: string): Required<Descriptions> =>
  described(`${BASE}firmware:\n  overrides:\n    ${text}\n`);

test('a row of three cells is cut into rows of four, as a kernel does', () => {
  const { tree } = override(
    'hosts: { pcie0: { iommu-map: [[0x0, viommu0, 0x8], [0x9, viommu0]] } }',
  );
  expect(tree.hosts[0]?.iommuMap).toMatchObject({
    bytes: 20,
    leftover: 1,
    rows: [{ ridBase: 0, target: { key: 'viommu0' }, outputBase: 8, length: 9 }],
    place: { line: 6 },
  });
});

test('a number where a name stands is a phandle that names nothing', () => {
  const { tree } = override('hosts: { pcie0: { iommu-map: [[0x0, 0x77, 0x0, 0x10000]] } }');
  expect(tree.hosts[0]?.iommuMap?.rows[0]?.target).toEqual({ phandle: 0x77 });
});

test('properties can be left out', () => {
  const { tree } = override(
    'hosts: { pcie0: { msi-map: none, "linux,pci-domain": none, iommu-map-mask: 0xff00 } }',
  );
  const [host] = tree.hosts;
  expect(host).not.toHaveProperty('msiMap');
  expect(host).not.toHaveProperty('segment');
  expect(host?.iommuMapMask?.value).toBe(0xff00);
});

test('the node of a vIOMMU can be moved, renamed, disabled, stripped and removed', () => {
  const { tree } = override(
    'viommus: { viommu0: { reg: 0x1800, node-name: virtio_iommu@1, "#iommu-cells": none, status: disabled } }',
  );
  const [iommu] = tree.iommus;
  expect(iommu).toMatchObject({
    path: '/pcie@4010000000/virtio_iommu@1',
    location: { kind: 'pci', parent: 'pcie0', host: 'pcie0', rid: 0x18 },
    enabled: false,
  });
  expect(iommu).not.toHaveProperty('iommuCells');
  const gone = override('viommus: { viommu0: { described: false } }');
  expect(gone.tree.iommus).toEqual([]);
  expect(gone.viot.nodes).toEqual([]);
});

test('a vIOMMU behind a bridge is a child of the node of the bridge', () => {
  const { tree } = described(`extends: virt-arm64
pci: { hosts: [{ id: pcie0, bridges: [{ id: rp1, at: 00:04.0, buses: 0x01-0x01 }] }] }
viommus: [{ id: viommu0, at: 01:00.0 }]
`);
  expect(tree.iommus[0]).toMatchObject({
    path: '/pcie@4010000000/pci@4,0/iommu@0,0',
    location: { parent: 'rp1', host: 'pcie0', rid: 0x100 },
  });
});

test('nodes of VIOT take the place of all derived ones; a kernel stops at a bad length', () => {
  const { viot } = override(`viot:
      node-count: 9
      node-offset: 40
      nodes:
        - { type: pci-iommu, at: 00:03.0 }
        - { type: unknown, number: 9, length: 8 }
        - { type: pci-range, endpoint-start: 0x10, rids: 00:02.0-00:02.7, output: 0 }
        - { type: pci-range, endpoint-start: 0, rids: 00:00.0-ff:1f.7, output: 0, length: 20 }
        - { type: pci-iommu, at: 00:01.0 }`);
  expect(viot).toMatchObject({ nodeCount: 9, nodeOffset: 40 });
  expect(viot.nodes.map(({ type, offset }) => [type, offset])).toEqual([
    ['pci-iommu', 48],
    ['unknown', 64],
    ['pci-range', 72],
  ]);
  expect(viot.nodes[2]).toMatchObject({ rids: { start: 0x10, end: 0x17 }, output: 48 });
  expect(viot.formProblems).toMatchObject([{ code: 'viot/node-size', place: { line: 13 } }]);
});

test('the IORT of a host leads to the ITS, one ID too far when told so', () => {
  expect(described(BASE).iort.rootComplexes).toMatchObject([
    { segment: 0, mappings: [{ input: { start: 0, end: 0xffff }, outputBase: 0, target: 'its' }] },
  ]);
  const { iort } = override('iort: { id-count-delta: 1 }');
  expect(iort.rootComplexes[0]?.mappings[0]?.input.end).toBe(0x10000);
});

test('cells of a region are those of the parent bus, and a misread range is what is read', () => {
  const region =
    'reserved-regions: [{ id: r0, endpoints: [disk0], range: 0xf0000000-0xf0ffffff, via: [device-tree] }]\n';
  const { tree } = described(BASE + region);
  expect(tree.regions[0]?.addresses[0]).toMatchObject({
    cells: [0x02000000, 0, 0xf0000000, 0, 0x1000000],
    range: { start: 0xf0000000n, end: 0xf0ffffffn },
  });
  expect(tree.devices).toMatchObject([
    {
      key: 'disk0',
      path: '/pcie@4010000000/device@2,0',
      memoryRegions: ['r0'],
      pci: { rid: 0x10 },
    },
  ]);
  const wrong = described(
    `${BASE}${region}firmware: { overrides: { regions: { r0: { iommu-addresses: [0, 0xf0000000, 0, 0x1000000], memory-region: false } } } }\n`,
  );
  expect(wrong.tree.regions[0]?.addresses[0]).not.toHaveProperty('range');
  expect(wrong.tree.devices[0]?.memoryRegions).toEqual([]);
});

test('MSIs: msi-map to an ITS, msi-parent to a GICv2m frame, DeviceIDs with segments only on the emulator', () => {
  const its = described(BASE).tree.hosts[0];
  expect(its?.msiMap?.rows).toMatchObject([{ ridBase: 0, outputBase: 0, length: 0x10000 }]);
  const v2m = described(BASE.replace('virt-arm64', 'virt-arm64-gicv2')).tree.hosts[0];
  expect(v2m).not.toHaveProperty('msiMap');
  expect(v2m?.msiParent?.target).toEqual({ key: 'v2m0' });
  for (const [board, base] of [
    ['emulator', 0x1_0000],
    ['virt', 0],
  ] as const) {
    const { model } = parseTopology(
      `board: ${board}\npci: { hosts: [{ id: a, kind: root, buses: 0x0-0xf }, { id: b, kind: pxb, buses: 0x10-0x1f }] }\n`,
      'x.yaml',
    );
    const host = model?.hosts[1];
    expect(model && host && deviceIdBase(model, host)).toBe(base);
  }
});

test('defaults of virt are those of QEMU, and a second host shares its windows', () => {
  const { model } = parseTopology(
    'board: virt\npci: { hosts: [{ id: a, buses: 0x0-0xf }, { id: b, kind: pxb, buses: 0x10-0x1f }] }\n',
    'x.yaml',
  );
  expect(model?.gic).toMatchObject({
    version: 3,
    distributor: { start: 0x8000000n, end: 0x800ffffn },
    cpuInterface: { start: 0x80a0000n, end: 0x8ffffffn },
  });
  expect(model?.hosts.map((host) => host.ecam)).toEqual([
    { start: 0x4010000000n, end: 0x4010ffffffn },
    { start: 0x4011000000n, end: 0x4011ffffffn },
  ]);
  expect(model?.hosts.map((host) => host.segment)).toEqual([0, 1]);
  const [a, b] = model?.hosts ?? [];
  expect(a?.mem32.start).toBe(0x10000000n);
  expect(b?.mem32.start).toBe((a?.mem32.end ?? 0n) + 1n);
  expect(b?.mem32.end).toBe(0x3efeffffn);
});

test('VIOT ranges over segments are the fewest, and mean what the coverage says', () => {
  const { model: base } = parseTopology(
    'extends: emulator\nviommus:\n  - { id: a, mmio: 0xa000000 }\n  - { id: b, mmio: 0xa000200 }\n' +
      'pci: { hosts: [{ id: pcie0, viommu: none }] }\n',
    'x.yaml',
  );
  if (base === undefined) throw new Error('no model');
  const { place } = base;
  const row = fc.record({
    slot: fc.nat(3),
    viommu: fc.constantFrom('a', 'b'),
    // Mostly what follows from the segment before, or a little off.
    shift: fc.constantFrom(0, 0, 0, 1),
  });
  const machine = fc.array(
    fc.record({ segment: fc.nat(5), rows: fc.uniqueArray(row, { selector: (it) => it.slot }) }),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(machine, (hosts) => {
      const bySegment = new Map(hosts.map((it) => [it.segment, it.rows]));
      const coverage = [...bySegment.entries()]
        .toSorted(([x], [y]) => x - y)
        .flatMap(([segment, rows]) =>
          rows
            .toSorted((x, y) => x.slot - y.slot)
            .map(({ slot, viommu, shift }): CoverageRow => {
              const rids = { start: slot * 16, end: slot * 16 + 7 };
              const endpointId = segment * 0x1_0000 + rids.start + shift;
              return { host: 'pcie0', segment, rids, viommu, endpointId, place };
            }),
        );
      const key = (it: Omit<CoverageRow, 'place' | 'host'>): string =>
        `${it.segment} ${it.rids.start}-${it.rids.end} ${it.viommu} ${it.endpointId}`;
      const { viot } = describe({ ...base, coverage });
      const outputs = new Map([48, 64].map((offset, index) => [offset, 'ab'[index] ?? '']));
      const told: string[] = [];
      let nodes = 0;
      for (const node of viot?.nodes ?? []) {
        if (node.type !== 'pci-range') continue;
        nodes++;
        const { segments, rids, endpointStart, output } = node;
        for (let segment = segments.start; segment <= segments.end; segment++) {
          const endpointId = endpointStart + (segment - segments.start) * 0x1_0000;
          told.push(key({ segment, rids, viommu: outputs.get(output) ?? '', endpointId }));
        }
      }
      const all = coverage.map(key);
      expect(told.toSorted()).toEqual(all.toSorted());
      // As many as there are rows that continue nothing on the segment before.
      const set = new Set(all);
      const begins = coverage.filter((it) => {
        const { segment, endpointId } = it;
        return !set.has(key({ ...it, segment: segment - 1, endpointId: endpointId - 0x1_0000 }));
      });
      expect(nodes).toBe(begins.length);
    }),
  );
});
