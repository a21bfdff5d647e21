import { describe, expect, test } from 'vitest';
import { buildCommand } from '../../../src/qemu/index.ts';
import type { QemuVersion } from '../../../src/qemu/index.ts';
import { loadTopology } from '../../../src/topology/index.ts';

const version = (major: number, minor: number): QemuVersion => ({ major, minor, micro: 0 });

/** The `-device` of the vIOMMU. */
function device(topology: string, qemu: QemuVersion): string {
  const { model } = loadTopology(`topologies/${topology}`);
  if (model === undefined) throw new Error(topology);
  const found = buildCommand(model, { version: qemu, append: '' })
    .groups.flatMap((group) => group.arguments)
    .map(({ value }) => value?.filter((part) => typeof part === 'string').join('') ?? '')
    .find((text) => text.includes('virtio-iommu'));
  if (found === undefined) throw new Error('no vIOMMU');
  return found;
}

describe('reserved regions', () => {
  const regions = ['0xe0000000:0xefffffff:0', '0xfee00000:0xfeefffff:1'];

  test('are numbered properties for QEMU 7.2 and 8.1', () => {
    for (const qemu of [version(7, 2), version(8, 1)]) {
      const text = device('reserved-regions.yaml', qemu);
      expect(text).toContain('virtio-iommu-pci,');
      expect(text).toContain(`len-reserved-regions=2,reserved-regions[0]=${regions[0]},`);
    }
  });

  test('are a JSON list in a device that is JSON from 8.2 on, each value with its type', () => {
    const parsed = JSON.parse(device('reserved-regions.yaml', version(11, 1))) as unknown;
    expect(parsed).toEqual({
      driver: 'virtio-iommu-pci',
      bus: 'pcie.0',
      addr: '01.0',
      id: 'viommu0',
      'boot-bypass': true,
      granule: '4k',
      'aw-bits': 64,
      'reserved-regions': regions,
    });
    const before = JSON.parse(device('reserved-regions.yaml', version(8, 2))) as object;
    expect(before).toHaveProperty('reserved-regions', regions);
    expect(before).not.toHaveProperty('granule');
  });
});

test('granule and aw-bits are said from QEMU 9.0 on, and not to older ones', () => {
  expect(device('one-endpoint.yaml', version(9, 0))).toMatch(/granule=4k,aw-bits=64/);
  expect(device('one-endpoint.yaml', version(8, 2))).not.toMatch(/granule|aw-bits/);
});
