import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { cli } from '../../support/cli.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-cli-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const ONE = 'topologies/one-endpoint.yaml';
const Q35 = 'topologies/q35-one-endpoint.yaml';

describe('check', () => {
  test('every shipped topology is clean', async () => {
    const files = readdirSync('topologies')
      .filter((name) => name.endsWith('.yaml'))
      .map((name) => join('topologies', name));
    expect(files.length).toBeGreaterThanOrEqual(12);
    const { code, out, err } = await cli('check', ...files);
    expect({ code, out }).toEqual({ code: 0, out: '' });
    expect(err).toBe(`${files.length} files checked: no errors\n`);
  });

  test('a mistake has a place, its line, a caret, an effect and a cure; exit 2', async () => {
    const file = join(scratch, 'typo.yaml');
    writeFileSync(file, readFileSync(ONE, 'utf8').replace('viommus:', 'viomus:'));
    const { code, out } = await cli('check', file);
    expect(code).toBe(2);
    expect(out).toContain(`${file}:3:1: error:`);
    expect(out).toMatch(/^ +3 \| viomus:$/m);
    expect(out).toMatch(/\^~~~~~/);
    expect(out).toContain('viommus');
    expect(out).toContain('[unknown-key]');
  });

  test('all mistakes of all files come in one run, as JSON too', async () => {
    const { code, out } = await cli(
      'check',
      'topologies/invalid/iommu-map-overlap.yaml',
      'topologies/invalid/unknown-key.yaml',
      '--format',
      'json',
    );
    expect(code).toBe(2);
    const { diagnostics } = JSON.parse(out) as { diagnostics: { rule: string }[] };
    const ids = diagnostics.map(({ rule }) => rule);
    expect(ids).toContain('iommu-map-overlap');
    expect(ids).toContain('unknown-key');
  });

  test('the kernel decides what is an error', async () => {
    const file = 'topologies/invalid/direct-region.yaml';
    expect((await cli('check', file, '--kernel-version', '6.12')).code).toBe(2);
    expect((await cli('check', file, '--kernel-version', '7.3')).code).toBe(0);
    const bad = await cli('check', file, '--kernel-version', 'six');
    expect(bad.code).toBe(2);
    expect(bad.err).toContain('--kernel-version');
  });

  test('firmware files are judged by the same rules', async () => {
    const out = join(scratch, 'fw');
    expect((await cli('build', 'topologies/invalid/iommu-map-overlap.yaml', '-o', out)).code).toBe(
      2,
    );
    expect(existsSync(out)).toBe(false);
    const built = await cli(
      'build',
      'topologies/invalid/iommu-map-overlap.yaml',
      '-o',
      out,
      '--force',
    );
    expect(built.code).toBe(0);
    const { code, out: text } = await cli('check', join(out, 'topology.dtb'));
    expect(code).toBe(2);
    expect(text).toContain('[iommu-map-overlap]');
    expect(text).toMatch(/topology\.dtb: \/pcie@4010000000 iommu-map/);
  });

  test('two trees are not one machine', async () => {
    const out = join(scratch, 'two');
    await cli('build', ONE, '-o', out);
    const dtb = join(out, 'topology.dtb');
    const { code, err } = await cli('check', dtb, '--dtb', dtb);
    expect(code).toBe(2);
    expect(err).toContain('a machine has only one');
  });

  test('a missing file and a directory are said to be that', async () => {
    const missing = await cli('check', 'no-such.yaml');
    expect(missing.code).toBe(2);
    expect(missing.out).toContain('no-such.yaml');
    expect((await cli('check', 'no-such.dtb')).err).toContain('no such file');
    expect((await cli('check', scratch)).err).toContain('is a directory');
  });
});

