import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  IortBuilder,
  readIort,
  writeIortRaw,
  type IortNode,
  type RawIortNode,
} from '../../../src/acpi/index.ts';
import { sampleIort, sampleNamedComponent } from '../../support/acpi-samples.ts';

const golden = (name: string): Uint8Array =>
  Uint8Array.from(readFileSync(new URL(`../../golden/acpi/iort/${name}`, import.meta.url)));
const codes = (bytes: Uint8Array): string[] => readIort(bytes).problems.map(({ code }) => code);

/** Annotated by hand from DEN 0049E.f: a root complex behind an ITS group. */
const GOLDEN = `
  494f5254           # 00 signature "IORT"
  80000000           # 04 length 128
  03                 # 08 revision 3
  6e                 # 09 checksum
  56494f4d4d55       # 0a OEM id "VIOMMU"
  56494f4d4d555450   # 10 OEM table id "VIOMMUTP"
  01000000           # 18 OEM revision 1
  56544f50           # 1c creator id "VTOP"
  01000000           # 20 creator revision 1
  02000000           # 24 node count 2
  30000000           # 28 node offset 48
  00000000           # 2c reserved
  00 1800 01         # 30 ITS group, length 24, revision 1
  00000000           # 34 identifier 0
  00000000 00000000  # 38 no mappings, at 0
  01000000 05000000  # 40 one ITS: translation ID 5
  02 3800 03         # 48 root complex, length 56, revision 3
  01000000           # 4c identifier 1
  01000000 24000000  # 50 one mapping, 36 bytes from the start of this node
  01000000           # 58 cache coherent
  00 0000 03         # 5c hints, reserved, memory flags: coherent, attributes right
  00000000           # 60 ATS attribute
  01000000           # 64 segment 1
  40 0000 00         # 68 64 address bits, PASID capabilities, reserved
  00000000           # 6c input base 0
  ffff0000           # 70 id count: 65,536 less one
  00000100           # 74 output base 0x10000
  30000000           # 78 output reference: the ITS group
  00000000           # 7c flags
`;

