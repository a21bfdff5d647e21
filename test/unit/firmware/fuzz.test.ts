import { expect, test } from 'vitest';
import { coveredByHost, coveredByViot } from '../../../src/firmware/index.ts';
import type { TreeHost, ViotDescription } from '../../../src/topology/index.ts';
import { fuzzFirmware } from '../../fuzz/firmware.ts';

test('damaged firmware is described or refused, whatever it is', () => {
  const { described, refused, codes, again } = fuzzFirmware(2026, 2000);
  expect(described).toBeGreaterThan(1000);
  expect(refused).toBeGreaterThan(100);
  expect(again).toBeGreaterThan(10);
  // The damage reaches what is behind the parsers.
  for (const code of ['fdt/truncated', 'unknown-phandle', 'viot-range-overlap', 'viot/truncated']) {
    expect([...codes.keys()]).toContain(code);
  }
  expect(codes.size).toBeGreaterThan(25);
}, 60_000);

test('the same seed makes the same machines', () => {
  expect(fuzzFirmware(7, 200)).toEqual(fuzzFirmware(7, 200));
}, 60_000);

test('a table that names thousands of segments is read in time that goes with its bytes', () => {
  const nodes = Array.from({ length: 200 }, (_, index) => ({
    type: 'pci-range' as const,
    segments: { start: 0, end: 0xffff },
    rids: { start: index * 8, end: index * 8 + 7 },
    endpointStart: index * 16,
    output: 48,
  }));
  const iommu = { type: 'pci-iommu' as const, segment: 0, rid: 1, offset: 48 };
  const viot = { nodes: [iommu, ...nodes] } as unknown as ViotDescription;
  // A scan of all requester IDs of each segment would be sixteen million steps.
  const rows = Array.from({ length: 256 }, (_, segment) => coveredByViot(viot, segment));
  expect(rows[1]).toHaveLength(200);
  // The IOMMU does not translate itself.
  expect(rows[0]?.slice(0, 2)).toEqual([
    { rids: { start: 0, end: 0 }, iommu: 48, endpointId: 0 },
    { rids: { start: 2, end: 7 }, iommu: 48, endpointId: 2 },
  ]);
});

test('endpoint IDs begin again after 32 bits, and the run does', () => {
  const row = { ridBase: 0, target: { key: 'v' }, outputBase: 0xffff_fffe, length: 4 };
  const host = { buses: { start: 0, end: 0 }, iommuMap: { rows: [row], leftover: 0, bytes: 16 } };
  expect(coveredByHost(host as unknown as TreeHost)).toEqual([
    { rids: { start: 0, end: 1 }, iommu: 'v', endpointId: 0xffff_fffe },
    { rids: { start: 2, end: 3 }, iommu: 'v', endpointId: 0 },
  ]);
});
