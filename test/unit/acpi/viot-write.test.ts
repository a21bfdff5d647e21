import { describe, expect, it } from 'vitest';
import { readViot, ViotBuilder, writeViotRaw } from '../../../src/acpi/index.ts';
import { sampleViot } from '../../support/acpi-samples.ts';

const bytes = (text: string): Uint8Array =>
  Uint8Array.from(Buffer.from(text.replaceAll(/#.*$|\s/gm, ''), 'hex'));

/** Annotated by hand from ACPI 6.5: offset, field, value. */
const GOLDEN = `
  56494f54           # 00 signature "VIOT"
  80000000           # 04 length 128
  00                 # 08 revision 0
  78                 # 09 checksum
  56494f4d4d55       # 0a OEM id "VIOMMU"
  56494f4d4d555450   # 10 OEM table id "VIOMMUTP"
  01000000           # 18 OEM revision 1
  56544f50           # 1c creator id "VTOP"
  01000000           # 20 creator revision 1
  0400               # 24 node count 4
  3000               # 26 node offset 48
  0000000000000000   # 28 reserved
  03 00 1000         # 30 virtio-iommu PCI, reserved, length 16
  0000 0800          # 34 segment 0, bdf 00:01.0
  0000000000000000   # 38 reserved
  04 00 1000         # 40 virtio-iommu MMIO, length 16
  00000000           # 44 reserved
  0000000a00000000   # 48 base 0xa000000
  01 00 1800         # 50 PCI range, length 24
  00000000           # 54 endpoint start 0
  0000 0100          # 58 segments 0 to 1
  0000 ffff          # 5c bdf 00:00.0 to ff:1f.7
  3000               # 60 output node: the one at 0x30
  000000000000       # 62 reserved
  02 00 1800         # 68 MMIO endpoint, length 24
  00000200           # 6c endpoint 0x20000
  0002000a00000000   # 70 base 0xa000200
  4000               # 78 output node: the one at 0x40
  000000000000       # 7a reserved
`;

describe('ViotBuilder', () => {
  it('writes all four node types as the specification has them', () => {
    expect(Buffer.from(sampleViot()).toString('hex')).toBe(
      Buffer.from(bytes(GOLDEN)).toString('hex'),
    );
  });

  it('writes a table without nodes', () => {
    const viot = readViot(new ViotBuilder().build());
    expect(viot.problems).toEqual([]);
    expect(viot.nodes).toEqual([]);
  });

  const range = {
    endpointStart: 0,
    segmentStart: 0,
    segmentEnd: 0,
    bdfStart: 0,
    bdfEnd: 0xffff,
  };
  const misuses: readonly (readonly [string, object])[] = [
    ['a reversed bdf', { bdfStart: 9, bdfEnd: 8 }],
    ['a reversed segment', { segmentStart: 1 }],
    ['a bdf of 17 bits', { bdfEnd: 0x10000 }],
    ['a segment of 17 bits', { segmentEnd: 0x10000 }],
    ['a negative number', { endpointStart: -1 }],
    ['half an endpoint', { endpointStart: 0.5 }],
    ['endpoint IDs past 32 bits', { endpointStart: 0xffff_0001 }],
    [
      'endpoint IDs past 32 bits in the last segment',
      { segmentEnd: 1, endpointStart: 0xffff_0000 },
    ],
  ];
  it.each(misuses)('refuses %s', (_, change) => {
    const viot = new ViotBuilder();
    const output = viot.addPciIommu({ segment: 0, bdf: 8 });
    expect(() => viot.addPciRange({ ...range, ...change, output })).toThrow(RangeError);
    viot.addPciRange({ ...range, output });
    expect(readViot(viot.build()).nodes).toHaveLength(2);
  });

  it('takes the last 65,536 endpoint IDs there are', () => {
    const viot = new ViotBuilder();
    const output = viot.addPciIommu({ segment: 0, bdf: 8 });
    viot.addPciRange({ ...range, endpointStart: 0xffff_0000, output });
    expect(readViot(viot.build()).problems).toEqual([]);
  });

  it('refuses an IOMMU of another table', () => {
    const output = new ViotBuilder().addMmioIommu({ base: 0n });
    expect(() => new ViotBuilder().addPciRange({ ...range, output })).toThrow(/another table/);
  });

  it('refuses the IOMMU whose offset does not fit output_node', () => {
    const viot = new ViotBuilder();
    const fitting = Math.floor((0xffff - 48) / 16) + 1;
    let last = viot.addMmioIommu({ base: 0n });
    for (let index = 1; index < fitting; index++) {
      last = viot.addMmioIommu({ base: BigInt(index) << 12n });
    }
    expect(last.nodeOffset).toBe(0xfff0);
    expect(() => viot.addMmioIommu({ base: 1n })).toThrow(/output_node has 16 bits/);
  });

  it('refuses the 65,536th node', () => {
    const viot = new ViotBuilder();
    const output = viot.addMmioIommu({ base: 0n });
    for (let index = 1; index < 0xffff; index++) {
      viot.addMmioEndpoint({ endpoint: index, base: BigInt(index), output });
    }
    expect(() => viot.addMmioEndpoint({ endpoint: 0, base: 0n, output })).toThrow(/65535 nodes/);
    expect(readViot(viot.build()).problems).toEqual([]);
  });
});

describe('writeViotRaw', () => {
  it('stores what it is told, and only a right checksum by itself', () => {
    const table = writeViotRaw({
      nodes: [{ kind: 'pci-iommu', segment: 0, bdf: 8, length: 3 }],
      nodeCount: 77,
      nodeOffset: 12,
      header: { revision: 9, length: 50 },
    });
    const data = new DataView(table.buffer);
    expect([data.getUint16(36, true), data.getUint16(38, true)]).toEqual([77, 12]);
    expect([table[8], data.getUint32(4, true), data.getUint16(50, true)]).toEqual([9, 50, 3]);
    expect(table.reduce((sum, byte) => (sum + byte) & 0xff, 0)).toBe(0);
    expect(table).toHaveLength(64);
  });

  it('refuses what does not fit its field', () => {
    const node = { kind: 'mmio-iommu', base: 1n << 64n } as const;
    expect(() => writeViotRaw({ nodes: [node] })).toThrow(RangeError);
    expect(() => writeViotRaw({ nodes: [], nodeCount: 0x10000 })).toThrow(RangeError);
  });
});
