import { describe, expect, it } from 'vitest';
import {
  linuxMmioLookup,
  linuxPciLookup,
  linuxView,
  readViot,
  writeViotRaw,
  type RawViot,
  type RawViotNode,
} from '../../../src/acpi/index.ts';

const iommu: RawViotNode = { kind: 'pci-iommu', segment: 0, bdf: 0x0008 };
const range: Extract<RawViotNode, { kind: 'pci-range' }> = {
  kind: 'pci-range',
  endpointStart: 0,
  segmentStart: 0,
  segmentEnd: 0,
  bdfStart: 0x0100,
  bdfEnd: 0x01ff,
  outputNode: 48,
};
const later = { ...range, endpointStart: 0x200, bdfStart: 0x0200, bdfEnd: 0x02ff };
const unknown: RawViotNode = { kind: 'unknown', type: 9, body: new Uint8Array(12) };
const OVERFLOW = '[Firmware Bug]: Node pointer overflows';
const NO_IOMMU = 'No IOMMU node found';

/**
 * Table, what our reader says, how many ranges Linux keeps, what Linux logs. Overflow, empty and short
 * nodes, unknown types and wrong outputs were measured with 6.12; the rest is read in its viot.c.
 */
const MISTAKES: readonly (readonly [
  string,
  RawViot,
  readonly string[],
  number,
  readonly string[],
])[] = [
  ['nothing wrong', { nodes: [iommu, range, later] }, [], 2, []],
  [
    'node_offset below 48',
    { nodes: [iommu, range], nodeOffset: 40 },
    ['viot/node-offset', 'viot/node-overflow'],
    0,
    [OVERFLOW],
  ],
  [
    'node_offset past the end',
    { nodes: [iommu, range], nodeOffset: 4096 },
    ['viot/node-offset', 'viot/node-overflow'],
    0,
    [OVERFLOW],
  ],
  [
    'node_count too big: the nodes before are used',
    { nodes: [iommu, range], nodeCount: 3 },
    ['viot/node-overflow'],
    1,
    [OVERFLOW],
  ],
  [
    'node_count too small',
    { nodes: [iommu, range, later], nodeCount: 2 },
    ['viot/bytes-after-nodes'],
    1,
    [],
  ],
  [
    'node length 0: later nodes are lost',
    { nodes: [iommu, range, { ...iommu, length: 0 }, later] },
    ['viot/empty-node'],
    1,
    ['[Firmware Bug]: Empty node'],
  ],
  [
    'range length 20: later nodes are lost',
    { nodes: [iommu, { ...range, length: 20 }, later] },
    ['viot/node-size'],
    0,
    ['[Firmware Bug]: Invalid PCI node size'],
  ],
  [
    'MMIO endpoint length 20: later nodes are lost',
    {
      nodes: [iommu, { kind: 'mmio-endpoint', endpoint: 1, base: 0n, outputNode: 48, length: 20 }],
    },
    ['viot/node-size'],
    0,
    ['[Firmware Bug]: Invalid MMIO node size'],
  ],
  [
    'IOMMU node too short',
    { nodes: [{ kind: 'unknown', type: 3, body: new Uint8Array(8) }, range, later] },
    ['viot/iommu-node-size', 'viot/output-unusable', 'viot/output-unusable'],
    0,
    [NO_IOMMU, NO_IOMMU],
  ],
  [
    'unknown type is skipped',
    { nodes: [iommu, unknown, range] },
    ['viot/unknown-node'],
    1,
    ['Unsupported node 9'],
  ],
  [
    'output_node in the middle of a node',
    { nodes: [iommu, { ...range, outputNode: 52 }, later] },
    ['viot/output-not-a-node'],
    1,
    [NO_IOMMU],
  ],
  [
    'output_node is a range',
    { nodes: [iommu, range, { ...later, outputNode: 64 }] },
    ['viot/output-not-iommu'],
    1,
    [NO_IOMMU],
  ],
  [
    'output_node past the end',
    { nodes: [iommu, { ...range, outputNode: 0xfff0 }] },
    ['viot/output-outside'],
    0,
    [OVERFLOW, NO_IOMMU],
  ],
  [
    'output_node in the header',
    { nodes: [iommu, { ...range, outputNode: 0 }] },
    ['viot/output-outside'],
    0,
    [OVERFLOW, NO_IOMMU],
  ],
  ['a range before its IOMMU is fine', { nodes: [{ ...range, outputNode: 72 }, iommu] }, [], 1, []],
  [
    'endpoint IDs that wrap',
    { nodes: [iommu, { ...range, endpointStart: 0xffff_ffff }] },
    ['viot/endpoint-overflow'],
    1,
    [],
  ],
  [
    'a range that ends before it starts',
    { nodes: [iommu, { ...range, bdfStart: 0x0200 }] },
    ['viot/range-empty'],
    1,
    [],
  ],
  ['overlapping ranges', { nodes: [iommu, range, range] }, ['viot/range-overlap'], 2, []],
  ['an IOMMU twice', { nodes: [iommu, iommu, range] }, ['viot/duplicate'], 1, []],
  ['revision 1', { nodes: [iommu, range], header: { revision: 1 } }, ['viot/revision'], 1, []],
  ['wrong checksum', { nodes: [iommu, range], header: { checksum: 0 } }, ['viot/checksum'], 1, []],
  [
    'a longer node than the specification has',
    { nodes: [{ ...iommu, trailing: new Uint8Array(8) }, range] },
    ['viot/node-longer'],
    1,
    [],
  ],
];

