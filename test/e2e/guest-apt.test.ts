import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import {
  aptFetch,
  EnvironmentError,
  sha256File,
  unpackDeb,
  type AptPackage,
  type AptRequest,
} from '../../src/guest/index.ts';

let cache = '';
beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), 'viommu-apt-'));
});
afterAll(() => rm(cache, { recursive: true, force: true }));

/** What must be on the host after as it was before. */
async function hostState(): Promise<unknown> {
  const dpkg = await execa('dpkg', ['--print-foreign-architectures']);
  const lists = await readdir('/var/lib/apt/lists').catch(() => []);
  const archives = await readdir('/var/cache/apt/archives').catch(() => []);
  return { foreign: dpkg.stdout, lists, archives };
}

/**
 * What `aptFetch` brings. Where no mirror can be reached it must say so, with a cure, and that is all
 * that can be shown of it there: the test is skipped by name, with the reason.
 */
async function fetch(
  request: AptRequest,
  skip: (note: string) => never,
): Promise<readonly AptPackage[]> {
  try {
    return await aptFetch(request);
  } catch (error) {
    const unreachable =
      error instanceof EnvironmentError && error.code === 'env/mirror-unreachable';
    if (!unreachable || (await isReachable())) throw error;
    expect(error.cure).toMatch(/VIOMMU_TOPO_MIRROR|network/u);
    return skip(`no mirror of Debian can be reached from here: ${error.message}`);
  }
}

/** Whether this machine has a way to any other at all; a mirror that refuses is no excuse. */
async function isReachable(): Promise<boolean> {
  const routes = await readFile('/proc/net/route', 'latin1').catch(() => 'unknown');
  return routes.trim().split('\n').length > 1;
}

/** Machine numbers of ELF (System V ABI, `e_machine`). */
const EM_AARCH64 = 183;

describe('private apt', () => {
  test('brings a package of a foreign architecture and leaves the host alone', async ({ skip }) => {
    const before = await hostState();
    const request = { suites: ['trixie'], arch: 'arm64', packages: ['busybox-static'], cache };
    const [got] = await fetch(request, skip);
    expect(got).toMatchObject({ package: 'busybox-static', arch: 'arm64' });
    expect(await sha256File(got?.path ?? '')).toBe(got?.sha256);
    await unpackDeb(got?.path ?? '', join(cache, 'out'));
    const program = await readFile(join(cache, 'out/usr/bin/busybox'));
    expect(program.readUInt16LE(18)).toBe(EM_AARCH64);
    expect(await hostState()).toEqual(before);
  });

  test('says what is missing, and what to do about it', async ({ skip }) => {
    const request = { suites: ['trixie'], arch: 'arm64', cache };
    await fetch({ ...request, packages: ['busybox-static'] }, skip);
    await expect(aptFetch({ ...request, packages: ['no-such-package'] })).rejects.toMatchObject({
      code: 'env/package-missing',
      cure: expect.stringContaining('--kernel'),
    });
    const nowhere = { ...request, suites: ['no-such-suite'], packages: ['busybox-static'] };
    await expect(aptFetch(nowhere)).rejects.toMatchObject({ code: 'env/mirror-unreachable' });
  });

  test('two runs at the same time get the same package', async ({ skip }) => {
    const request = { suites: ['bookworm'], arch: 'amd64', packages: ['busybox-static'], cache };
    const [one, two] = await Promise.all([fetch(request, skip), fetch(request, skip)]);
    expect(one).toEqual(two);
    expect(one).toHaveLength(1);
  });
});
