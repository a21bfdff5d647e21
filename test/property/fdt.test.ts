import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FdtNode,
  findPath,
  mergeFdt,
  phandleOf,
  readFdt,
  resolvePhandles,
  validateTree,
  walk,
  writeFdt,
  type StringSharing,
} from '../../src/fdt/index.ts';
import { fdtTree } from '../support/fdt-arbitrary.ts';

describe('flattened device tree', () => {
  it('reads back what it wrote, whatever the sharing of strings', () => {
    const sharing = fc.constantFrom<StringSharing>('suffix', 'whole', 'none');
    const u64 = fc.bigInt({ min: 1n, max: 1n << 32n });
    const options = fc.record({
      strings: sharing,
      bootCpuid: fc.nat(),
      memReserve: fc
        .uniqueArray(u64, { maxLength: 3 })
        .map((starts) => starts.map((start) => ({ address: start << 16n, size: 0x1_0000n }))),
    });
    fc.assert(
      fc.property(fdtTree, options, (tree, how) => {
        const blob = writeFdt(tree, how);
        const { root } = resolvePhandles(tree);
        const read = readFdt(blob);
        expect(read.tree).toEqual(root);
        expect(order(read.tree)).toEqual(order(root));
        expect(read).toMatchObject({ bootCpuid: how.bootCpuid, memReserve: how.memReserve });
        expect(read.warnings).toEqual([]);
        expect(writeFdt(read.tree, how)).toEqual(blob);
      }),
      { numRuns: 300 },
    );
  });

  it('states where each value is in the blob', () => {
    fc.assert(
      fc.property(fdtTree, (tree) => {
        const blob = writeFdt(tree);
        const read = readFdt(blob);
        for (const { node } of walk(read.tree)) {
          const offsets = read.offsets.get(node);
          expect(Buffer.from(blob.subarray(offsets?.node)).readUInt32BE()).toBe(1);
          for (const name of node.props.keys()) {
            const bytes = node.bytes(name) ?? new Uint8Array(0);
            const at = offsets?.props.get(name) ?? -1;
            expect(blob.subarray(at, at + bytes.length)).toEqual(bytes);
          }
        }
      }),
    );
  });

  it('gives each referenced node a phandle of its own and keeps old ones', () => {
    fc.assert(
      fc.property(fdtTree, (tree) => {
        const { root, phandles } = resolvePhandles(tree);
        const numbers = [...phandles.values()];
        expect(new Set(numbers).size).toBe(numbers.length);
        for (const number of numbers) expect([0, 0xffff_ffff]).not.toContain(number);
        const [before, after] = [[...walk(tree)], [...walk(root)]];
        for (const [index, { node }] of before.entries()) {
          const now = after[index]?.node ?? new FdtNode('');
          expect(phandleOf(now)).toBe(phandles.get(node));
          if (phandleOf(node) !== undefined) expect(phandles.get(node)).toBe(phandleOf(node));
        }
      }),
    );
  });

  it('merges: an empty overlay and the tree itself change nothing, the overlay wins', () => {
    fc.assert(
      fc.property(fdtTree, fdtTree, (base, overlay) => {
        const blob = writeFdt(base);
        const plain = readFdt(blob).tree;
        expect(writeFdt(mergeFdt(plain, new FdtNode('')))).toEqual(blob);
        expect(writeFdt(mergeFdt(plain, readFdt(blob).tree))).toEqual(blob);

        for (const { node } of walk(overlay)) node.props.delete('phandle');
        let merged: FdtNode;
        try {
          merged = resolvePhandles(mergeFdt(plain, overlay)).root;
        } catch (error) {
          // Random names may be ambiguous; that has a test of its own.
          expect(error).toMatchObject({
            code: expect.stringMatching(/^fdt\/(path|duplicate-node)$/),
          });
          return;
        }
        validateTree(merged);
        const after = new Map(Array.from(walk(merged), ({ node, path }) => [path, node]));
        const owned = new Map(
          Array.from(walk(overlay), ({ node, path }) => [findPath(plain, path), node]),
        );
        for (const { node, path } of walk(plain)) {
          for (const [name, value] of node.props) {
            const over = owned.get(node)?.props.get(name);
            if (over === undefined) expect(after.get(path)?.props.get(name)).toEqual(value);
            else if (over instanceof Uint8Array) expect(after.get(path)?.bytes(name)).toEqual(over);
          }
        }
        expect(writeFdt(plain)).toEqual(blob);
      }),
    );
  });
});

/** toEqual does not look at the order of a map's entries. */
function order(root: FdtNode): string[] {
  return Array.from(walk(root), ({ node, path }) => `${path} ${[...node.props.keys()].join(' ')}`);
}
