import { describe, expect, it } from 'vitest';
import { FormatError } from '../../../src/bytes/index.ts';
import {
  cells,
  empty,
  FdtNode,
  readFdt,
  writeFdt,
  type FdtWarning,
} from '../../../src/fdt/index.ts';
import {
  FDT_BEGIN_NODE as BEGIN,
  FDT_END as END,
  FDT_END_NODE as CLOSE,
  FDT_NOP as NOP,
  FDT_PROP as PROP,
} from '../../../src/spec/fdt.ts';
import { BlobEditor, sampleBlob, sampleTree } from '../../support/fdt-blob.ts';

/** Names as tokens: `n` and `m`. */
const [N, M] = [0x6e00_0000, 0x6d00_0000];

function failure(blob: Uint8Array): { code: string; offset: number } {
  try {
    readFdt(blob);
  } catch (error) {
    if (error instanceof FormatError) return { code: error.code, offset: error.offset };
    throw error;
  }
  throw new Error('accepted');
}

const codes = (warnings: readonly FdtWarning[]): string[] => warnings.map(({ code }) => code);

/** The blob of sampleTree has structure at 0x48 and strings after it. */
const damage: readonly (readonly [
  string,
  string,
  number | undefined,
  (blob: BlobEditor) => Uint8Array,
])[] = [
  ['another magic', 'fdt/magic', 0, (b) => b.set(0, 0xd00dfeee).bytes],
  ['nothing', 'fdt/truncated', 0, () => new Uint8Array(0)],
  ['half a header', 'fdt/truncated', 0, (b) => b.bytes.slice(0, 39)],
  ['struct at +2', 'fdt/alignment', 8, (b) => b.setHeader('off_dt_struct', b.structure + 2).bytes],
  ['reservations at 44', 'fdt/alignment', 16, (b) => b.setHeader('off_mem_rsvmap', 44).bytes],
  ['last_comp 18', 'fdt/version', 24, (b) => b.setHeader('last_comp_version', 18).bytes],
  ['version below last_comp', 'fdt/version', 24, (b) => b.setHeader('version', 15).bytes],
  ['version 16', 'fdt/version', 20, (b) => b.setHeader('version', 16).bytes],
  ['totalsize too small', 'fdt/truncated', 4, (b) => b.setHeader('totalsize', 39).bytes],
  ['totalsize 2^31', 'fdt/truncated', 4, (b) => b.setHeader('totalsize', 2 ** 31).bytes],
  ['a cut file', 'fdt/truncated', 4, (b) => b.bytes.slice(0, -1)],
  [
    'totalsize that cuts the strings',
    'fdt/truncated',
    32,
    (b) => b.setHeader('totalsize', b.bytes.length - 1).bytes,
  ],
  [
    'reservations without end',
    'fdt/truncated',
    undefined,
    (b) => {
      const size = b.bytes.length;
      for (let at = 0x28; at + 8 <= size; at += 8) b.set(at, 0, 1);
      return b.bytes;
    },
  ],
  [
    'structure block 4 bytes short: FDT_END outside',
    'fdt/truncated',
    undefined,
    (b) => b.setHeader('size_dt_struct', b.header('size_dt_struct') - 4).bytes,
  ],
  [
    'structure block 4 bytes long: into the strings',
    'fdt/overlap',
    12,
    (b) => b.setHeader('size_dt_struct', b.header('size_dt_struct') + 4).bytes,
  ],
  [
    'structure block beyond totalsize',
    'fdt/truncated',
    36,
    (b) => b.setHeader('size_dt_struct', b.header('size_dt_struct') + 999).bytes,
  ],
  [
    'strings block 5 bytes short: a name without NUL',
    'fdt/truncated',
    undefined,
    (b) => b.setHeader('size_dt_strings', b.header('size_dt_strings') - 5).bytes,
  ],
  ['structure over the header', 'fdt/overlap', 8, (b) => b.setHeader('off_dt_struct', 0).bytes],
  [
    'reservations over the header',
    'fdt/overlap',
    16,
    (b) => b.setHeader('off_mem_rsvmap', 24).set(32, 0, 0).bytes,
  ],
  [
    'strings over the reservations',
    'fdt/overlap',
    12,
    (b) => b.setHeader('off_dt_strings', 0x30).setHeader('size_dt_strings', 4).bytes,
  ],
  ['nameoff outside', 'fdt/bad-nameoff', 0x50, (b) => b.set(0x58, 0xffff).bytes],
  ['no FDT_END', 'fdt/truncated', 0x54, (b) => b.withStructure([BEGIN, 0, CLOSE])],
  ['root named n', 'fdt/root-name', 0x48, (b) => b.withStructure([BEGIN, N, CLOSE, END])],
  ['no root', 'fdt/unbalanced', 0x48, (b) => b.withStructure([END])],
  ['a node left open', 'fdt/unbalanced', 0x50, (b) => b.withStructure([BEGIN, 0, END])],
  [
    'a node closed twice',
    'fdt/unbalanced',
    0x54,
    (b) => b.withStructure([BEGIN, 0, CLOSE, CLOSE, END]),
  ],
  [
    'two roots',
    'fdt/unbalanced',
    0x54,
    (b) => b.withStructure([BEGIN, 0, CLOSE, BEGIN, 0, CLOSE, END]),
  ],
  [
    'a property before the root',
    'fdt/unbalanced',
    0x48,
    (b) => b.withStructure([PROP, 0, 0, BEGIN, 0, CLOSE, END]),
  ],
  [
    'a property after the root',
    'fdt/unbalanced',
    0x54,
    (b) => b.withStructure([BEGIN, 0, CLOSE, PROP, 0, 0, END]),
  ],
  ['token 5', 'fdt/bad-token', 0x50, (b) => b.withStructure([BEGIN, 0, 5, CLOSE, END])],
  [
    'a value longer than the block',
    'fdt/truncated',
    0x5c,
    (b) => b.withStructure([BEGIN, 0, PROP, 0xffff_fff0, 0, CLOSE, END]),
  ],
  ['half a property', 'fdt/truncated', 0x54, (b) => b.withStructure([BEGIN, 0, PROP])],
  [
    'a node name without NUL',
    'fdt/truncated',
    0x50,
    (b) => b.withStructure([BEGIN, 0, BEGIN, 0x6e6e6e6e]),
  ],
  [
    'a node name of 256 bytes',
    'fdt/name-too-long',
    0x50,
    (b) =>
      b.withStructure([
        BEGIN,
        0,
        BEGIN,
        ...Array.from({ length: 64 }, () => 0x6e6e6e6e),
        0,
        CLOSE,
        CLOSE,
        END,
      ]),
  ],
  [
    '65 levels',
    'fdt/depth',
    0x48 + 64 * 8,
    (b) =>
      b.withStructure([
        BEGIN,
        0,
        ...Array.from({ length: 64 }, () => [BEGIN, N]).flat(),
        ...Array.from({ length: 65 }, () => CLOSE),
        END,
      ]),
  ],
];

