import { describe, expect, test } from 'vitest';
import { parseTopology } from '../../../src/topology/index.ts';

/** What is wrong with a topology of these endpoints, by rule. */
function wrong(endpoints: string, head = ''): string[] {
  const { diagnostics } = parseTopology(
    `extends: virt-arm64\n${head}viommus: [{ id: viommu0, at: 00:01.0 }]\nendpoints:\n${endpoints
      .split('\n')
      .map((line) => `  - { ${line} }\n`)
      .join('')}`,
    'test.yaml',
  );
  return diagnostics.map(({ rule, message }) => `${rule}: ${message}`);
}

const ENGINE = 'id: dma0, at: 00:03.0, device: dma-engine, guest-driver: vfio-pci';

describe('a device that is handed to the guest’s user space', () => {
  test('is a dma-engine behind a vIOMMU, its slot its own or shared with others like it', () => {
    expect(wrong(ENGINE)).toEqual([]);
    expect(wrong(`${ENGINE}\n${ENGINE.replace('dma0', 'dma1').replace('03.0', '03.1')}`)).toEqual(
      [],
    );
  });

  test.each([
    ['id: x, at: 00:03.0, device: virtio-net, guest-driver: vfio-pci', '', '"x" is a virtio-net'],
    ['id: x, at: 00:03.0, guest-driver: vfio-pci', '', '"x" is no device'],
    [`${ENGINE}, viommu: none`, '', '"dma0" bypasses'],
    [ENGINE, 'guest: { page-size: 64K }\n', '"dma0" needs a guest with pages of 4 KiB'],
    [
      `${ENGINE}\nid: disk0, at: 00:03.1, device: virtio-blk`,
      '',
      '"dma0" shares its group with "disk0"',
    ],
  ])('%s%s', (endpoints, head, says) => {
    expect(wrong(endpoints, head)).toContain(`guest-driver: ${says}`);
  });
});

test('a transfer needs something to go through', () => {
  const head = 'guest: { checks: [transfer] }\n';
  expect(wrong('id: disk0, at: 00:02.0, device: virtio-blk', head)).toEqual([
    'check-without-device: there is nothing to transfer: no device is a virtio-net',
  ]);
  expect(wrong('id: net0, at: 00:02.0, device: virtio-net', head)).toEqual([]);
});
