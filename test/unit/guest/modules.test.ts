import { createHash } from 'node:crypto';
import { mkdtemp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { execa } from 'execa';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { FormatError } from '../../../src/bytes/index.ts';
import {
  type Guest,
  ModuleTree,
  buildInitramfs,
  readCpio,
  readModuleInfo,
} from '../../../src/guest/index.ts';
import { unpackModule } from '../../../src/guest/unpack.ts';
import { moduleElf } from '../../support/module-elf.ts';

let dir = '';

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'viommu-modules-'));
  await mkdir(join(dir, 'kernel/drivers'), { recursive: true });
  const file = (name: string, bytes: Uint8Array): Promise<void> =>
    writeFile(join(dir, 'kernel/drivers', name), bytes);
  await file('virtio-iommu.ko', moduleElf(['depends=', 'vermagic=6.12.9+x SMP']));
  await file('virtio_blk.ko.gz', gzipSync(moduleElf(['depends=core-a'])));
  await file('core-a.ko', moduleElf(['depends=base', 'softdep=pre: extra missing']));
  await file('base.ko', moduleElf([]));
  await file('extra.ko', moduleElf(['depends=base']));
  await file('ring.ko', moduleElf(['depends=ring']));
  await file('broken.ko', Buffer.from('not an ELF file'));
  await writeFile(join(dir, 'modules.builtin'), 'kernel/drivers/virtio/virtio_pci.ko\n');
  await writeFile(join(dir, 'busybox'), 'BUSYBOX');
});

afterAll(() => rm(dir, { recursive: true, force: true }));

const names = (list: readonly { readonly name: string }[]): string[] =>
  list.map(({ name }) => name);

describe('module tree', () => {
  test('dependencies come first, the IOMMU before all, built-in ones not at all', async () => {
    const tree = await ModuleTree.open(dir);
    const order = await tree.resolve(['virtio_pci', 'virtio-blk', 'virtio_iommu']);
    expect(names(order)).toEqual(['virtio_iommu', 'base', 'extra', 'core_a', 'virtio_blk']);
    expect(tree.where('virtio-pci')).toBe('builtin');
    expect(tree.where('virtio-iommu')).toBe('module');
  });

  test('an absent module is an error that names it, unless it is optional', async () => {
    const tree = await ModuleTree.open(dir);
    await expect(tree.resolve(['e1000e'])).rejects.toMatchObject({ code: 'env/module-missing' });
    await expect(tree.resolve(['e1000e'])).rejects.toThrow('e1000e');
    expect(names(await tree.resolve(['base'], ['e1000e', 'extra']))).toEqual(['base', 'extra']);
  });

  test('a module that depends on itself ends', async () => {
    expect(names(await (await ModuleTree.open(dir)).resolve(['ring']))).toEqual(['ring']);
  });

  test('a list of the modules is a hint: what it says and is not there is looked for', async () => {
    const list = ['kernel/drivers/base.ko', 'kernel/gone/virtio-iommu.ko', '../../etc/extra.ko'];
    await writeFile(join(dir, 'modules.order'), `${list.join('\n')}\n`);
    const tree = await ModuleTree.open(dir);
    expect(names(await tree.resolve(['base', 'virtio_iommu', 'virtio_blk']))).toEqual([
      'virtio_iommu',
      'base',
      'extra',
      'core_a',
      'virtio_blk',
    ]);
    expect(tree.where('e1000e')).toBe('absent');
    await rm(join(dir, 'modules.order'));
  });

  test('what a program unpacked is kept, and thrown away when it is damaged', async () => {
    const cache = join(dir, 'cache');
    // No archive: what is known of it is the only answer there is.
    const packed = Buffer.from('not what xz takes');
    const unpacked = Buffer.from('a module');
    const sum = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
    const kept = join(cache, 'unpacked', `${sum(packed).toString('hex')}.ko`);
    await mkdir(join(cache, 'unpacked'), { recursive: true });
    await writeFile(kept, Buffer.concat([sum(unpacked), unpacked]));
    expect(Buffer.from(await unpackModule('a.ko.xz', packed, cache))).toEqual(unpacked);
    await writeFile(kept, Buffer.concat([sum(unpacked), Buffer.from('a moduli')]));
    await expect(unpackModule('a.ko.xz', packed, cache)).rejects.toMatchObject({
      code: expect.stringMatching(/^env\/program-/u) as string,
    });
    expect(Buffer.from(await unpackModule('a.ko', packed, cache))).toEqual(packed);
    // What comes out is the same whether the cache can be written to or not.
    const real = await execa('xz', ['-c'], { input: unpacked, encoding: 'buffer', reject: false });
    if (real.failed) return;
    for (const where of [cache, join(dir, 'busybox'), cache]) {
      expect(Buffer.from(await unpackModule('a.ko.xz', real.stdout, where))).toEqual(unpacked);
    }
    expect(await readdir(join(cache, 'unpacked'))).toHaveLength(2);
  });

  test('a damaged module, a missing directory', async () => {
    await expect((await ModuleTree.open(dir)).read('broken')).rejects.toBeInstanceOf(FormatError);
    await expect(ModuleTree.open(join(dir, 'none'))).rejects.toMatchObject({
      code: 'env/module-missing',
    });
  });

  test('.modinfo of mutated modules: a FormatError or an answer', () => {
    const good = moduleElf(['depends=a,b-c', 'softdep=pre: d e post: f', 'vermagic=6 SMP']);
    expect(readModuleInfo(good)).toEqual({
      depends: ['a', 'b_c'],
      pre: ['d', 'e'],
      vermagic: '6 SMP',
    });
    let refused = 0;
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (at, byte) => {
        const bad = good.slice();
        bad[at] = byte;
        try {
          readModuleInfo(bad);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
          refused += 1;
        }
      }),
      { numRuns: 2000 },
    );
    expect(refused).toBeGreaterThan(50);
  });
});