describe('readFdt refuses', () => {
  it.each(damage)('%s: %s', (_, code, offset, edit) => {
    const found = failure(edit(sampleBlob()));
    expect(found.code).toBe(code);
    // Left out where it follows from the sample's size alone.
    if (offset !== undefined) expect(found.offset).toBe(offset);
  });

  it('every shorter prefix', () => {
    const { bytes } = sampleBlob();
    for (let length = 0; length < bytes.length; length++) {
      expect(failure(bytes.slice(0, length)).code).toBe('fdt/truncated');
    }
  });

  it('more bytes or items than allowed', () => {
    const { bytes } = sampleBlob();
    expect(() => readFdt(bytes, { bytes: bytes.length - 1 })).toThrow(/fdt|totalsize/);
    expect(() => readFdt(bytes, { items: 7 })).toThrow(/too many/);
    expect(readFdt(bytes, { items: 8 }).tree).toEqual(sampleTree());
  });
});

describe('readFdt accepts', () => {
  it('last_comp 17, and version 18 that says it is compatible with 16', () => {
    expect(readFdt(sampleBlob().setHeader('last_comp_version', 17).bytes).tree).toEqual(
      sampleTree(),
    );
    expect(readFdt(sampleBlob().setHeader('version', 18).bytes).tree).toEqual(sampleTree());
  });

  it('padding within totalsize and bytes behind it, as in a dump', () => {
    const { bytes } = sampleBlob();
    const padded = new Uint8Array(bytes.length + 4096);
    padded.set(bytes);
    expect(codes(readFdt(padded).warnings)).toEqual(['fdt/trailing-bytes']);
    const inside = new BlobEditor(padded).setHeader('totalsize', padded.length).bytes;
    expect(readFdt(inside)).toMatchObject({ tree: sampleTree(), warnings: [] });
  });

  it('an unaligned strings block and blocks in another order', () => {
    const blob = sampleBlob();
    const moved = new Uint8Array(blob.bytes.length + 101);
    moved.set(blob.bytes);
    const strings = blob.header('off_dt_strings');
    moved.set(blob.bytes.subarray(strings), blob.bytes.length + 1);
    const editor = new BlobEditor(moved).setHeader('totalsize', moved.length);
    editor.setHeader('off_dt_strings', blob.bytes.length + 1);
    expect(readFdt(editor.bytes).tree).toEqual(sampleTree());
  });

  it('is not changed by what happens to its input later', () => {
    const { bytes } = sampleBlob();
    const { tree } = readFdt(bytes);
    bytes.fill(0xff);
    expect(tree).toEqual(sampleTree());
  });
});

