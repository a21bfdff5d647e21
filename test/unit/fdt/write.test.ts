import { describe, expect, it } from 'vitest';
import {
  cells,
  concat,
  empty,
  FdtNode,
  FdtTreeError,
  readFdt,
  ref,
  refPath,
  str,
  u64cells,
  writeFdt,
} from '../../../src/fdt/index.ts';

/** offset, bytes, field: Devicetree Specification 0.4, chapter 5, by hand. */
const MINIMAL: readonly (readonly [number, string, string])[] = [
  [0x00, 'd00dfeed', 'magic'],
  [0x04, '000000b0', 'totalsize'],
  [0x08, '00000048', 'off_dt_struct: 40 bytes of header, two reservations of 16'],
  [0x0c, '00000098', 'off_dt_strings'],
  [0x10, '00000028', 'off_mem_rsvmap'],
  [0x14, '00000011', 'version 17'],
  [0x18, '00000010', 'last_comp_version 16'],
  [0x1c, '00000003', 'boot_cpuid_phys'],
  [0x20, '00000018', 'size_dt_strings'],
  [0x24, '00000050', 'size_dt_struct'],
  [0x28, '0000000048000000', 'reservation 0 address'],
  [0x30, '0000000000001000', 'reservation 0 size'],
  [0x38, '0000000000000000', 'terminator address'],
  [0x40, '0000000000000000', 'terminator size'],
  [0x48, '00000001', 'FDT_BEGIN_NODE'],
  [0x4c, '00000000', 'root: empty name, NUL and 3 bytes of padding'],
  [0x50, '00000003', 'FDT_PROP'],
  [0x54, '00000005', 'len 5'],
  [0x58, '00000000', 'nameoff: compatible'],
  [0x5c, '612c6d3000', '"a,m0" and NUL'],
  [0x61, '000000', 'padding'],
  [0x64, '00000003', 'FDT_PROP'],
  [0x68, '00000000', 'len 0'],
  [0x6c, '0000000b', 'nameoff: dma-coherent'],
  [0x70, '00000001', 'FDT_BEGIN_NODE'],
  [0x74, '7069633100000000', 'pic1 needs a NUL, so 3 more bytes of padding'],
  [0x7c, '00000003', 'FDT_PROP'],
  [0x80, '00000004', 'len 4'],
  [0x84, '00000000', 'nameoff, see below'],
  [0x88, '00000001', 'value'],
  [0x8c, '00000002', 'FDT_END_NODE pic1'],
  [0x90, '00000002', 'FDT_END_NODE root'],
  [0x94, '00000009', 'FDT_END'],
  [0x98, '636f6d70617469626c6500', 'compatible'],
  [0xa3, '646d612d636f686572656e7400', 'dma-coherent'],
];

function assemble(fields: readonly (readonly [number, string, string])[]): Uint8Array {
  const parts: Buffer[] = [];
  let at = 0;
  for (const [offset, bytes, what] of fields) {
    expect(at, `offset of ${what}`).toBe(offset);
    parts.push(Buffer.from(bytes, 'hex'));
    at += bytes.length / 2;
  }
  return new Uint8Array(Buffer.concat(parts));
}

function minimal(): FdtNode {
  const root = new FdtNode('', { compatible: str('a,m0'), 'dma-coherent': empty() });
  root.add(new FdtNode('pic1', { compatible: cells(1) }));
  return root;
}

