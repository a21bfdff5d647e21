import { readdirSync, readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import {
  cells,
  concat,
  FdtNode,
  mergeFdt,
  printDts,
  readFdt,
  ref,
  refPath,
  resolvePhandles,
  str,
  u64cells,
  walk,
  writeFdt,
} from '../../../src/fdt/index.ts';
import { dtcCheck, dtcCompile, dtcDecompile } from '../../support/dtc.ts';
import { sameTree } from '../../fuzz/fdt.ts';
import { fdtTree } from '../../support/fdt-arbitrary.ts';
import { sampleBlob } from '../../support/fdt-blob.ts';
import { LibfdtJudge } from '../../support/libfdt.ts';

const GOLDEN = new URL('../../golden/fdt/', import.meta.url);
const trees = readdirSync(GOLDEN).filter((file) => file.endsWith('.dtb'));
const golden = (file: string): Uint8Array => new Uint8Array(readFileSync(new URL(file, GOLDEN)));

let judge: LibfdtJudge | undefined;
afterAll(() => judge?.close());

/** Made by the first test that asks, so that a missing compiler does not hide a missing dtc. */
function libfdt(...blobs: readonly Uint8Array[]): string[] {
  judge ??= new LibfdtJudge();
  return judge.check(...blobs);
}

/** Nodes and properties in their order, which toEqual on maps does not compare. */
function flat(root: FdtNode): string[] {
  return Array.from(walk(root), ({ node, path }) => `${path} ${[...node.props.keys()].join(' ')}`);
}

describe.each(trees)('QEMU tree %s', (file) => {
  it('is written again so that dtc makes the same bytes of both', () => {
    const blob = golden(file);
    const read = readFdt(blob);
    // QEMU's host bridge is pcie@10000000 with another address in reg: not for a strict writer.
    const again = writeFdt(read.tree, { ...read, names: 'lax' });
    expect(dtcDecompile(again)).toBe(dtcDecompile(blob));
    expect(dtcCompile(dtcDecompile(again))).toEqual(dtcCompile(dtcDecompile(blob)));
    expect(libfdt(blob, again)).toEqual(['ok', 'ok']);
  });

  it('keeps its bytes through our DTS and dtc', () => {
    const read = readFdt(golden(file));
    const compiled = dtcCompile(printDts(read.tree, read));
    expect(compiled).toEqual(dtcCompile(dtcDecompile(golden(file))));
    expect(readFdt(compiled).tree).toEqual(read.tree);
    expect(flat(readFdt(compiled).tree)).toEqual(flat(read.tree));
  });
});

describe('printDts', () => {
  it('writes what dtc compiles back to the identical tree', () => {
    fc.assert(
      fc.property(fdtTree, (tree) => {
        const { root } = resolvePhandles(tree);
        // -f: random trees have nonsense in properties that dtc knows, which is no matter here.
        const compiled = readFdt(dtcCompile(printDts(tree), ['-f'])).tree;
        expect(compiled).toEqual(root);
        expect(flat(compiled)).toEqual(flat(root));
      }),
      { numRuns: 150 },
    );
  });

  it('keeps 64 K map entries', () => {
    const iommu = new FdtNode('iommu', { '#iommu-cells': cells(1) });
    const rows = Array.from({ length: 65_536 }, (_, id) => [id, ref(iommu), id ^ 1, 1]);
    const root = new FdtNode('', { 'iommu-map': cells(rows.flat()) }, [iommu]);
    const compiled = readFdt(dtcCompile(printDts(root))).tree;
    expect(sameTree(compiled, resolvePhandles(root).root)).toBe(true);
  });
});

describe('writeFdt', () => {
  it('satisfies fdt_check_full with random trees', () => {
    const blobs = fc.sample(fdtTree, 200).map((tree) => writeFdt(tree));
    expect(libfdt(...blobs)).toEqual(blobs.map(() => 'ok'));
  });

  it('gives a tree that dtc has nothing to say about, all checks on', () => {
    const iommu = new FdtNode('iommu@1000000', {
      compatible: str('virtio,mmio'),
      reg: u64cells(0x100_0000n, 0x200n),
      '#iommu-cells': cells(1),
    });
    const device = new FdtNode('device@2000000', {
      compatible: str('virtio,mmio'),
      reg: u64cells(0x200_0000n, 0x200n),
      iommus: cells(ref(iommu), 7),
    });
    const carveOut = new FdtNode('hole', {
      'iommu-addresses': concat(cells(ref(device)), u64cells(0x800_0000n, 0x10_0000n)),
    });
    device.set('memory-region', cells(ref(carveOut)));
    const two = { '#address-cells': cells(2), '#size-cells': cells(2) };
    const root = new FdtNode('', { compatible: str('viommu,test'), model: str('test'), ...two }, [
      new FdtNode('reserved-memory', { ...two, ranges: new Uint8Array(0) }, [carveOut]),
      iommu,
      device,
    ]);
    const blob = writeFdt(root);
    expect(dtcCheck(blob)).toEqual([]);
    expect(printDts(root)).toContain('iommu-addresses = <&device 0x0 0x8000000 0x0 0x100000>;');
    expect(dtcCompile(printDts(root))).toEqual(dtcCompile(dtcDecompile(blob)));
  });

  it('is judged by a dtc that does find mistakes', () => {
    const root = new FdtNode('', { iommus: cells(9, 0) });
    expect(dtcCheck(writeFdt(root)).join('\n')).toContain('iommus');
  });
});

describe('mergeFdt', () => {
  it('adds a vIOMMU to a tree of QEMU and changes nothing else', () => {
    const base = golden('virt-plain.dtb');
    const iommu = new FdtNode('iommu@1,0', {
      compatible: str('virtio,pci-iommu'),
      reg: cells(0x800, 0, 0, 0, 0),
      '#iommu-cells': cells(1),
    });
    const map = cells(0, ref(iommu), 0, 8, 9, ref(iommu), 9, 0xfff7);
    const host = new FdtNode('pcie', { 'iommu-map': map, 'x-gic': cells(refPath('/intc')) });
    const merged = mergeFdt(readFdt(base).tree, new FdtNode('', {}, [host.add(iommu) && host]));
    const blob = writeFdt(merged, { names: 'lax' });
    expect(libfdt(blob)).toEqual(['ok']);
    const added = new Set(dtcDecompile(blob).split('\n'));
    const before = dtcDecompile(base).split('\n');
    expect(before.filter((line) => !added.has(line))).toEqual([]);
    const intc = readFdt(base).tree.children.find(({ name }) => name.startsWith('intc@'));
    const after = resolvePhandles(merged).root.children.find(({ name }) =>
      name.startsWith('pcie@'),
    );
    expect(after?.bytes('x-gic')).toEqual(intc?.bytes('phandle'));
  });
});

describe('a missing dtc', () => {
  afterEach(() => vi.unstubAllEnvs());

  it('fails the test that needs it and says what installs it', () => {
    vi.stubEnv('PATH', '/nonexistent');
    expect(() => dtcCompile('/dts-v1/; / { };')).toThrow(
      'dtc is missing: sudo apt-get install -y device-tree-compiler',
    );
    expect(() => new LibfdtJudge()).toThrow('sudo apt-get install -y gcc libc6-dev libfdt-dev');
  });
});

describe('readFdt', () => {
  it('refuses at least what libfdt refuses', () => {
    const { bytes } = sampleBlob();
    const mutants: Uint8Array[] = [];
    for (let offset = 0; offset < bytes.length; offset++) {
      for (const flip of [0x01, 0x04, 0x80]) {
        const mutant = bytes.slice();
        mutant[offset] = (mutant[offset] ?? 0) ^ flip;
        mutants.push(mutant);
      }
    }
    for (let length = 8; length < bytes.length; length += 3) mutants.push(bytes.slice(0, length));
    const verdicts = libfdt(...mutants);
    const missed = mutants.filter((mutant, index) => verdicts[index] !== 'ok' && accepts(mutant));
    expect(verdicts.filter((verdict) => verdict !== 'ok').length).toBeGreaterThan(100);
    expect(missed).toEqual([]);
  });
});

function accepts(blob: Uint8Array): boolean {
  try {
    readFdt(blob);
    return true;
  } catch {
    return false;
  }
}