describe('mistakes in a VIOT', () => {
  it.each(MISTAKES)('%s', (_, raw, codes, kept, messages) => {
    const viot = readViot(writeViotRaw(raw));
    expect(viot.problems.map(({ code }) => code)).toEqual(codes);
    const linux = linuxView(viot);
    expect(linux.pciRanges).toHaveLength(kept);
    expect(linux.messages).toEqual(messages);
  });

  it('says where', () => {
    const viot = readViot(writeViotRaw({ nodes: [iommu, { ...range, outputNode: 52 }] }));
    expect(viot.problems).toMatchObject([{ severity: 'error', offset: 64 + 16 }]);
  });

  it.each([
    [40, 'viot/reserved'],
    [48 + 1, 'viot/reserved'],
    [48 + 8, 'viot/reserved'],
    [64 + 18, 'viot/reserved'],
  ])('a reserved byte at %i that is not 0', (at, code) => {
    const table = writeViotRaw({ nodes: [iommu, range] });
    table[at] = 0xff;
    const found = readViot(table).problems.map((problem) => problem.code);
    expect(found).toEqual(['viot/checksum', code]);
  });

  it('a file that was cut: the node at its end is lost', () => {
    const cut = writeViotRaw({ nodes: [iommu, range] }).subarray(0, 80);
    const codes = readViot(cut).problems.map(({ code }) => code);
    expect(codes).toEqual(['viot/length', 'viot/node-past-end']);
    expect(linuxView(readViot(cut)).pciRanges).toEqual([]);
  });

  it.each([
    ['viot/truncated', new Uint8Array(0)],
    ['viot/truncated', writeViotRaw({ nodes: [] }).subarray(0, 47)],
    ['viot/signature', writeViotRaw({ nodes: [], header: { signature: 'IORT' } })],
    ['viot/length', writeViotRaw({ nodes: [], header: { length: 35 } })],
    ['viot/truncated', writeViotRaw({ nodes: [], header: { length: 40 } })],
  ])('no VIOT at all: %s', (code, bytes) => {
    expect(() => readViot(bytes)).toThrow(expect.objectContaining({ name: 'FormatError', code }));
  });
});

describe('linuxView', () => {
  it('lets the last node win where ranges overlap', () => {
    const nodes: RawViotNode[] = [iommu, range, { ...range, endpointStart: 0x9000 }];
    const linux = linuxView(readViot(writeViotRaw({ nodes })));
    expect(linux.pciRanges.map(({ offset }) => offset)).toEqual([88, 64]);
    expect(linuxPciLookup(linux, 0, 0x0102)).toMatchObject({ endpoint: 0x9002 });
  });

  it('lets the last MMIO endpoint win', () => {
    const device = { kind: 'mmio-endpoint', base: 0xa000n, outputNode: 48 } as const;
    const nodes: RawViotNode[] = [iommu, { ...device, endpoint: 1 }, { ...device, endpoint: 2 }];
    const linux = linuxView(readViot(writeViotRaw({ nodes })));
    expect(linuxMmioLookup(linux, 0xa000n)).toMatchObject({ endpoint: 2 });
    expect(linuxMmioLookup(linux, 0xa001n)).toBeUndefined();
  });

  it('computes endpoint IDs over segments, and leaves the IOMMU out of its own range', () => {
    const wide = { ...range, segmentEnd: 2, bdfStart: 0, bdfEnd: 0xffff, endpointStart: 0x10 };
    const linux = linuxView(readViot(writeViotRaw({ nodes: [iommu, wide] })));
    expect(linuxPciLookup(linux, 2, 0x0103)?.endpoint).toBe(0x20113);
    expect(linuxPciLookup(linux, 0, 0x0008)).toBeUndefined();
    expect(linuxPciLookup(linux, 1, 0x0008)?.endpoint).toBe(0x10018);
    expect(linuxPciLookup(linux, 3, 0x0103)).toBeUndefined();
  });

  it('takes bytes in mid-node that look like an IOMMU, as Linux does', () => {
    // At 8 bytes into the unknown node lies 03 00 10 00 …: a virtio-iommu to whoever looks.
    const body = Uint8Array.of(0, 0, 0, 0, 3, 0, 16, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    const nodes: RawViotNode[] = [
      { kind: 'unknown', type: 9, body },
      { ...range, outputNode: 56 },
    ];
    const viot = readViot(writeViotRaw({ nodes }));
    expect(viot.problems.map(({ code }) => code)).toContain('viot/output-not-a-node');
    expect(linuxPciLookup(linuxView(viot), 0, 0x0101)?.iommu).toMatchObject({ offset: 56, bdf: 8 });
  });
});
