// oxlint-disable unicorn/consistent-function-scoping -- a helper stands beside the tests that use it
import { describe, expect, it } from 'vitest';
import type { Facts } from '../../../../src/topology/facts.ts';
import type { CoverageRow } from '../../../../src/topology/model.ts';
import { checkFacts } from '../../../../src/topology/rules/index.ts';
import {
  at,
  firmware,
  host,
  machine,
  model,
  node,
  ridMap,
  row,
  tree,
  treeHost,
  treeIommu,
  viommu,
  viot,
  viotRange,
} from '../../../support/facts.ts';

const SEGMENTS = 4;
const MMIO = { kind: 'mmio' as const, base: 0xa000000n };

/** 4 segments with a row for each of `rids` requester IDs; `id` gives the endpoint IDs. */
function mapped(rids: number, id: (segment: number, rid: number) => number): Facts {
  const segments = Array.from({ length: SEGMENTS }, (_, index) => index);
  const hosts = segments.map((segment) =>
    treeHost({
      key: `pcie${segment}`,
      segment,
      iommuMap: ridMap(
        Array.from({ length: rids }, (_, rid) => row(rid, 'viommu0', id(segment, rid), 1)),
      ),
      msiMap: ridMap([row(0, 'its0', segment << 16, 0x10000)]),
    }),
  );
  const iommus = [
    treeIommu({ location: MMIO, nodeName: 'virtio@a000000', compatible: ['virtio,mmio'] }),
  ];
  const coverage = segments.flatMap((segment) =>
    Array.from({ length: rids }, (_, rid): CoverageRow => ({
      host: `pcie${segment}`,
      segment,
      rids: { start: rid, end: rid },
      viommu: 'viommu0',
      endpointId: (segment << 16) + rid,
      place: at(),
    })),
  );
  return machine({
    model: model({
      board: 'emulator',
      hosts: segments.map((segment) => host({ id: `pcie${segment}`, segment })),
      viommus: [viommu({ transport: { ...MMIO, size: 0x200n, interrupt: 16, legacy: false } })],
      endpoints: [],
      coverage,
    }),
    tree: tree({ hosts, iommus }),
    viot: viot({
      nodes: [
        node({ type: 'mmio-iommu', offset: 48, base: MMIO.base }),
        viotRange(64, 0, rids - 1, { segments: { start: 0, end: SEGMENTS - 1 } }),
      ],
    }),
    iort: {
      rootComplexes: segments.map((segment) => ({
        segment,
        mappings: [{ input: { start: 0, end: 0xffff }, outputBase: 0, target: 'its', place: at() }],
        place: at(),
      })),
      formProblems: [],
      place: at(),
    },
    mcfg: {
      hosts: segments.map((segment) => ({
        segment,
        buses: { start: 0, end: 0xff },
        ecam: 0n,
        place: at(),
      })),
      place: at(),
    },
  });
}

function seconds(facts: Facts): number {
  const before = performance.now();
  checkFacts(facts);
  return (performance.now() - before) / 1000;
}

describe('scale', () => {
  it('a row for each of 262,144 requester IDs: right ones have no findings', () => {
    expect(checkFacts(mapped(0x10000, (segment, rid) => (segment << 16) + rid))).toEqual([]);
  });

  it('and wrong ones a bounded number', () => {
    const found = checkFacts(mapped(0x10000, (_, rid) => rid & 0xff));
    expect(new Set(found.map((one) => one.rule))).toEqual(
      new Set(['endpoint-id-collision', 'endpoint-id-wrong']),
    );
    expect(found.length).toBeLessThan(200);
  });

  it('time grows with the rows, not with their square', () => {
    const build = (rows: number): Facts => mapped(rows, (segment, rid) => (segment << 16) + rid);
    seconds(build(0x1000));
    const small = seconds(build(0x1000));
    const large = seconds(build(0x10000));
    // 16 times the rows: 256 times the time would be quadratic.
    expect(large / Math.max(small, 0.002)).toBeLessThan(100);
  });

  it('65,536 rows that all overlap, and VIOT ranges over all segments', () => {
    const rows = Array.from({ length: 0x10000 }, (_, index) => row(0, 'viommu0', index, 0x10000));
    const nodes = [
      node({ type: 'pci-iommu', offset: 48, segment: 0, rid: 8 }),
      ...Array.from({ length: 0xfff0 }, (_, index) =>
        viotRange(64 + 24 * index, 0, 0xffff, {
          segments: { start: index % 600, end: 0xffff },
          endpointStart: index,
        }),
      ),
    ];
    const facts = firmware({
      tree: tree({ hosts: [treeHost({ iommuMap: ridMap(rows) })] }),
      viot: viot({ nodes }),
    });
    const found = checkFacts(facts);
    expect(found.some((one) => one.rule === 'iommu-map-overlap')).toBe(true);
    expect(found.some((one) => one.rule === 'viot-range-overlap')).toBe(true);
  });
});
