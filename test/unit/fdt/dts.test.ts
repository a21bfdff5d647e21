import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  cells,
  concat,
  empty,
  FdtNode,
  printDts,
  readFdt,
  ref,
  str,
  strlist,
  u64cells,
  type FdtValue,
} from '../../../src/fdt/index.ts';

/** The line that a property of the root becomes. */
function shown(name: string, value: FdtValue, ...children: FdtNode[]): string {
  const text = printDts(new FdtNode('', { [name]: value }, children));
  return text.slice(text.indexOf('\t') + 1, text.indexOf(';', text.indexOf('\t')) + 1);
}

const raw = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);

const target = (): FdtNode =>
  new FdtNode('t@1', {
    '#iommu-cells': cells(1),
    '#msi-cells': cells(1),
    '#clock-cells': cells(0),
    '#interrupt-cells': cells(3),
  });

describe('printDts', () => {
  it('prints a whole tree', () => {
    const its = new FdtNode('its@8080000', { '#msi-cells': cells(1) });
    const root = new FdtNode(
      '',
      { compatible: strlist('a,b', 'c'), 'msi-parent': cells(ref(its), 0) },
      [its, new FdtNode('soc', { ranges: empty() }, [new FdtNode('leaf')])],
    );
    const memReserve = [{ address: 0x1000n, size: 0x10n }];
    expect(printDts(root, { bootCpuid: 2, memReserve })).toBe(`/dts-v1/;
// dtc -b 2
/memreserve/ 0x1000 0x10;

/ {
	compatible = "a,b", "c";
	msi-parent = <&its 0x0>;

	its: its@8080000 {
		#msi-cells = <0x1>;
		phandle = <0x1>;
	};

	soc {
		ranges;

		leaf {
		};
	};
};
`);
  });

  const values: readonly (readonly [string, FdtValue, string])[] = [
    ['x', str('text'), 'x = "text";'],
    ['x', str('a "quoted\\" one'), 'x = "a \\"quoted\\\\\\" one";'],
    ['x', empty(), 'x;'],
    ['x', raw(0), 'x = [00];'],
    ['x', raw(0x61, 0, 0x62), 'x = [61 00 62];'],
    ['x', raw(0x61, 0, 0, 0), 'x = <0x61000000>;'],
    ['x', raw(0x61, 0x0a, 0x62, 0), 'x = <0x610a6200>;'],
    ['compatible', raw(0x61, 0, 0, 0), 'compatible = "a", "", "";'],
    ['clock-names', raw(0), 'clock-names = "";'],
    ['reg', str('abc'), 'reg = <0x61626300>;'],
    ['#size-cells', str('abc'), '#size-cells = <0x61626300>;'],
    ['reg', str('abcd'), 'reg = "abcd";'],
    ['iommus', cells(5, 1), 'iommus = <0x5 0x1>;'],
  ];
  it.each(values)('prints %s', (name, value, line) => {
    expect(shown(name, value)).toBe(line);
  });

  it('breaks long lists into lines', () => {
    expect(shown('x', cells(Array.from({ length: 9 }, () => 0)))).toBe(
      'x = <\n\t\t0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n\t\t0x0>;',
    );
    const long = ['a'.repeat(60), 'b'.repeat(60)];
    expect(shown('x', strlist(...long))).toBe(`x =\n\t\t"${long.join('",\n\t\t"')}";`);
  });

  describe('refers to labels in', () => {
    const t = target();
    const known: readonly (readonly [string, FdtValue, string])[] = [
      ['interrupt-parent', cells(ref(t)), '<&t>'],
      ['memory-region', cells(ref(t), ref(t)), '<&t>, <&t>'],
      ['clocks', cells(ref(t), ref(t)), '<&t>, <&t>'],
      ['interrupts-extended', cells(ref(t), 1, 2, 3), '<&t 0x1 0x2 0x3>'],
      ['iommus', cells(ref(t), 9, ref(t), 8), '<&t 0x9>, <&t 0x8>'],
      ['msi-parent', cells(ref(t), 0), '<&t 0x0>'],
      ['iommu-map', cells(0, ref(t), 0, 8, 9, ref(t), 9, 1), '<0x0 &t 0x0 0x8>, <0x9 &t 0x9 0x1>'],
      ['msi-map', cells(0, ref(t), 0, 0x1_0000), '<0x0 &t 0x0 0x10000>'],
      ['iommu-addresses', concat(cells(ref(t)), u64cells(1n), cells(2)), '<&t 0x0 0x1 0x2>'],
    ];
    it.each(known)('%s', (name, value, text) => {
      expect(shown(name, value, t)).toBe(`${name} = ${text};`);
    });

    it('but not where an entry is cut short or the target unknown', () => {
      const seven = target().set('phandle', cells(7));
      expect(shown('iommus', cells(7), seven)).toBe('iommus = <0x7>;');
      expect(shown('iommu-map', cells(0, 7, 0), seven)).toBe('iommu-map = <0x0 0x7 0x0>;');
      expect(shown('iommus', cells(7, 1, 8, 1), seven)).toBe('iommus = <0x7 0x1 0x8 0x1>;');
      expect(shown('other', cells(7), seven)).toBe('other = <0x7>;');
    });
  });

  it('gives labels that differ, and none to the root', () => {
    const [one, two, odd] = [new FdtNode('n@1'), new FdtNode('n@2'), new FdtNode('a,b-c')];
    const root = new FdtNode('', {}, [one, two, odd]);
    root.set('memory-region', cells(ref(one), ref(two), ref(odd), ref(root)));
    const text = printDts(root);
    expect(text).toContain('memory-region = <&n_1>, <&n_2>, <&a_b_c>, <&{/}>;');
    expect(text).toContain('\n/ {\n');
    expect(text).toContain('\ta_b_c: a,b-c {\n');
  });

  it('turns what DTS has no words for into comments', () => {
    const root = new FdtNode('', { 'a*/ b': empty() }, [
      new FdtNode('c d', {}, [new FdtNode('hidden')]),
      new FdtNode('next'),
    ]);
    expect(printDts(root)).toBe(`/dts-v1/;

/ {
	/* property "a* / b", 0 bytes, has no name in DTS */

	/* node "c d" has no name in DTS */

	next {
	};
};
`);
  });

  it('shows the vIOMMU of a tree of QEMU', () => {
    const file = new URL('../../golden/fdt/virt-viommu.dtb', import.meta.url);
    const text = printDts(readFdt(new Uint8Array(readFileSync(file))).tree);
    expect(text).toContain(
      'iommu-map = <0x0 &virtio_iommu 0x0 0x8>, <0x9 &virtio_iommu 0x9 0xfff7>;',
    );
    expect(text).toContain('interrupt-parent = <&intc>;');
    expect(text).toContain('virtio_iommu: virtio_iommu@1,0 {');
  });
});
