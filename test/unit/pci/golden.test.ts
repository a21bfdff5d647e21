import { expect, test } from 'vitest';
import { MemoryStore, VirtioBlock, VirtioPciFunction } from '../../../src/endpoints/index.ts';
import { PCI_CLASS_STORAGE_SCSI } from '../../../src/spec/pci-config.ts';
import { host, memory } from './fixture.ts';

/** Offset, bytes, what they are. By hand, from the specifications; what is not listed is zero. */
const DISK: readonly (readonly [number, string, string])[] = [
  [0x00, 'f41a 4210', 'vendor 1af4, device 1042: virtio block, modern'],
  [0x04, '0000 1000', 'command 0; status: capability list'],
  [0x08, '01 00 00 01', 'revision 1; class 01/00/00: SCSI storage'],
  [0x0e, '00', 'header type 0, one function'],
  [0x14, '00000000', 'BAR 1, 32-bit: MSI-X'],
  [0x20, '0c000000', 'BAR 4: 64-bit, prefetchable'],
  [0x2c, 'f41a 0011', 'subsystem 1af4:1100'],
  [0x34, '40', 'first capability'],
  [0x3d, '01', 'INTA#'],

  [0x40, '11 4c 0100', 'MSI-X, next at 4c; two vectors'],
  [0x44, '01000000', 'table at 0 of BAR 1'],
  [0x48, '01080000', 'pending bits at 0x800 of BAR 1'],

  [0x4c, '09 5c 10 01', 'vendor-specific, 16 bytes: COMMON_CFG'],
  [0x50, '04 00 0000', 'BAR 4'],
  [0x54, '00000000', 'at 0'],
  [0x58, '3c000000', '60 bytes'],

  [0x5c, '09 70 14 02', 'NOTIFY_CFG, 20 bytes'],
  [0x60, '04 00 0000', 'BAR 4'],
  [0x64, '00300000', 'at 0x3000'],
  [0x68, '04000000', '4 bytes: one queue'],
  [0x6c, '04000000', 'notify_off_multiplier 4'],

  [0x70, '09 80 10 03', 'ISR_CFG'],
  [0x74, '04 00 0000', 'BAR 4'],
  [0x78, '00100000', 'at 0x1000'],
  [0x7c, '01000000', '1 byte'],

  [0x80, '09 90 10 04', 'DEVICE_CFG'],
  [0x84, '04 00 0000', 'BAR 4'],
  [0x88, '00200000', 'at 0x2000'],
  [0x8c, '3c000000', '60 bytes'],

  [0x90, '09 a4 14 05', 'PCI_CFG, 20 bytes, nothing selected'],

  [0xa4, '10 00 9200', 'PCI Express, last; version 2, integrated endpoint'],
  [0xa8, '00800010', 'device capabilities: error reporting, function level reset'],
  [0xac, '1028', 'device control: relaxed ordering, no snoop, 512-byte reads'],
  [0xb0, '11000000', 'link capabilities: 2.5 GT/s, x1'],
  [0xb6, '1100', 'link status: the same'],
  [0xd4, '0100', 'link control 2: target 2.5 GT/s'],
];

test('the configuration space of a virtio disk on the root bus, byte for byte', () => {
  const { dma } = memory();
  const store = new MemoryStore(new Uint8Array(512));
  const disk = new VirtioPciFunction(new VirtioBlock({ store }), {
    name: 'disk',
    classCode: PCI_CLASS_STORAGE_SCSI,
    dma,
  });
  const bus = host();
  bus.root.plug(0x10, disk.fn);
  const expected = new Uint8Array(4096);
  for (const [at, bytes] of DISK) expected.set(Buffer.from(bytes.replaceAll(' ', ''), 'hex'), at);
  const base = 0x10 << 12;
  const seen = Uint8Array.from({ length: 4096 }, (_, i) => bus.ecamRead(base + i, 1));
  const rows = (of: Uint8Array): string[] =>
    Array.from({ length: 256 }, (_, i) =>
      Buffer.from(of.subarray(16 * i, 16 * i + 16)).toString('hex'),
    );
  expect(rows(seen)).toEqual(rows(expected));
  // The same through other widths.
  const words = Uint8Array.from({ length: 4096 }, (_, i) => {
    return bus.ecamRead(base + (i & ~3), 4) >>> (8 * (i & 3));
  });
  expect(rows(words)).toEqual(rows(expected));
});