describe('writeFdt', () => {
  it('gives the bytes of the specification for a minimal tree', () => {
    const memReserve = [{ address: 0x4800_0000n, size: 0x1000n }];
    const blob = writeFdt(minimal(), { bootCpuid: 3, memReserve });
    expect(Buffer.from(blob).toString('hex')).toBe(Buffer.from(assemble(MINIMAL)).toString('hex'));
  });

  it('shares names by suffix, as a whole, or not at all', () => {
    const root = new FdtNode('', { compatible: empty(), reg: empty() });
    root.add(new FdtNode('a', { 'a-reg': empty(), reg: empty(), compatible: empty() }));
    const strings = (sharing: 'suffix' | 'whole' | 'none'): string => {
      const blob = writeFdt(root, { strings: sharing });
      const at = new DataView(blob.buffer).getUint32(12);
      expect(readFdt(blob).tree).toEqual(root);
      return Buffer.from(blob.subarray(at)).toString('latin1');
    };
    expect(strings('suffix')).toBe('compatible\0a-reg\0');
    expect(strings('whole')).toBe('compatible\0reg\0a-reg\0');
    expect(strings('none')).toBe('compatible\0reg\0a-reg\0reg\0compatible\0');
  });

  it('numbers referenced nodes in tree order beside the phandles that exist', () => {
    const root = new FdtNode('');
    const late = new FdtNode('late');
    const old = new FdtNode('old', { phandle: cells(2) });
    const early = new FdtNode('early');
    root.set('x', concat(cells(ref(late), 7, ref(old)), u64cells(9n), cells(refPath('/early'))));
    for (const node of [early, old, late]) root.add(node);
    const { tree } = readFdt(writeFdt(root));
    expect(tree.bytes('x')).toEqual(cells(3, 7, 2, 0, 9, 1));
    expect(tree.children.map((node) => node.bytes('phandle'))).toEqual([
      cells(1),
      cells(2),
      cells(3),
    ]);
    const above = readFdt(writeFdt(root, { first: 0x8000, reserved: [0x8000] })).tree;
    expect(above.bytes('x')).toEqual(cells(0x8002, 7, 2, 0, 9, 0x8001));
    expect(early.props.size).toBe(0);
  });

  const refused: readonly (readonly [string, string, () => FdtNode])[] = [
    ['fdt/node-name', '/0a', () => new FdtNode('', {}, [new FdtNode('0a')])],
    ['fdt/node-name', '/a b', () => new FdtNode('', {}, [new FdtNode('a b')])],
    [
      'fdt/node-name',
      `/${'n'.repeat(32)}`,
      () => new FdtNode('', {}, [new FdtNode('n'.repeat(32))]),
    ],
    ['fdt/node-name', '/a@', () => new FdtNode('', {}, [new FdtNode('a@')])],
    ['fdt/node-name', '/', () => new FdtNode('', {}, [new FdtNode('')])],
    ['fdt/property-name', '/:a b', () => new FdtNode('', { 'a b': empty() })],
    [
      'fdt/property-name',
      `/:${'p'.repeat(32)}`,
      () => new FdtNode('', { ['p'.repeat(32)]: empty() }),
    ],
    ['fdt/property-name', '/:', () => new FdtNode('', { '': empty() })],
    ['fdt/duplicate-node', '/', () => new FdtNode('', {}, [new FdtNode('a'), new FdtNode('a')])],
    ['fdt/root-name', '/', () => new FdtNode('x')],
    ['fdt/phandle', '/:phandle', () => new FdtNode('', { phandle: cells(0) })],
    ['fdt/phandle', '/:phandle', () => new FdtNode('', { phandle: cells(0xffff_ffff) })],
    ['fdt/phandle', '/:phandle', () => new FdtNode('', { phandle: empty() })],
    [
      'fdt/duplicate-phandle',
      '/a',
      () => new FdtNode('', { phandle: cells(1) }, [new FdtNode('a', { phandle: cells(1) })]),
    ],
    [
      'fdt/unit-address',
      '/a@10',
      () => new FdtNode('', {}, [new FdtNode('a@10', { reg: cells(0, 0x11, 0, 1) })]),
    ],
    ['fdt/unresolved', '/:x', () => new FdtNode('', { x: cells(ref(new FdtNode('stray'))) })],
    ['fdt/unresolved', '/:x', () => new FdtNode('', { x: cells(refPath('/nowhere')) })],
    [
      'fdt/shared-node',
      '/b/a',
      () => {
        const a = new FdtNode('a');
        return new FdtNode('', {}, [a, new FdtNode('b', {}, [a])]);
      },
    ],
    [
      'fdt/depth',
      '/a'.repeat(63),
      () => {
        let node = new FdtNode('a');
        for (let level = 0; level < 63; level++) node = new FdtNode('a', {}, [node]);
        return new FdtNode('', {}, [node]);
      },
    ],
  ];
  it.each(refused)('refuses %s and names %s', (code, path, build) => {
    let thrown: unknown;
    try {
      writeFdt(build());
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(FdtTreeError);
    expect(thrown).toMatchObject({ code, path });
  });

  it('accepts 64 levels, which is what Linux reads', () => {
    let node = new FdtNode('a');
    for (let level = 0; level < 62; level++) node = new FdtNode('a', {}, [node]);
    const root = new FdtNode('', {}, [node]);
    expect(readFdt(writeFdt(root)).tree).toEqual(root);
  });

  it('refuses reservations that are empty, overlap or wrap around', () => {
    for (const memReserve of [
      [{ address: 1n, size: 0n }],
      [
        { address: 0x2000n, size: 0x10n },
        { address: 0x1000n, size: 0x1001n },
      ],
      [{ address: 0xffff_ffff_ffff_f000n, size: 0x1001n }],
    ]) {
      expect(() => writeFdt(minimal(), { memReserve })).toThrow(FdtTreeError);
    }
  });
});
