import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parseSimulation } from '../../../src/guest/apt.ts';
import { isNewEnough } from '../../../src/qemu/fetch.ts';
import { cachedQemu, findVfioUserQemu } from '../../../src/qemu/index.ts';
import { trimUnpacked } from '../../../src/qemu/unpacked.ts';

const dir = mkdtempSync(join(tmpdir(), 'viommu-topo-fetch-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A program that answers as QEMU of some version does, with or without the device. */
function fake(name: string, version: string, device: boolean): string {
  const path = join(dir, name);
  const help = device
    ? `echo 'vfio-user-pci options:'; echo '  socket=<SocketAddress> - SocketAddress'`
    : `echo "Device 'vfio-user-pci' not found" >&2; exit 1`;
  writeFileSync(
    path,
    `#!/bin/sh\ncase "$*" in *--version*) echo 'QEMU emulator version ${version}' ;; *) ${help} ;; esac\n`,
  );
  chmodSync(path, 0o755);
  return path;
}

test('what apt would install is read from its simulation', () => {
  const text = [
    'NOTE: This is only a simulation!',
    'Inst gcc-14-base (14.2.0-19 Debian:13.7/stable [amd64])',
    'Inst libc6 (2.41-12+deb13u4 Debian:13.7/stable [amd64]) []',
    'Inst libslirp0:arm64 [4.7.0-1] (4.8.0-1 Debian:13.7/stable [arm64])',
    'Inst qemu-system-x86 (1:11.1.3+ds-1~bpo13+1 Debian Backports:stable-backports [amd64])',
    'Conf gcc-14-base (14.2.0-19 Debian:13.7/stable [amd64])',
  ].join('\n');
  expect(parseSimulation(text)).toEqual([
    'gcc-14-base=14.2.0-19',
    'libc6=2.41-12+deb13u4',
    'libslirp0=4.8.0-1',
    'qemu-system-x86=1:11.1.3+ds-1~bpo13+1',
  ]);
});

test('versions of packages that have the client', () => {
  const wanted = ['1:10.1.0+ds-1', '1:11.1.3+ds-1~bpo13+1', '12.0'];
  expect(wanted.filter(isNewEnough)).toEqual(wanted);
  expect(
    [undefined, 'odd', '1:10.0.13+ds-0+deb13u1', '1:7.2+dfsg-7', '9.10'].filter(isNewEnough),
  ).toEqual([]);
});

test('a QEMU that is too old, or built without the client, is refused with the cure', async () => {
  const cure = expect.stringContaining('viommu-topo qemu fetch') as string;
  await expect(
    findVfioUserQemu('arm64', { path: fake('old', '10.0.13', true) }),
  ).rejects.toMatchObject({
    code: 'env/program-missing',
    message: expect.stringMatching(/QEMU 10\.0\.13, which is too old.*from 10\.1 on/u) as string,
    cure,
  });
  await expect(
    findVfioUserQemu('arm64', { path: fake('bare', '10.1.0', false) }),
  ).rejects.toMatchObject({ message: expect.stringContaining('built without it') as string, cure });
  const found = await findVfioUserQemu('arm64', { path: fake('good', '10.1.0', true) });
  expect(found.version).toEqual({ major: 10, minor: 1, micro: 0 });
});

test('a cache that is empty, broken or half is no QEMU', async () => {
  const cache = join(dir, 'cache');
  expect(await cachedQemu('arm64', cache)).toBeUndefined();
  mkdirSync(join(cache, 'qemu', 'bin'), { recursive: true });
  for (const text of ['', '{', '{"format":1}', '[]']) {
    writeFileSync(join(cache, 'qemu', 'manifest.json'), text);
    expect(await cachedQemu('arm64', cache)).toBeUndefined();
  }
  const manifest = { format: 1, version: '11.1.3', root: join(cache, 'gone'), packages: [] };
  writeFileSync(join(cache, 'qemu', 'manifest.json'), JSON.stringify(manifest));
  for (const name of ['qemu-system-aarch64', 'qemu-system-x86_64'])
    writeFileSync(join(cache, 'qemu', 'bin', name), '');
  expect(await cachedQemu('arm64', cache)).toBeUndefined();
  mkdirSync(join(cache, 'gone'));
  expect(await cachedQemu('arm64', cache)).toBe(join(cache, 'qemu/bin/qemu-system-aarch64'));
});

test('only what a program needs stays of an unpacked tree', async () => {
  const root = join(dir, 'root');
  for (const path of ['usr/bin', 'usr/lib/x', 'usr/share/qemu', 'usr/share/doc/qemu', 'etc', 'var'])
    mkdirSync(join(root, path), { recursive: true });
  await trimUnpacked(root);
  expect(readdirSync(root)).toEqual(['usr']);
  expect(readdirSync(join(root, 'usr')).toSorted()).toEqual(['bin', 'lib', 'share']);
  expect(readdirSync(join(root, 'usr/share'))).toEqual(['qemu']);
});