function guest(): Guest {
  return {
    arch: 'arm64',
    kernel: '/nowhere/vmlinuz',
    kernelSha256: '',
    release: '6.12.9+x',
    modulesDir: dir,
    busybox: join(dir, 'busybox'),
    packages: [],
  };
}

describe('initramfs', () => {
  test('holds what the init script needs, and every directory before what is in it', async () => {
    const options = { guest: guest(), modules: ['virtio_blk'], plan: 'modules\n' };
    const bytes = await buildInitramfs(options);
    const entries = readCpio(bytes);
    const seen = new Set(['']);
    for (const { path } of entries) {
      expect(seen).toContain(path.split('/').slice(0, -1).join('/'));
      seen.add(path);
    }
    const text = (path: string): string => {
      const found = entries.find((entry) => entry.path === path);
      return found?.kind === 'file' ? Buffer.from(found.data).toString('latin1') : '';
    };
    expect(text('viommu/modules')).toBe('base\nextra\ncore_a\nvirtio_blk\n');
    expect(text('viommu/plan')).toBe('modules\n');
    expect(text('init')).toMatch(/^#!\/bin\/busybox sh\n/u);
    expect(entries.find(({ path }) => path === 'dev/console')).toMatchObject({
      kind: 'char',
      major: 5,
      minor: 1,
    });
    expect(Buffer.compare(bytes, await buildInitramfs(options))).toBe(0);
  });

  test('every program that the script calls is in it', async () => {
    const entries = readCpio(await buildInitramfs({ guest: guest(), modules: [], plan: '' }));
    const script = entries.find(({ path }) => path === 'init');
    const text = script?.kind === 'file' ? Buffer.from(script.data).toString('utf8') : '';
    for (const applet of ['base64', 'dd', 'devmem', 'gzip', 'hexdump', 'ip', 'ping', 'poweroff']) {
      expect(text).toMatch(new RegExp(`\\b${applet}\\b`, 'u'));
      expect(entries).toContainEqual({ kind: 'link', path: `bin/${applet}`, target: 'busybox' });
    }
  });
});
