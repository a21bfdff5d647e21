import { describe, expect, test } from 'vitest';

import { bootCmdline, bootOptions, deviceAt, formatPlan } from '../../../src/guest/index.ts';

describe('plan', () => {
  test('a line for each action, in order', () => {
    expect(
      formatPlan([
        { verb: 'modules' },
        { verb: 'disk', at: '0000:00:03.0', offset: 512, bytes: 1024 },
        { verb: 'edu', at: '0000:00:05.0', dir: 'write', iova: 0xdead_0000n, stub: false },
        { verb: 'type', at: '0000:00:05.0', to: 'DMA-FQ' },
      ]),
    ).toBe(
      'modules\n' +
        'disk at=0000:00:03.0 offset=512 bytes=1024\n' +
        'edu at=0000:00:05.0 dir=write iova=0xdead0000 stub=no\n' +
        'type at=0000:00:05.0 to=DMA-FQ\n',
    );
  });

  test('a value that the shell would take apart is refused', () => {
    for (const tag of ['', 'a b', '$(reboot)', 'a;b', "a'b", 'a\nmark', '*'])
      expect(() => formatPlan([{ verb: 'mark', tag }])).toThrow(RangeError);
  });

  test('disks are read and written in sectors', () => {
    expect(() => formatPlan([{ verb: 'disk', at: 'x', bytes: 100 }])).toThrow(/512/u);
    expect(() => formatPlan([{ verb: 'write', at: 'x', offset: 1 }])).toThrow(/512/u);
  });

  test('devices are named by where they are', () => {
    expect(deviceAt({ requesterId: 0x18 })).toBe('0000:00:03.0');
    expect(deviceAt({ segment: 1, requesterId: 0x1109 })).toBe('0001:11:01.1');
    expect(deviceAt({ segment: 0xffff, requesterId: 0xffff })).toBe('ffff:ff:1f.7');
    expect(deviceAt({ base: 0x0a00_3e00n })).toBe('mmio:0xa003e00');
  });
});

describe('command line', () => {
  test('the stock set adds only what a report needs', () => {
    expect(bootCmdline('arm64', 'stock')).toBe('console=ttyAMA0 rdinit=/init oops=panic panic=-1');
    expect(bootCmdline('amd64', 'stock', ['acpi_rsdp=0x1000'])).toMatch(
      /^console=ttyS0 .* acpi_rsdp=0x1000$/u,
    );
  });

  test('the fast set touches nothing that this project tests', () => {
    const fast = bootOptions('arm64', 'fast');
    expect(fast.length).toBeGreaterThan(bootOptions('arm64', 'stock').length);
    for (const { option, reason } of fast) {
      expect(reason).not.toBe('');
      expect(option).not.toMatch(/iommu|pci|dma|virtio/iu);
    }
  });
});