const property = (nameoff: number, ...value: readonly number[]): number[] => [
  PROP,
  value.length * 4,
  nameoff,
  ...value,
];

const node = (...inside: readonly number[]): number[] => [BEGIN, 0, ...inside, CLOSE, END];

const child = (name: number, ...inside: readonly number[]): number[] => [
  BEGIN,
  name,
  ...inside,
  CLOSE,
];

describe('readFdt warns of', () => {
  const names = new BlobEditor(
    writeFdt(new FdtNode('', { phandle: cells(1), 'a b': empty(), 'linux,phandle': cells(1) }), {
      names: 'lax',
      strings: 'whole',
    }),
  );
  /** nameoff of `phandle`, `a b` and `linux,phandle`. */
  const [PHANDLE, BAD, LINUX] = [0, 8, 12];
  const start = names.structure;

  const found: readonly (readonly [string, string, number, string, readonly number[]])[] = [
    [
      'a property after a node',
      'fdt/property-after-node',
      start + 20,
      '/:phandle',
      node(...child(N), ...property(PHANDLE, 7)),
    ],
    [
      'two properties of a name',
      'fdt/duplicate-property',
      start + 24,
      '/:phandle',
      node(...property(PHANDLE, 7), ...property(PHANDLE, 8)),
    ],
    ['two nodes of a name', 'fdt/duplicate-node', start + 20, '/n', node(...child(N), ...child(N))],
    [
      'two nodes with a phandle',
      'fdt/duplicate-phandle',
      start + 56,
      '/m:phandle',
      node(...child(N, ...property(PHANDLE, 7)), ...child(M, ...property(PHANDLE, 7))),
    ],
    ['phandle 0', 'fdt/phandle', start + 20, '/:phandle', node(...property(PHANDLE, 0))],
    ['phandle -1', 'fdt/phandle', start + 20, '/:phandle', node(...property(PHANDLE, 0xffff_ffff))],
    [
      'a phandle of 8 bytes',
      'fdt/phandle',
      start + 20,
      '/:phandle',
      node(...property(PHANDLE, 0, 1)),
    ],
    [
      'phandles that differ',
      'fdt/phandle',
      start + 36,
      '/:linux,phandle',
      node(...property(PHANDLE, 7), ...property(LINUX, 8)),
    ],
    ['a bad property name', 'fdt/property-name', start + 8, '/:a b', node(...property(BAD))],
    ['a bad node name', 'fdt/node-name', start + 8, '/\u0001', node(...child(0x0100_0000))],
    ['a node without a name', 'fdt/node-name', start + 8, '/', node(...child(0))],
    ['FDT_NOP before the root', 'fdt/nop-before-root', start, '/', [NOP, ...node()]],
    ['words after FDT_END', 'fdt/struct-slack', start + 16, '/', [...node(), 0]],
  ];
  it.each(found)('%s', (_, code, offset, path, tokens) => {
    const { warnings } = readFdt(names.withStructure(tokens));
    expect(warnings).toMatchObject([{ code, offset, path }]);
  });

  it('nothing when linux,phandle says the same, or FDT_NOP is inside', () => {
    const tokens = node(NOP, ...property(PHANDLE, 7), NOP, ...property(LINUX, 7), ...child(N), NOP);
    expect(readFdt(names.withStructure(tokens)).warnings).toEqual([]);
  });

  it('keeps the property after a node, and the first of two of a name', () => {
    const { tree } = readFdt(
      names.withStructure(node(...child(N), ...property(PHANDLE, 7), ...property(PHANDLE, 8))),
    );
    expect(tree).toEqual(new FdtNode('', { phandle: cells(7) }, [new FdtNode('n')]));
  });

  it('reservations that overlap, wrap around or are empty', () => {
    const blob = writeFdt(new FdtNode(''), {
      memReserve: [
        { address: 1n, size: 9n },
        { address: 16n, size: 1n },
      ],
    });
    const edit = (at: number, low: number): FdtWarning[] => [
      ...readFdt(new BlobEditor(blob).set(at, low).bytes).warnings,
    ];
    expect(edit(0x2c, 1)).toEqual([]);
    expect(codes(edit(0x2c, 8))).toEqual(['fdt/memreserve']);
    expect(codes(edit(0x30, 0xffff_ffff))).toEqual(['fdt/memreserve']);
    expect(edit(0x4c, 5)).toMatchObject([{ code: 'fdt/memreserve', offset: 0x48 }]);
  });

  it('no more than asked for, and counts the rest', () => {
    const many = node(...Array.from({ length: 50 }, () => child(N)).flat());
    const read = readFdt(names.withStructure(many), { warnings: 10 });
    expect(read.warnings.length).toBe(10);
    expect(read.warningsOmitted).toBe(39);
  });
});