describe('build', () => {
  test('all files appear, the same bytes each time, and nothing beside them', async () => {
    const a = join(scratch, 'a');
    const b = join(scratch, 'b');
    expect((await cli('build', ONE, '-o', a)).code).toBe(0);
    expect((await cli('build', ONE, '-o', b)).code).toBe(0);
    const names = readdirSync(a).toSorted();
    expect(names).toEqual(
      expect.arrayContaining([
        'boot.sh',
        'topology.dtb',
        'topology.dts',
        'topology.json',
        'viot.aml',
      ]),
    );
    expect(readdirSync(b).toSorted()).toEqual(names);
    for (const name of names)
      expect(readFileSync(join(b, name))).toEqual(readFileSync(join(a, name)));
    expect(readdirSync(scratch).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  test('a directory with files of somebody else is left alone', async () => {
    const dir = mkdtempSync(join(scratch, 'theirs-'));
    writeFileSync(join(dir, 'precious.txt'), 'keep');
    const { code, err } = await cli('build', ONE, '-o', dir);
    expect(code).toBe(2);
    expect(err).toContain('precious.txt');
    expect(readdirSync(dir)).toEqual(['precious.txt']);
  });

  test('a topology that QEMU cannot hold has no boot.sh, and says why', async () => {
    const dir = join(scratch, 'segments');
    const { code, err } = await cli('build', 'topologies/segments.yaml', '-o', dir);
    expect(code).toBe(0);
    expect(existsSync(join(dir, 'boot.sh'))).toBe(false);
    expect(err).toContain('boot.sh is not written');
  });
});

describe('inspect', () => {
  test('what build wrote is a topology again', async () => {
    const dir = join(scratch, 'again');
    await cli('build', ONE, '-o', dir);
    const { code, out } = await cli('inspect', join(dir, 'topology.dtb'), '--format', 'yaml');
    expect(code).toBe(0);
    const file = join(scratch, 'again.yaml');
    writeFileSync(file, out);
    expect((await cli('check', file)).code).toBe(0);
    const table = await cli('inspect', join(dir, 'viot.aml'), join(dir, 'topology.dtb'));
    expect(table.out).toContain('00:01.0');
  });

  test('damage is refused with its offset', async () => {
    const dir = join(scratch, 'damaged');
    await cli('build', Q35, '-o', dir);
    const viot = readFileSync(join(dir, 'viot.aml'));
    const file = join(scratch, 'cut.aml');
    writeFileSync(file, viot.subarray(0, 40));
    const { code, err } = await cli('inspect', file);
    expect(code).toBe(2);
    expect(err).toMatch(/at offset 0x/);
    writeFileSync(file, 'hello');
    expect((await cli('inspect', file)).code).toBe(2);
  });
});

test('schema prints a JSON Schema', async () => {
  const { code, out } = await cli('schema');
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ type: 'object' });
});

describe('the command line itself', () => {
  test('help and version exit 0, mistakes 2', async () => {
    expect(await cli('--help')).toMatchObject({ code: 0 });
    expect((await cli('--version')).out).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect((await cli('bild')).code).toBe(2);
    expect((await cli('boot')).code).toBe(2);
    expect((await cli('build', ONE)).code).toBe(2);
    expect((await cli('boot', ONE, '--kernel', 'x')).err).toContain('--modules');
  });

  test('every command has help with an example or an explanation', async () => {
    for (const command of ['check', 'build', 'boot', 'inspect', 'schema']) {
      const { out } = await cli(command, '--help');
      expect(out).toContain('viommu-topo');
      expect(out).toMatch(/Examples?:|Exit codes:|begins with/);
    }
  });
});

describe('where build writes', () => {
  test('what the file system refuses is the user’s to mend: a sentence, a cure, exit 2', async () => {
    for (const dir of ['/proc/out', join(scratch, 'n'.repeat(300))]) {
      const { code, err } = await cli('build', ONE, '-o', dir);
      expect(code).toBe(2);
      expect(err).toContain('cannot write to');
      expect(err).toContain('cure:');
      expect(err).not.toContain('mistake of viommu-topo');
    }
  });
});

test('what boot.sh makes does not keep build from building again', async () => {
  const dir = join(scratch, 'twice');
  expect((await cli('build', ONE, '-o', dir)).code).toBe(0);
  writeFileSync(join(dir, 'disk0.img'), 'sectors');
  const again = await cli('build', ONE, '-o', dir);
  expect(again).toMatchObject({ code: 0 });
  expect(existsSync(join(dir, 'disk0.img'))).toBe(false);
});
