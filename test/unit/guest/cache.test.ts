import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { aptConfig } from '../../../src/guest/apt-config.ts';
import { parseRecord } from '../../../src/guest/apt.ts';
import { cacheDirectory, fetchGuest, withLock, writeWhole } from '../../../src/guest/index.ts';
import { readManifest } from '../../../src/guest/manifest.ts';

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'viommu-cache-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

async function fakeGuest(name: string): Promise<string> {
  const home = join(dir, 'guests', name);
  await mkdir(join(home, 'bin'), { recursive: true });
  await writeFile(join(home, 'vmlinuz'), 'kernel');
  await writeFile(join(home, 'bin/busybox'), 'busybox');
  const manifest = {
    format: 1,
    arch: 'arm64',
    release: '9.9',
    files: { vmlinuz: sha256('kernel'), 'bin/busybox': sha256('busybox') },
    packages: [{ package: 'linux-image-9.9', version: '9.9-1', sha256: sha256('deb') }],
  };
  await writeFile(join(home, 'manifest.json'), JSON.stringify(manifest));
  return home;
}

describe('cache', () => {
  test('the directory follows XDG, and a relative one is ignored', () => {
    expect(cacheDirectory({ XDG_CACHE_HOME: '/c' })).toBe('/c/viommu-topo');
    expect(cacheDirectory({ XDG_CACHE_HOME: 'c' })).toMatch(/\/\.cache\/viommu-topo$/u);
  });

  test('a lock lets one in at a time', async () => {
    const path = join(dir, 'lock');
    let inside = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      inside += 1;
      most = Math.max(most, inside);
      await sleep(5);
      inside -= 1;
    };
    await Promise.all([1, 2, 3].map(() => withLock(path, work)));
    expect(most).toBe(1);
  });

  test('the lock of a dead process is taken over, and an error frees it', async () => {
    const path = join(dir, 'stale');
    const gone = spawnSync(process.execPath, ['-e', '']).pid;
    await mkdir(path);
    await writeFile(join(path, 'pid'), String(gone));
    await expect(withLock(path, () => Promise.reject(new Error('inside')))).rejects.toThrow(
      'inside',
    );
    expect(await withLock(path, () => Promise.resolve(1))).toBe(1);
  });

  test('a file appears whole and leaves nothing behind', async () => {
    const home = await mkdtemp(join(dir, 'whole-'));
    await writeWhole(join(home, 'f'), 'one');
    await writeWhole(join(home, 'f'), 'two');
    expect(await readFile(join(home, 'f'), 'utf8')).toBe('two');
    expect(await readdir(home)).toEqual(['f']);
  });

  test('a cached guest is used without a network; its versions and hashes are known', async () => {
    const home = await fakeGuest('arm64-9.9');
    const guest = await fetchGuest('arm64', { cache: dir, series: '9.9' });
    expect(guest).toMatchObject({ release: '9.9', kernel: join(home, 'vmlinuz') });
    expect(guest.packages[0]).toMatchObject({ version: '9.9-1' });
    expect(guest.klibc).toBeUndefined();
  });

  test('a guest with a changed kernel or an odd manifest is not used', async () => {
    const home = await fakeGuest('arm64-8');
    expect(await readManifest(home)).toBeDefined();
    await writeFile(join(home, 'vmlinuz'), 'other');
    expect(await readManifest(home)).toBeUndefined();
    await writeFile(join(home, 'manifest.json'), '{"format":2}');
    expect(await readManifest(home)).toBeUndefined();
    await writeFile(join(home, 'manifest.json'), '{');
    expect(await readManifest(home)).toBeUndefined();
  });
});

describe('private apt', () => {
  test('signatures are demanded, hooks of the host are emptied, nothing points outside', () => {
    const text = aptConfig('/cache/apt/x', 'arm64');
    expect(text).toContain('AllowInsecureRepositories "false"');
    expect(text).toContain('#clear APT::Update::Post-Invoke;');
    for (const [, path] of text.matchAll(/^Dir::\S+ "(.*)";$/gmu))
      expect(path).toMatch(/^\/cache\/apt\/x(?:\/|$)/u);
  });

  test('a record of the index', () => {
    const hash = 'a'.repeat(64);
    expect(
      parseRecord(
        `Package: p\nVersion: 1:2-3\nArchitecture: arm64\nDepends: q (= 1)\nSHA256: ${hash}\n\nPackage: other\n`,
      ),
    ).toEqual({ package: 'p', version: '1:2-3', arch: 'arm64', depends: 'q (= 1)', sha256: hash });
    expect(parseRecord('')).toBeUndefined();
    expect(parseRecord('Package: p\nVersion: 1\n')).toBeUndefined();
  });
});
