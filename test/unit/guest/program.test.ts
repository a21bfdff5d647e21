import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { EnvironmentError, sourceHash, vfioProgram } from '../../../src/guest/index.ts';
import * as spec from '../../../src/spec/pci-devices.ts';

const SOURCES = join(import.meta.dirname, '../../../qemu/vfio-dma');
const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-program-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Sources of their own, with a build script that notes each call. */
function sources(name: string, script: string): { sources: string; cache: string; calls: string } {
  const dir = join(scratch, name);
  const calls = join(dir, 'calls');
  mkdirSync(dir);
  for (const file of ['start.h', 'vfio-dma.c']) cpSync(join(SOURCES, file), join(dir, file));
  writeFileSync(calls, '');
  writeFileSync(join(dir, 'build.sh'), `echo "$2" >>${calls}\n${script}\n`);
  return { sources: dir, cache: join(scratch, `${name}-cache`), calls };
}

const BUILDS = 'printf "built for $2" >"$1/vfio-dma-$2"';

describe('the program for the guest’s user space', () => {
  test('is the one that was shipped, when it was built from these sources', async () => {
    const { calls, ...options } = sources('shipped', BUILDS);
    const home = join(options.sources, 'built', await sourceHash(options.sources));
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, 'vfio-dma-arm64'), 'shipped');
    expect(Buffer.from(await vfioProgram('arm64', options)).toString()).toBe('shipped');
    expect(readFileSync(calls, 'utf8')).toBe('');
    // An edit makes it another program.
    writeFileSync(join(options.sources, 'start.h'), 'edited');
    const program = await vfioProgram('arm64', options);
    expect(Buffer.from(program).toString()).toBe('built for arm64');
  });

  test('is built once for each architecture, however many ask', async () => {
    const { calls, ...options } = sources('built', BUILDS);
    const asked = ['arm64', 'amd64', 'arm64'] as const;
    const all = await Promise.all(asked.map((arch) => vfioProgram(arch, options)));
    expect(all.map((bytes) => Buffer.from(bytes).toString())).toEqual(
      asked.map((arch) => `built for ${arch}`),
    );
    expect(readFileSync(calls, 'utf8').trim().split('\n').toSorted()).toEqual(['amd64', 'arm64']);
  });

  test('says which compiler is missing when it cannot be built', async () => {
    const { calls: _, ...options } = sources('broken', 'echo no compiler >&2; exit 127');
    const error: unknown = await vfioProgram('arm64', options).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(EnvironmentError);
    expect(error).toMatchObject({
      code: 'env/program-missing',
      cure: expect.stringContaining('apt-get install gcc-aarch64-linux-gnu') as string,
    });
  });

  test('knows the registers of the engine by the same numbers', () => {
    const text = readFileSync(join(SOURCES, 'vfio-dma.c'), 'utf8');
    const defined = [...text.matchAll(/^#define (DMA_ENGINE_\w+) (\w+?)(?:ul)?$/gmu)];
    const names = new Map<string, number>(Object.entries(spec) as [string, number][]);
    expect(defined.length).toBeGreaterThan(15);
    for (const [, name = '', value] of defined) {
      expect([name, Number(value)]).toEqual([name, names.get(name)]);
    }
  });

  test('touches a device only after it has seen that it is the engine', () => {
    const text = readFileSync(join(SOURCES, 'vfio-dma.c'), 'utf8');
    const begin = text.slice(text.indexOf('void begin('));
    expect(begin.indexOf('need_engine()')).toBeGreaterThan(0);
    expect(begin.indexOf('need_engine()')).toBeLessThan(begin.indexOf('bind_driver()'));
  });
});
