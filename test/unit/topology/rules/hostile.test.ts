import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkFacts } from '../../../../src/topology/rules/index.ts';
import {
  at,
  firmware,
  iort,
  mcfg,
  node,
  ref,
  ridMap,
  row,
  tree,
  treeDevice,
  treeHost,
  treeIommu,
  treeRegion,
  viot,
  viotRange,
} from '../../../support/facts.ts';

const u32 = fc.oneof(
  fc.integer({ min: 0, max: 0xffff_ffff }),
  fc.integer({ min: 0, max: 0x20 }),
  fc.constantFrom(0xff, 0xffff, 0x1_0000, 0xffff_ffff, 0x8000_0000),
);
const u16 = fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0, max: 0x20 }));
const target = fc.constantFrom('viommu0', 'viommu1', 'pcie0', 'nothing', 0, 0x99);
const rows = fc.array(fc.tuple(u32, target, u32, u32), { maxLength: 6 });

describe('descriptions that can come out of any file', () => {
  it('never make a rule throw, and always get finite sentences', () => {
    const host = fc.record({
      key: fc.constantFrom('pcie0', 'pcie1'),
      segment: u16,
      buses: fc.record({ start: u32, end: u32 }),
      cells: rows,
      leftover: fc.nat(3),
      mask: fc.option(u32, { nil: undefined }),
    });
    const range = fc.record({ start: u16, end: u16 });
    const nodes = fc.array(fc.tuple(u16, u16, range, range, u32, u16), { maxLength: 6 });
    fc.assert(
      fc.property(
        fc.array(host, { maxLength: 3 }),
        nodes,
        u32,
        target,
        (hosts, ranges, rid, key) => {
          const facts = firmware({
            tree: tree({
              hosts: hosts.map(({ cells, leftover, mask, ...change }) =>
                treeHost({
                  ...change,
                  iommuMap: ridMap(
                    cells.map((one) => row(...one)),
                    leftover,
                  ),
                  msiMap: ridMap(cells.map((one) => row(...one))),
                  ...(mask !== undefined && { iommuMapMask: { value: mask, place: at() } }),
                }),
              ),
              iommus: [
                treeIommu({ location: { kind: 'pci', parent: 'pcie0', host: 'pcie0', rid } }),
                treeIommu({ key: 'viommu1', nodeName: '', compatible: [], iommuCells: rid }),
              ],
              devices: [treeDevice({ iommus: [{ target: ref(key), ids: [], place: at() }] })],
              regions: [
                treeRegion({ addresses: [{ device: ref(key), cells: [rid], place: at() }] }),
              ],
              size: rid,
            }),
            viot: viot({
              nodeCount: rid & 0xffff,
              nodeOffset: rid & 0xff,
              nodes: [
                node({ type: 'pci-iommu', offset: 48, segment: 0, rid: 8 }),
                ...ranges.map(([offset, output, segments, rids, endpointStart]) =>
                  viotRange(offset, 0, 0, { output, segments, rids, endpointStart }),
                ),
              ],
            }),
            iort: iort(),
            mcfg: mcfg(),
          });
          for (const { message, effect, cure } of checkFacts(facts)) {
            expect(`${message} ${effect} ${cure}`).not.toMatch(/undefined|NaN|\[object/);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
