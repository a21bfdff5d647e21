import { describe, expect, it } from 'vitest';
import {
  cells,
  empty,
  FdtNode,
  mergeFdt,
  printDts,
  readFdt,
  ref,
  writeFdt,
  type FdtCell,
} from '../../../src/fdt/index.ts';
import { sameTree } from '../../fuzz/fdt.ts';
import { sampleBlob } from '../../support/fdt-blob.ts';

const wide = (from: number): FdtNode => {
  const devices = Array.from({ length: 40_000 }, (_, index) => {
    const unit = (from + index).toString(16);
    return new FdtNode(`dev@${unit}`, { reg: cells(0, from + index), id: cells(index) });
  });
  const last = devices.at(-1) ?? new FdtNode('');
  for (const device of devices) device.set('next', cells(ref(last)));
  return new FdtNode('', {}, devices);
};

// Sizes at which anything quadratic runs into the time limit of the test.
describe('large trees', () => {
  it('of 40,000 siblings are written, read, merged and printed', () => {
    const blob = writeFdt(wide(0));
    const { tree, warnings } = readFdt(blob);
    expect(warnings).toEqual([]);
    expect(Buffer.compare(writeFdt(tree), blob)).toBe(0);
    const merged = mergeFdt(tree, wide(20_000));
    expect(merged.children.length).toBe(60_000);
    expect(readFdt(writeFdt(merged)).tree.children.length).toBe(60_000);
    expect(printDts(tree).length).toBeGreaterThan(blob.length);
  });

  it('with 262,144 map entries are written, read and printed', () => {
    const iommu = new FdtNode('iommu');
    const rows: FdtCell[] = [];
    for (let id = 0; id < 262_144; id++) rows.push(id, ref(iommu), id, 1);
    const root = new FdtNode('', { 'iommu-map': cells(rows) }, [iommu]);
    const blob = writeFdt(root);
    const map = readFdt(blob).tree.bytes('iommu-map');
    expect(map?.length).toBe(262_144 * 16);
    expect(map?.slice(-16)).toEqual(cells(262_143, 1, 262_143, 1));
    expect(printDts(root)).toContain('0x3ffff 0x1 0x3ffff 0x1>;');
  });

  it('with 100,000 property names share their tails', () => {
    const root = new FdtNode('');
    for (let index = 0; index < 100_000; index++)
      root.set(`p${'x'.repeat(index % 9)}${index}`, empty());
    expect(sameTree(readFdt(writeFdt(root)).tree, root)).toBe(true);
  });
});

describe('hostile blobs', () => {
  it('cannot make names longer by pointing into one long string', () => {
    // 2^18 properties, each of which names another place of 1 MiB without a NUL but at its end.
    const count = 1 << 18;
    const tokens = [1, 0];
    for (let index = 0; index < count; index++) tokens.push(3, 0, index);
    const { bytes } = sampleBlob();
    const blob = new Uint8Array(72 + tokens.length * 4 + (1 << 20)).fill(0x78);
    blob.set(bytes.subarray(0, 72));
    const data = new DataView(blob.buffer);
    for (const [index, token] of tokens.entries()) data.setUint32(72 + index * 4, token);
    data.setUint32(4, blob.length);
    data.setUint32(12, blob.length - (1 << 20));
    data.setUint32(32, 1 << 20);
    data.setUint32(36, tokens.length * 4);
    expect(() => readFdt(blob)).toThrow(expect.objectContaining({ code: 'fdt/name-too-long' }));
  });

  it('cannot make paths in warnings grow beyond the limit of names and levels', () => {
    const name = [...Array.from({ length: 63 }, () => 0x2121_2121), 0x2121_2100];
    const deep = Array.from({ length: 62 }, () => [1, ...name]).flat();
    const leaf = [1, ...name, 2];
    const leaves = Array.from({ length: 10_000 }, () => leaf).flat();
    const tokens = [
      1,
      0,
      ...deep,
      ...leaves,
      ...deep.filter((word) => word === 1).map(() => 2),
      2,
      9,
    ];
    const { warnings, warningsOmitted } = readFdt(sampleBlob().withStructure(tokens));
    expect(warnings.length).toBe(1000);
    expect(warningsOmitted).toBeGreaterThan(10_000);
    expect(Math.max(...warnings.map(({ path }) => path.length))).toBe(63 * 256);
  });
});
