import { describe, expect, test } from 'vitest';

import { classify, parseReport } from '../../../src/guest/index.ts';

/** Wordings measured on Debian 6.12 (arm64, amd64) under QEMU 7.2. */
const MESSAGES: readonly (readonly [string, Record<string, unknown>])[] = [
  [
    'virtio_iommu virtio0: page fault from EP 24 at 0xdead0000 [W]',
    { code: 'iommu-fault', endpoint: 24, address: 0xdead_0000n, flags: 'W', reason: 'page' },
  ],
  [
    'virtio_iommu virtio0: unknown fault from EP 24 []',
    { code: 'iommu-fault', endpoint: 24, reason: 'unknown', flags: '' },
  ],
  [
    'virtio-pci 0001:11:00.0: Adding to iommu group 3',
    { code: 'group-join', device: '0001:11:00.0', group: 3 },
  ],
  [
    'pci 0000:00:03.0: Removing from iommu group 0',
    { code: 'group-leave', device: '0000:00:03.0', group: 0 },
  ],
  [
    'Unable to handle kernel NULL pointer dereference at virtual address 0000000000000038',
    { code: 'oops' },
  ],
  ['BUG: kernel NULL pointer dereference, address: 0000000000000038', { code: 'oops' }],
  ['Internal error: Oops: 0000000096000004 [#1] SMP', { code: 'oops' }],
  ['Kernel panic - not syncing: Fatal exception', { code: 'panic' }],
  [
    'WARNING: CPU: 0 PID: 61 at drivers/iommu/iommu.c:1 iommu_dma_init+0x10/0x20',
    { code: 'warning', function: 'iommu_dma_init' },
  ],
  [
    'virtio-pci 0000:00:03.0: deferred probe timeout, ignoring dependency',
    { code: 'deferred-timeout', device: '0000:00:03.0' },
  ],
  [
    'pci 0000:00:03.0: deferred probe pending: virtio-pci: wait',
    { code: 'deferred-pending', device: '0000:00:03.0' },
  ],
  [
    'OF: /pcie@10000000: no iommu-map translation for id 0x10 on (null)',
    { code: 'iommu-map-missing', id: 16 },
  ],
  [
    'OF: /pcie@10000000: no msi-map translation for id 0x18 on (null)',
    { code: 'msi-map-missing', id: 24 },
  ],
  ['OF: /pcie@10000000: Error: Bad iommu-map length: 28', { code: 'iommu-map-invalid' }],
  [
    'virtio_blk virtio1: probe with driver virtio_blk failed with error -28',
    { code: 'probe-failed', device: 'virtio1', error: -28 },
  ],
  ['virtio_blk: probe of virtio1 failed with error -28', { code: 'probe-failed', error: -28 }],
  ['virtio_iommu virtio0: input address: 64 bits', { code: 'viommu-ready', device: 'virtio0' }],
  [
    'virtio_iommu virtio0: granule 0x10000 larger than system page size 0x1000',
    { code: 'viommu-message' },
  ],
  [
    'virtio-pci 0000:00:03.0: failed to parse viommu prop 0x1',
    { code: 'viommu-message', device: '0000:00:03.0' },
  ],
  ['ACPI: VIOT 0x000000001FFE2259 000058 (v00 BOCHS  BXPC)', { code: 'viot' }],
  ['pci 0000:00:03.0: specified DMA range outside IOMMU capability', { code: 'dma-range' }],
  ['INFO: task dd:80 blocked for more than 120 seconds.', { code: 'hang' }],
  ['I/O error, dev vda, sector 0 op 0x0:(READ)', { code: 'io-error', device: 'vda' }],
];

describe('kernel messages', () => {
  test.each(MESSAGES)('%s', (text, expected) => {
    expect(classify(text)).toMatchObject(expected);
  });

  test('what has no meaning here stays out', () => {
    for (const text of ['', 'Run /init as init process', 'NET: Registered PF_PACKET'])
      expect(classify(text)).toBeUndefined();
  });

  test.each([
    ['arm64', 'pc : viommu_probe_device+0x1c/0x1d8 [virtio_iommu]'],
    ['amd64', 'RIP: 0010:viommu_probe_device+0x20/0x190 [virtio_iommu]'],
  ])('an oops names its function (%s)', (_, place) => {
    const report = parseReport(
      [
        'Unable to handle kernel NULL pointer dereference at virtual address 0000000000000038',
        'Internal error: Oops: 0000000096000004 [#1] SMP',
        place,
        'pc : something_later+0x0/0x10',
      ]
        .map((text, index) => `[    1.00000${index}] ${text}\r\n`)
        .join(''),
    );
    expect(report.kernel.map((event) => event.function)).toEqual([
      'viommu_probe_device',
      'viommu_probe_device',
    ]);
  });

  test('a message that comes again with `klog` counts once, in its place', () => {
    const report = parseReport(
      '[    2.000000] VT1 1 klog text=[%20%20%20%201.500000]%20x:%20Adding%20to%20iommu%20group%201\n' +
        '[    1.500000] x: Adding to iommu group 1\n' +
        '[    1.000000] y: Adding to iommu group 0\n',
    );
    expect(report.kernel.map(({ device }) => device)).toEqual(['y', 'x']);
  });
});
