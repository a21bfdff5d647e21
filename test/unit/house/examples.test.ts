import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { checkDeviceTree } from '../../../docs/examples/check-device-tree.ts';
import { compare, record } from '../../../docs/examples/compare-traces.ts';
import { readFirstSectors } from '../../../docs/examples/drive-device-model.ts';
import { buildFirmware } from '../../../src/firmware/index.ts';
import { loadTopology } from '../../../src/topology/index.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-examples-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** The tree of a topology, in a file. */
function treeOf(topology: string): string {
  const { model } = loadTopology(topology);
  const { dtb } = model === undefined ? {} : buildFirmware(model);
  const file = join(scratch, 'some.dtb');
  writeFileSync(file, dtb ?? expect.fail(`${topology} has no tree`));
  return file;
}

test('check-device-tree: a good tree, a wrong one, and none', () => {
  expect(checkDeviceTree(treeOf('topologies/its.yaml'))).toBe('');
  const wrong = checkDeviceTree(treeOf('topologies/invalid/iommu-map-overlap.yaml'));
  expect(wrong).toContain('[iommu-map-overlap]');
  writeFileSync(join(scratch, 'none.dtb'), 'this is no tree');
  expect(checkDeviceTree(join(scratch, 'none.dtb'))).toMatch(/\[fdt\/[a-z-]+\]/u);
});

test('drive-device-model: the read is mapped, and unmapped again', () => {
  const { bytes, requests, mappings } = readFirstSectors('topologies/one-endpoint.yaml', 8192);
  expect(bytes).toHaveLength(8192);
  expect(requests).toContain('map');
  expect(requests).toContain('unmap');
  expect(mappings.length).toBeGreaterThan(0);
});

test('compare-traces: the same twice, and a topology with another device', async () => {
  const [a, b, c] = ['a', 'b', 'c'].map((name) => join(scratch, `${name}.jsonl`));
  if (a === undefined || b === undefined || c === undefined) throw new Error('three names');
  await record('topologies/one-endpoint.yaml', a);
  await record('topologies/one-endpoint.yaml', b);
  await record('topologies/its.yaml', c);
  expect(await compare(a, b)).toBeUndefined();
  expect(await compare(a, c)).toMatch(/^after \d+ events: /u);
});

test('every example has a test', () => {
  const examples = readdirSync('docs/examples').filter((name) => name.endsWith('.ts'));
  expect(examples.toSorted()).toEqual([
    'boot-and-judge.ts', // test/e2e/examples.test.ts
    'check-device-tree.ts',
    'compare-traces.ts',
    'drive-device-model.ts',
    'vmm.test.ts', // is one
  ]);
});
