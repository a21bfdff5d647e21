import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { cli } from '../../support/cli.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-boot-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const ONE = 'topologies/one-endpoint.yaml';
const Q35 = 'topologies/q35-one-endpoint.yaml';
const TREE_ONLY = 'topologies/device-tree-regions.yaml';

interface Seen {
  readonly topology: { readonly name: string };
  readonly outcome: string;
  readonly environment: { readonly firmwareKind: string; readonly command: readonly string[] };
}

/** Boots on the model, as JSON. */
async function verdicts(...argv: string[]): Promise<Seen[]> {
  const { out } = await cli('boot', ...argv, '--backend', 'model', '--format', 'json', '--quiet');
  const parsed = JSON.parse(out) as Seen | Seen[];
  return Array.isArray(parsed) ? parsed : [parsed];
}

const kinds = (seen: readonly Seen[]): string[] =>
  seen.map(({ topology, environment }) => `${topology.name} ${environment.firmwareKind}`);

describe('--firmware', () => {
  test('the tree where there is one, else the tables', async () => {
    expect(kinds(await verdicts(ONE, Q35))).toEqual([
      'one-endpoint device-tree',
      'q35-one-endpoint acpi',
    ]);
  });

  test('one kind, or a boot with each', async () => {
    expect(kinds(await verdicts(ONE, '--firmware', 'acpi'))).toEqual(['one-endpoint acpi']);
    const both = await verdicts(ONE, '--firmware', 'both');
    expect(kinds(both)).toEqual(['one-endpoint device-tree', 'one-endpoint acpi']);
    expect(both.map(({ outcome }) => outcome)).toEqual(['pass', 'pass']);
    expect(both[1]?.environment.command.join(' ')).toBe(
      `viommu-topo boot ${ONE} --backend model --firmware acpi`,
    );
  });

  test('both: a kind that cannot be had is left out, and that is said', async () => {
    const argv = ['--firmware', 'both', '--backend', 'model', '--quiet'];
    const { code, out, err } = await cli('boot', TREE_ONLY, Q35, ...argv);
    expect(code).toBe(0);
    expect(out.match(/^PASS .*$/gm)?.map((line) => line.split(',')[1])).toEqual([
      ' device tree',
      ' ACPI',
    ]);
    expect(err).toContain('device-tree-regions: no acpi boot: only a device tree can tell');
    expect(err).toContain('q35-one-endpoint: no dt boot: a PC has no device tree');
  });

  test.each([
    [TREE_ONLY, 'acpi', 'model', 'only a device tree can tell'],
    [Q35, 'dt', 'qemu', 'a PC has no device tree'],
    [ONE, 'acpi', 'qemu', 'without a UEFI'],
  ])('%s cannot have %s on %s', async (file, kind, backend, reason) => {
    const { code, err } = await cli('boot', file, '--firmware', kind, '--backend', backend);
    expect(code).toBe(2);
    expect(err).toContain(reason);
    expect(err).toContain('cure:');
  });

  test('the kind stands in the names of JUnit suites', async () => {
    const argv = ['--firmware', 'both', '--backend', 'model', '--format', 'junit', '--quiet'];
    const { out } = await cli('boot', ONE, ...argv);
    expect([...out.matchAll(/<testsuite name="([^"]*)"/g)].map(([, name]) => name)).toEqual([
      'one-endpoint (model, device-tree)',
      'one-endpoint (model, acpi)',
    ]);
  });
});

describe('--mem', () => {
  test('replaces the memory of the topology, and is checked like it', async () => {
    expect((await verdicts(ONE, '--mem', '256M')).map(({ outcome }) => outcome)).toEqual(['pass']);
    const small = await cli('boot', ONE, '--mem', '32M', '--backend', 'model');
    expect(small.code).toBe(2);
    expect(small.err).toContain('less than 64M');
    const large = await cli('boot', ONE, '--mem', '8G', '--backend', 'model');
    expect(large.code).toBe(2);
    expect(large.err).toContain('model-memory');
  });

  test.each(['0', 'much', '-1', '512MB'])('%s is no size', async (size) => {
    const { code, err } = await cli('boot', ONE, '--mem', size);
    expect(code).toBe(2);
    expect(err).toContain('A size is wanted');
  });
});

describe('options that contradict each other', () => {
  test.each([
    [['--mem', '1G', '--firmware-from', '.'], 'how much memory'],
    [['--stock-cmdline', '--cmdline', 'quiet'], 'both replace'],
    [['--backend', 'emulator', '--accel', 'tcg'], '--accel is for --backend qemu'],
    [['--backend', 'model', '--firmware-by', 'qemu'], '--firmware-by qemu is for'],
    [['--qemu', 'q', '--system-map', 'm'], '--system-map is for --backend emulator'],
    [['--append', 'x'.repeat(2048)], 'Linux keeps 2047'],
  ])('%j', async (options, message) => {
    const { code, err } = await cli('boot', ONE, ...options);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });
});

test('--system-map: a file that is none, and the stand-in of Debian', async () => {
  const stub = join(scratch, 'System.map');
  writeFileSync(stub, 'ffffffffffffffff B The real System.map is in the x-dbg package\n');
  const missing = await cli('boot', ONE, '--system-map', join(scratch, 'none'));
  expect(missing).toMatchObject({ code: 2 });
  expect(missing.err).toContain('no such file');
  const standIn = await cli('boot', ONE, '--system-map', stub);
  expect(standIn).toMatchObject({ code: 2 });
  expect(standIn.err).toContain('the x-dbg package');
  expect(standIn.err).toContain('/usr/lib/debug/boot');
});

describe('--console', () => {
  test.each([
    [['--firmware', 'both'], '--firmware both'],
    [['--show-console'], '--show-console'],
    [['--format', 'json'], '--format json without --output'],
    [['--backend', 'qemu'], 'is for --backend emulator'],
    [['topologies/its.yaml'], 'one terminal is for one guest'],
  ])('not with %j', async (options, message) => {
    const { code, err } = await cli('boot', ONE, '--console', ...options);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });

  test('not where nobody can type', async () => {
    const { code, err } = await cli('boot', ONE, '--console');
    expect(code).toBe(2);
    expect(err).toContain('nothing to type at');
  });
});
