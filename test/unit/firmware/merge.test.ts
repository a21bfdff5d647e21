import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readFdt, walk, writeFdt, type FdtNode } from '../../../src/fdt/index.ts';
import {
  describe as describeModel,
  loadTopology,
  type Model,
} from '../../../src/topology/index.ts';
import { describeTree, FirmwareError, mergeDeviceTree } from '../../../src/firmware/index.ts';
import { modelLookup, treeLookup } from './lookup.ts';
import { shippedModel } from './shipped.ts';

const golden = join(import.meta.dirname, '../../golden/fdt');

function goldenTree(name: string): Uint8Array {
  return readFileSync(join(golden, `${name}.dtb`));
}

function merge(base: string, model: Model): Uint8Array {
  const { tree } = describeModel(model);
  if (tree === undefined) throw new Error('no device tree');
  return writeFdt(mergeDeviceTree(goldenTree(base), model, tree), { names: 'lax' });
}

/** Every property as `path property: bytes`. */
function lines(root: FdtNode): string[] {
  return [...walk(root)].flatMap(({ node, path }) =>
    [...node.props.keys()].map(
      (name) => `${path} ${name}: ${Buffer.from(node.bytes(name) ?? []).toString('hex')}`,
    ),
  );
}

const OURS =
  / (iommu-map|iommu-map-mask|msi-map|msi-parent|linux,pci-domain|#iommu-cells|iommus|memory-region|phandle): |iommu@|^\/reserved-memory|^\/pcie@[0-9a-f]+\/device@/;

const PAIRS = [
  ['virt-viommu-gic3-noits', 'reserved-regions'],
  ['virt-viommu', 'gicv2m'],
  ['virt-plain', 'gicv2m'],
  ['virt-viommu-mmio', 'one-endpoint'],
  ['virt-viommu-mmio', 'software-doorbell'],
  ['virt-viommu-mmio', 'device-tree-regions'],
  ['virt-viommu-mmio', 'root-ports'],
  ['virt-viommu-mmio', 'bypass'],
  ['virt-smmuv3', 'its'],
] as const;

describe.each(PAIRS)('QEMU %s with the IOMMUs of %s', (base, topology) => {
  const model = shippedModel(`${topology}.yaml`);
  const merged = merge(base, model);

  test('keeps all that is not about IOMMUs byte for byte', () => {
    const before = lines(readFdt(goldenTree(base)).tree).filter((line) => !OURS.test(line));
    const after = new Set(lines(readFdt(merged).tree));
    expect(before.filter((line) => !after.has(line))).toEqual([]);
    const kept = new Set(before);
    expect([...after].filter((line) => !kept.has(line) && !OURS.test(line))).toEqual([]);
  });

  test('keeps the phandles of the base', () => {
    const after = new Set(lines(readFdt(merged).tree));
    const phandles = lines(readFdt(goldenTree(base)).tree).filter((line) =>
      / phandle: /.test(line),
    );
    expect(phandles.filter((line) => !after.has(line) && !line.includes('iommu'))).toEqual([]);
  });

  test('gives every requester ID the endpoint ID of the model', () => {
    const tree = describeTree(merged, 'merged.dtb');
    expect(tree.hosts).toHaveLength(1);
    for (const host of tree.hosts) {
      for (let rid = 0; rid < 0x2000; rid++) {
        expect(treeLookup(model, tree, host, rid)).toBe(modelLookup(model, 0, rid));
      }
    }
  });

  test('leaves no virtio-iommu of the base', () => {
    const tree = describeTree(merged, 'merged.dtb');
    expect(tree.iommus.filter(({ virtio }) => virtio)).toHaveLength(model.viommus.length);
    expect(tree.regions.map(({ addresses }) => addresses.length > 0)).not.toContain(false);
  });

  test('is the same when it is merged again', () => {
    const { tree } = describeModel(model);
    if (tree === undefined) throw new Error('no device tree');
    const again = writeFdt(mergeDeviceTree(merged, model, tree), { names: 'lax' });
    expect(describeTree(again, 'x').hosts).toEqual(describeTree(merged, 'x').hosts);
  });
});

test('two hosts of one segment are one node in the tree of QEMU', () => {
  const file = join(golden, '../firmware/virt-viommu-pxb.yaml');
  const { model } = loadTopology(file);
  if (model === undefined) throw new Error(`${file} does not load`);
  const [host, ...others] = describeTree(merge('virt-viommu-pxb', model), 'x').hosts;
  expect(others).toEqual([]);
  expect(host?.iommuMap?.rows.map(({ ridBase, length }) => [ridBase, length])).toEqual([
    [0, 8],
    [9, 0xff7],
    [0x1000, 0x200],
  ]);
});

test('an SMMU stays, but nothing is behind it any more', () => {
  const tree = describeTree(merge('virt-smmuv3', shippedModel('its.yaml')), 'x');
  expect(tree.iommus.map(({ virtio }) => virtio)).toEqual([false, true]);
});

test('a second segment in the configuration space of the first is refused', () => {
  const model = shippedModel('two-viommus.yaml');
  expect(() => merge('virt-plain', model)).toThrow(FirmwareError);
  expect(() => merge('virt-plain', model)).toThrow(/segment 0x1, buses 0x10-0x1f/);
});

test('a doorbell that the base does not have is refused', () => {
  const model = shippedModel('its.yaml');
  // The address of the node, not that of the page in it that devices write to.
  expect(() => merge('virt-viommu-gic3-noits', model)).toThrow(/no ITS at 0x8080000; it has none/);
  expect(() => merge('virt-viommu-gic2', model)).toThrow(/it has GICv2m frame at 0x8020000/);
  expect(() => merge('virt-viommu-gic2', model)).toThrow(
    expect.objectContaining({ cure: expect.stringContaining('gic-version=3') as string }) as Error,
  );
});
