import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { imagesFrom } from '../../../src/backends/index.ts';
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
    expect((await cli('check', 'no-such.dtb')).out).toContain('no such file');
    expect((await cli('check', scratch)).out).toContain('is a directory');
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
        'topology.svg',
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

describe('files that cannot be read', () => {
  /** A pipe that nobody writes to: opening it the plain way never returns. */
  const fifo = (name: string): string => {
    const file = join(scratch, name);
    execFileSync('mkfifo', [file]);
    return file;
  };

  test('a pipe, a socket and a device are refused at once, wherever they are named', async () => {
    const topology = await cli('check', fifo('pipe.yaml'));
    expect(topology).toMatchObject({ code: 2 });
    expect(topology.out).toContain('it is a pipe');
    writeFileSync(join(scratch, 'extends.yaml'), 'extends: ./pipe.yaml\n');
    expect((await cli('check', join(scratch, 'extends.yaml'))).out).toContain('it is a pipe');
    const tree = fifo('pipe.dtb');
    expect((await cli('check', tree)).out).toContain('it is a pipe');
    expect((await cli('check', 'topologies/one-endpoint.yaml', '--dtb', tree)).code).toBe(2);
    expect((await cli('inspect', tree)).err).toContain('it is a pipe');
    expect((await cli('build', ONE, '-o', join(scratch, 'x'), '--base-dtb', tree)).err).toContain(
      'it is a pipe',
    );
    mkdirSync(join(scratch, 'pipes'));
    fifo('pipes/topology.dtb');
    const boot = await cli('boot', ONE, '--firmware-from', join(scratch, 'pipes'));
    expect(boot).toMatchObject({ code: 2 });
    expect(boot.err).toContain('it is a pipe');
    expect((await cli('inspect', '/dev/zero')).err).toContain('it is a device');
    const server = createServer().listen(join(scratch, 'socket'));
    await once(server, 'listening');
    expect((await cli('inspect', join(scratch, 'socket'))).err).toContain('it is a socket');
    server.close();
  }, 10_000);

  test('files of /proc have no size and are read to their end', async () => {
    expect((await cli('check', '/proc/self/cmdline')).out).toContain('inspect/unknown-format');
  });

  test('one that is damaged is one diagnostic among others, with file and offset', async () => {
    const dir = join(scratch, 'some');
    await cli('build', 'topologies/invalid/iommu-map-overlap.yaml', '-o', dir, '--force');
    const cut = join(scratch, 'cut.dtb');
    writeFileSync(cut, readFileSync(join(dir, 'topology.dtb')).subarray(0, 100));
    const odd = join(scratch, 'odd.bin');
    writeFileSync(odd, Uint8Array.of(1, 2, 3, 4, 5));
    const bad = 'topologies/invalid/unknown-key.yaml';
    const files = [odd, bad, cut, 'none.aml', join(dir, 'topology.dtb')];
    const { code, out, err } = await cli('check', ...files, '--format', 'json');
    expect({ code, err }).toEqual({ code: 2, err: '' });
    const { diagnostics } = JSON.parse(out) as {
      diagnostics: { rule: string; place: { file: string; offset?: number } }[];
    };
    const rules = new Map(diagnostics.map((one) => [one.rule, one.place]));
    expect(rules.get('inspect/unknown-format')).toMatchObject({ file: odd, offset: 0 });
    expect(rules.get('fdt/truncated')).toMatchObject({ file: cut, offset: expect.any(Number) });
    expect(rules.get('file-unreadable')).toMatchObject({ file: 'none.aml' });
    expect([...rules.keys()]).toContain('unknown-key');
    expect([...rules.keys()]).toContain('iommu-map-overlap');
    expect((await cli('check', ...files)).out).toContain(`${odd}: error: neither a device tree`);
  });

  test('inspect prints the others and names the damaged one', async () => {
    const dir = join(scratch, 'others');
    await cli('build', ONE, '-o', dir);
    const odd = join(scratch, 'odd2.bin');
    writeFileSync(odd, Uint8Array.of(1, 2, 3, 4, 5));
    const { code, out, err } = await cli('inspect', odd, join(dir, 'viot.aml'));
    expect(code).toBe(2);
    expect(err).toContain(odd);
    expect(out).toContain('00:01.0');
    expect((await cli('inspect', odd, join(dir, 'viot.aml'), '--format', 'yaml')).out).toBe('');
  });

  test('a topology is known by what is in it, whatever its name', async () => {
    const good = join(scratch, 'topology');
    writeFileSync(good, readFileSync(ONE));
    expect(await cli('check', good)).toMatchObject({ code: 0, out: '' });
    writeFileSync(join(scratch, 'topology.txt'), readFileSync(ONE, 'utf8') + 'oops: 1\n');
    expect((await cli('check', join(scratch, 'topology.txt'))).out).toContain('[unknown-key]');
    expect((await cli('inspect', good)).err).toContain(`viommu-topo check ${good}`);
  });
});

describe('boot --firmware-from', () => {
  const prepared = async (name: string, change: (tree: Buffer) => Uint8Array): Promise<string> => {
    const dir = join(scratch, name);
    await cli('build', ONE, '-o', dir);
    const file = join(dir, 'topology.dtb');
    writeFileSync(file, change(readFileSync(file)));
    return dir;
  };

  test.each([
    ['garbage', () => Buffer.from('not a tree at all')],
    ['nothing', () => Buffer.alloc(0)],
    ['half a tree', (tree: Buffer) => tree.subarray(0, tree.length / 2)],
    ['another magic', (tree: Buffer) => Buffer.concat([Buffer.of(0), tree.subarray(1)])],
  ])('%s is refused before any guest is looked for, with its offset', async (name, change) => {
    const dir = await prepared(name.replaceAll(' ', '-'), change);
    const { code, err } = await cli('boot', ONE, '--firmware-from', dir, '--qemu', '/none');
    expect(code).toBe(2);
    expect(err).toContain(`${dir}/topology.dtb`);
    expect(err).toMatch(/at offset 0x/);
  });

  test('a table without a header is refused, one with a wrong checksum is not', async () => {
    const dir = await prepared('table', (tree) => tree);
    const viot = readFileSync(join(dir, 'viot.aml'));
    writeFileSync(join(dir, 'viot.aml'), viot.fill(0x55, 9, 10));
    expect(imagesFrom(dir).tables.get('VIOT')).toEqual(new Uint8Array(viot));
    writeFileSync(join(dir, 'viot.aml'), viot.subarray(0, 35));
    expect(() => imagesFrom(dir)).toThrow(/viot\.aml.*at offset 0x23/);
  });

  test('a tree that is merely wrong is taken', async () => {
    const dir = await prepared('wrong', (tree) => {
      const at = tree.indexOf('iommu-map\0');
      expect(at).toBeGreaterThan(0);
      return tree.fill('x', at, at + 1);
    });
    expect(imagesFrom(dir).tree).toEqual(new Uint8Array(readFileSync(join(dir, 'topology.dtb'))));
  });
});
