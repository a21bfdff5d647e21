import * as fc from 'fast-check';
import { cells, FdtNode, ref, type FdtValue } from '../../src/fdt/index.ts';

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
const NAME = `${LETTERS}0123456789,._+-`;

const text = (alphabet: string, minLength: number, maxLength: number): fc.Arbitrary<string> =>
  fc
    .array(fc.constantFrom(...alphabet.split('')), { minLength, maxLength })
    .map((characters) => characters.join(''));

const baseName: fc.Arbitrary<string> = fc
  .tuple(text(LETTERS, 1, 1), fc.oneof(text(NAME, 0, 3), text(NAME, 0, 30)))
  .map((parts) => parts.join(''));
const nodeName: fc.Arbitrary<string> = fc.oneof(
  baseName,
  fc.tuple(baseName, text('0123456789abcdef', 1, 4)).map((parts) => parts.join('@')),
);
const propertyName: fc.Arbitrary<string> = fc
  .oneof(
    text(`${NAME}?#`, 1, 31),
    fc.constantFrom('compatible', 'reg', 'x-reg', '#size-cells', 'iommu-map', 'msi-parent'),
  )
  .filter((name) => name !== 'phandle' && name !== 'linux,phandle');
const value: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.array(text(`${NAME} "\\/*;{}`, 0, 8), { maxLength: 4 }).map(strings),
  fc.array(fc.nat({ max: 5 }), { maxLength: 12 }).map((numbers) => cellBytes(numbers)),
);

function strings(texts: readonly string[]): Uint8Array {
  return Uint8Array.from(Buffer.from(texts.map((one) => `${one}\0`).join('')));
}

function cellBytes(numbers: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(numbers.length * 4);
  for (const [index, number] of numbers.entries()) {
    new DataView(bytes.buffer).setUint32(index * 4, number);
  }
  return bytes;
}

interface Shape {
  readonly name: string;
  readonly props: readonly (readonly [string, Uint8Array])[];
  readonly children: readonly Shape[];
}

const { shape } = fc.letrec<{ shape: Shape }>((tie) => ({
  shape: fc.record({
    name: nodeName,
    props: fc.uniqueArray(fc.tuple(propertyName, value), {
      selector: ([name]) => name,
      maxLength: 5,
    }),
    children: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constant([]),
      fc.uniqueArray(tie('shape'), { selector: ({ name }) => name, maxLength: 4 }),
    ),
  }),
}));

function build({ name, props, children }: Shape): FdtNode {
  const node = new FdtNode(name, {}, children.map(build));
  for (const [property, bytes] of props) {
    // A plain reg would have to agree with the unit address; that rule has tests of its own.
    node.props.set(property === 'reg' ? 'reg-x' : property, bytes);
  }
  return node;
}

function all(node: FdtNode): FdtNode[] {
  return [node, ...node.children.flatMap(all)];
}

/** Trees that a strict writer accepts; a few nodes have phandles, a few values refer to nodes. */
export const fdtTree: fc.Arbitrary<FdtNode> = fc
  .tuple(shape, fc.array(fc.tuple(fc.nat(), fc.nat(), fc.boolean()), { maxLength: 6 }))
  .map(([root, links]) => {
    const tree = build({ ...root, name: '' });
    const nodes = all(tree);
    for (const [index, [from, to, fixed]] of links.entries()) {
      const source = nodes[from % nodes.length] ?? tree;
      const target = nodes[to % nodes.length] ?? tree;
      const linked: FdtValue = cells(index, ref(target), 0, 1);
      source.set(from % 2 === 0 ? 'iommu-map' : `ref-${index}`, linked);
      if (fixed && !target.props.has('phandle')) target.set('phandle', cells(0x100 + index));
    }
    return tree;
  });
