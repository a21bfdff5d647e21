import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { cli } from '../../support/cli.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-matrix-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const ITS = 'topologies/its.yaml';
const Q35 = 'topologies/q35-one-endpoint.yaml';
const DIRECT = 'topologies/direct-region.yaml';

describe('matrix', () => {
  test('prints the command of each combination that can be booted', async () => {
    const { code, out } = await cli('matrix', ITS, Q35);
    expect(code).toBe(0);
    expect(out.split('\n').slice(0, -1)).toEqual([
      `viommu-topo boot ${ITS} --backend emulator --firmware dt`,
      `viommu-topo boot ${ITS} --backend emulator --firmware acpi`,
      `viommu-topo boot ${ITS} --backend qemu --firmware dt`,
      `viommu-topo boot ${Q35} --backend qemu --firmware acpi`,
    ]);
  });

  test('says what cannot be, and why', async () => {
    const { err } = await cli('matrix', ITS, Q35, '--verbose');
    expect(err).toMatch(/^not topologies\/its\.yaml qemu acpi: .*UEFI/mu);
    expect(err).toMatch(/^not topologies\/q35-one-endpoint\.yaml emulator acpi: ./mu);
  });

  test('a kernel under which a topology is wrong is a gap; under none, a mistake', async () => {
    const some = await cli(
      'matrix',
      DIRECT,
      '--series',
      '6.12,7.3+',
      '--backend',
      'emulator',
      '--firmware',
      'dt',
    );
    expect(some.out).toContain('--series 7.3+');
    expect(some.out).not.toContain('--series 6.12');
    expect((await cli('matrix', 'topologies/invalid/unknown-key.yaml')).code).toBe(2);
  });

  test('shards are disjoint and make the whole', async () => {
    const all = ['matrix', ITS, Q35, 'topologies/gicv2m.yaml', 'topologies/bypass.yaml'];
    const whole = (await cli(...all)).out.split('\n').slice(0, -1);
    const parts: string[] = [];
    for (const part of ['1/3', '2/3', '3/3']) {
      const lines = (await cli(...all, '--shard', part)).out.split('\n').slice(0, -1);
      expect(Math.abs(lines.length - whole.length / 3)).toBeLessThan(1);
      parts.push(...lines);
    }
    expect(parts.toSorted()).toEqual(whole.toSorted());
    expect((await cli('matrix', ITS, '--shard', '4/3')).code).toBe(2);
    expect((await cli('matrix', ITS, '--shard', '0/3')).code).toBe(2);
  });

  test('as a job matrix for GitHub Actions', async () => {
    const { out } = await cli('matrix', ITS, '--backend', 'emulator', '--list', 'github');
    const { include } = JSON.parse(out) as { include: { command: string; firmware: string }[] };
    expect(include.map(({ firmware }) => firmware)).toEqual(['dt', 'acpi']);
    expect(include[0]?.command).toMatch(/^viommu-topo boot .* --firmware dt$/u);
  });

  test('runs the product, with options of boot after --', async () => {
    const file = join(scratch, 'v.xml');
    const { code, err } = await cli(
      ...`matrix ${ITS} ${Q35} --backend model --run -- --format junit --quiet -o`.split(' '),
      file,
    );
    expect(code).toBe(0);
    expect(err).toContain('3 boots: 3 passed, 0 failed');
    expect(readFileSync(file, 'utf8').match(/<testsuite /gu)).toHaveLength(3);
    const json = await cli('matrix', ITS, '--backend', 'model', '--run', '--', '--format', 'json');
    expect(JSON.parse(json.out)).toHaveLength(2);
  });

  test('an option that is an axis, or none of boot, is refused', async () => {
    const axis = await cli('matrix', ITS, '--', '--backend', 'model');
    expect(axis.code).toBe(2);
    expect(axis.err).toContain('--backend after --');
    expect((await cli('matrix', ITS, '--', '--colour')).code).toBe(2);
    expect((await cli('matrix', ITS, '--backend', 'bochs')).code).toBe(2);
  });
});