describe('IortBuilder', () => {
  it('writes a root complex behind an ITS as the specification has it', () => {
    const iort = new IortBuilder();
    const its = iort.addItsGroup([5]);
    iort.addRootComplex({
      segment: 1,
      mappings: [{ inputBase: 0, count: 0x10000, outputBase: 0x10000, output: its }],
    });
    const expected = GOLDEN.replaceAll(/#.*$|\s/gm, '');
    expect(Buffer.from(iort.build()).toString('hex')).toBe(expected);
  });

  it.each([
    ['all kinds of nodes', sampleIort],
    ['a named component', sampleNamedComponent],
  ])('writes %s that read without a problem and are written again', (_, make) => {
    const { nodes, header, problems } = readIort(make());
    expect(problems).toEqual([]);
    expect(writeIortRaw({ nodes, ids: header })).toEqual(make());
  });

  const iort = new IortBuilder();
  const its = iort.addItsGroup([0]);
  const smmu = iort.addSmmuV3({ base: 0n, mappings: [] });
  const mapping = { inputBase: 0, count: 1, outputBase: 0, output: its };
  it.each([
    ['no IDs', () => iort.addRootComplex({ segment: 0, mappings: [{ ...mapping, count: 0 }] })],
    [
      'IDs past 32 bits',
      () => iort.addRootComplex({ segment: 0, mappings: [{ ...mapping, outputBase: 2 ** 32 }] }),
    ],
    ['an ID twice', () => iort.addRootComplex({ segment: 0, mappings: [mapping, mapping] })],
    [
      'a node of another table',
      () => new IortBuilder().addRootComplex({ segment: 0, mappings: [mapping] }),
    ],
    [
      'an SMMU behind an SMMU',
      () => iort.addSmmuV3({ base: 0n, mappings: [{ ...mapping, output: smmu }] }),
    ],
    ['no address bits', () => iort.addRootComplex({ segment: 0, addressLimit: 0, mappings: [] })],
    ['an empty ITS group', () => iort.addItsGroup([])],
    ['a relative path', () => iort.addNamedComponent({ path: 'DEV0', mappings: [] })],
    [
      'memory that is no multiple of 64 KiB',
      () => iort.addReservedMemory({ ranges: [{ base: 0n, length: 0x1000n }], mappings: [] }),
    ],
  ])('refuses %s', (_, misuse) => {
    const before = iort.build();
    expect(misuse).toThrow(RangeError);
    expect(iort.build()).toEqual(before);
  });
});

describe('IORTs that QEMU made', () => {
  it('virt with virtio-iommu: the root complex goes to the ITS, nobody names the IOMMU', () => {
    const bytes = golden('virt-viommu.IORT.aml');
    const { nodes, header, problems } = readIort(bytes);
    expect(problems).toEqual([]);
    expect(nodes.map(({ kind }) => kind)).toEqual(['its-group', 'root-complex']);
    expect(nodes[1]?.mappings).toEqual([
      { inputBase: 0, idCount: 0xffff, outputBase: 0, outputReference: 0x30, flags: 0 },
    ]);
    expect(writeIortRaw({ nodes, ids: header })).toEqual(bytes);
  });

  it('virt with smmuv3: its ID count is one too many', () => {
    const bytes = golden('virt-smmuv3.IORT.aml');
    const { nodes, header, problems } = readIort(bytes);
    expect(problems).toMatchObject([{ code: 'iort/id-count', offset: 0xa0 }]);
    expect(writeIortRaw({ nodes, ids: header })).toEqual(bytes);
  });
});

describe('mistakes in an IORT', () => {
  const nodes = readIort(sampleIort()).nodes;
  // Without these the writer computes them anew.
  const computed: object = { length: undefined, mappingOffset: undefined };
  const change = (kind: IortNode['kind'], by: object): RawIortNode[] =>
    nodes.map((node) => (node.kind === kind ? Object.assign({}, node, computed, by) : node));
  const mapping = { inputBase: 0, idCount: 9, outputBase: 0, outputReference: 0x48, flags: 0 };
  const two = (inputBase: number): RawIortNode[] =>
    change('root-complex', { mappings: [mapping, { ...mapping, inputBase }] }).slice(0, 3);
  const mapped = (by: object): RawIortNode[] =>
    change('root-complex', { mappings: [{ ...mapping, ...by }] }).slice(0, 3);

  it.each([
    ['iort/node-overflow', { nodes, nodeCount: 9 }],
    ['iort/bytes-after-nodes', { nodes, nodeCount: 3 }],
    ['iort/address-limit', { nodes: change('root-complex', { addressLimit: 0 }) }],
    ['iort/mapping-target', { nodes: mapped({ outputReference: 0 }) }],
    ['iort/mapping-target-kind', { nodes: mapped({ outputReference: 0xa0 }) }],
    ['iort/mapping-wraps', { nodes: mapped({ inputBase: 0xffff_fff8 }) }],
    [
      'iort/unknown-node',
      { nodes: change('rmr', { kind: 'unknown', type: 77, body: Buffer.of() }) },
    ],
  ])('%s', (code, raw) => expect(codes(writeIortRaw(raw))).toEqual([code]));

  it('mappings that overlap, by one ID or by more', () => {
    expect(codes(writeIortRaw({ nodes: two(10) }))).toEqual([]);
    expect(codes(writeIortRaw({ nodes: two(9) }))).toEqual(['iort/id-count']);
    expect(codes(writeIortRaw({ nodes: two(8) }))).toEqual(['iort/mapping-overlap']);
  });

  it('an empty node loses the rest', () => {
    const iort = readIort(writeIortRaw({ nodes: change('smmu-v3', { length: 8 }) }));
    expect(iort.nodes).toHaveLength(1);
    expect(iort.problems.map(({ code }) => code)).toEqual(['iort/empty-node']);
  });

  it('mappings outside their node', () => {
    const found = codes(writeIortRaw({ nodes: change('root-complex', { mappingCount: 1e6 }) }));
    expect(found).toContain('iort/mapping-outside');
  });
});
