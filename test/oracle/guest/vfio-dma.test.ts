import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sourceHash } from '../../../src/guest/index.ts';

// What gcc makes of the program for the guest's user space; bin/test-all.sh installs the compilers.

const BUILD = join(import.meta.dirname, '../../../qemu/vfio-dma/build.sh');
const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-vfio-dma-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const READELF = { arm64: 'aarch64-linux-gnu-readelf', amd64: 'readelf' } as const;
const MACHINE = { arm64: 'AArch64', amd64: 'Advanced Micro Devices X86-64' } as const;

beforeAll(() => {
  // -Wall -Wextra -Werror: a warning fails here.
  for (const round of ['one', 'two']) execFileSync('sh', [BUILD, join(scratch, round)]);
});

describe.each(['arm64', 'amd64'] as const)('for %s', (arch) => {
  const program = join(scratch, 'one', `vfio-dma-${arch}`);
  const elf = (...args: string[]): string =>
    execFileSync(READELF[arch], [...args, program], { encoding: 'utf8' });

  test('is a static program of its architecture that needs nothing', () => {
    expect(elf('-h')).toContain(MACHINE[arch]);
    const segments = elf('-lW');
    expect(segments).not.toMatch(/INTERP|DYNAMIC/u);
    // Nothing is both written and executed.
    expect(segments).not.toMatch(/LOAD.*RWE/u);
    expect(segments).toMatch(/GNU_STACK.* RW /u);
  });

  test('is the same bytes each time, and small', () => {
    const bytes = readFileSync(program);
    expect(bytes.equals(readFileSync(join(scratch, 'two', `vfio-dma-${arch}`)))).toBe(true);
    expect(bytes.length).toBeLessThan(64 * 1024);
  });
});

test('is built where it is looked for', async () => {
  execFileSync('sh', [BUILD]);
  const built = join(BUILD, '../built');
  expect(readdirSync(built)).toEqual([await sourceHash()]);
  expect(readdirSync(join(built, await sourceHash()))).toEqual([
    'vfio-dma-amd64',
    'vfio-dma-arm64',
  ]);
});

test('leaves alone what is not its engine: a device that is not there, on a host that is no guest', () => {
  const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
  // No host has a segment ffff: whatever goes wrong here, nothing is touched.
  const run = spawnSync(join(scratch, 'one', `vfio-dma-${arch}`), ['device=ffff:ff:1f.7'], {
    encoding: 'utf8',
  });
  expect([run.status, run.stdout]).toEqual([1, 'step=engine errno=19\n']);
});
