import { execFileSync } from 'node:child_process';
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FirmwareError, MARKER, writeOutputs } from '../../../src/firmware/index.ts';
import { asOutputError } from '../../../src/firmware/output-error.ts';

let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'viommu-topo-outputs-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const files = new Map<string, Uint8Array | string>([
  ['topology.dtb', Uint8Array.of(0xd0, 0x0d)],
  ['boot.sh', '#!/bin/sh\n'],
]);

test('a new directory has the files, and a script is executable', async () => {
  const dir = join(folder, 'deep/out');
  await writeOutputs(dir, files);
  expect((await readdir(dir)).toSorted()).toEqual([MARKER, 'boot.sh', 'topology.dtb']);
  expect(await readFile(join(dir, 'topology.dtb'))).toEqual(Buffer.of(0xd0, 0x0d));
  expect((await stat(join(dir, 'boot.sh'))).mode & 0o111).not.toBe(0);
  expect((await stat(join(dir, 'topology.dtb'))).mode & 0o111).toBe(0);
});

test('what an earlier call wrote is replaced as a whole', async () => {
  const dir = join(folder, 'out');
  await writeOutputs(dir, files);
  await writeOutputs(dir, new Map([['viot.aml', 'x']]));
  expect((await readdir(dir)).toSorted()).toEqual([MARKER, 'viot.aml']);
  expect(await readdir(folder)).toEqual(['out']);
});

test('an empty directory is taken', async () => {
  await mkdir(join(folder, 'out'));
  await writeOutputs(join(folder, 'out'), files);
  expect(await readdir(join(folder, 'out'))).toHaveLength(3);
});

test.each([
  [
    'a directory of somebody else',
    async (dir: string) => writeFile(join(dir, 'notes.txt'), 'mine'),
  ],
  [
    'one of ours with a file that was added',
    async (dir: string) => {
      await writeOutputs(dir, files);
      await writeFile(join(dir, 'notes.txt'), 'mine');
    },
  ],
])('%s is left alone', async (_, prepare) => {
  const dir = join(folder, 'out');
  await mkdir(dir);
  await prepare(dir);
  const before = await readdir(dir);
  await expect(writeOutputs(dir, new Map([['a', 'b']]))).rejects.toThrow(/notes\.txt/);
  expect(await readdir(dir)).toEqual(before);
  expect(await readdir(folder)).toEqual(['out']);
});

test('a file in the way is not a directory', async () => {
  await writeFile(join(folder, 'out'), '');
  await expect(writeOutputs(join(folder, 'out'), files)).rejects.toThrow(FirmwareError);
});

test.each(['../x', 'a/b', '.hidden', ''])('%j is no name of an output', async (name) => {
  await expect(writeOutputs(join(folder, 'out'), new Map([[name, '']]))).rejects.toThrow(
    expect.objectContaining({ code: 'outputs/name' }) as Error,
  );
  expect(await readdir(folder)).toEqual([]);
});

test('when a file cannot be written, nothing appears', async () => {
  const broken = new Map([...files, ['bad', { not: 'bytes' } as unknown as string]]);
  await expect(writeOutputs(join(folder, 'out'), broken)).rejects.toThrow();
  expect(await readdir(folder)).toEqual([]);
});

describe('what the file system refuses has a sentence and a cure, and leaves nothing behind', () => {
  const coded = (code: string): unknown => expect.objectContaining({ code }) as unknown;

  test('a folder in which nothing can be made ends at once', async () => {
    await expect(writeOutputs('/proc/viommu-topo-out', files)).rejects.toEqual(
      coded('outputs/unwritable'),
    );
  }, 5000);

  test('a link that leads nowhere', async () => {
    await symlink(join(folder, 'gone'), join(folder, 'out'));
    await expect(writeOutputs(join(folder, 'out'), files)).rejects.toThrow(/leads nowhere/);
    await expect(writeOutputs(join(folder, 'out/deeper'), files)).rejects.toEqual(
      coded('outputs/unwritable'),
    );
    expect(await readdir(folder)).toEqual(['out']);
  });

  test('a file where a folder is needed', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(writeOutputs(join(folder, 'file/out'), files)).rejects.toThrow(/not a directory/);
  });

  test('a name that is too long, and no folder stays that was made for it', async () => {
    const dir = join(folder, 'made', 'n'.repeat(250));
    await expect(writeOutputs(dir, files)).rejects.toThrow(/name is too long/);
    expect(await readdir(folder)).toEqual([]);
  });

  test.each([
    ['EACCES', 'outputs/unwritable'],
    ['EROFS', 'outputs/unwritable'],
    ['EBUSY', 'outputs/unwritable'],
    ['ESTRANGE', 'outputs/unwritable'],
    ['ENOSPC', 'outputs/no-space'],
    ['EDQUOT', 'outputs/no-space'],
  ])('%s is %s', (code, expected) => {
    const cause = Object.assign(new Error('no'), { code, syscall: 'write' });
    const said = asOutputError(cause, 'out');
    expect(said).toMatchObject({ code: expected, cause });
    expect((said as FirmwareError).cure).toMatch(/\w/);
  });

  test('an error that is not of the file system stays what it is', () => {
    const bug = new TypeError('ours');
    expect(asOutputError(bug, 'out')).toBe(bug);
  });
});

test('a link to a directory stays a link; the directory behind it is replaced', async () => {
  await mkdir(join(folder, 'real'));
  await symlink('real', join(folder, 'link'));
  await writeOutputs(join(folder, 'link'), files);
  expect(await readlink(join(folder, 'link'))).toBe('real');
  expect(await readdir(join(folder, 'real'))).toContain('boot.sh');
  expect((await readdir(folder)).toSorted()).toEqual(['link', 'real']);
});

test('permissions of a directory that is replaced stay', async () => {
  const dir = join(folder, 'out');
  await writeOutputs(dir, files);
  await chmod(dir, 0o700);
  await writeOutputs(dir, files);
  expect((await stat(dir)).mode & 0o777).toBe(0o700);
});

test('a directory that somebody works in stays the same directory', async () => {
  const dir = join(folder, 'out');
  await writeOutputs(dir, files, { products: ['disk0.img'] });
  await writeFile(join(dir, 'disk0.img'), 'old');
  await mkdir(join(dir, '.viommu-topo.new-1-dead'));
  const { ino } = await stat(dir);
  const script = `
    import { writeOutputs } from ${JSON.stringify(new URL('../../../src/firmware/index.ts', import.meta.url).pathname)};
    await writeOutputs('.', new Map([['viot.aml', 'x'], ['boot.sh', 'new']]));`;
  const file = join(folder, 'run.mts');
  await writeFile(file, script);
  const jiti = new URL('../../../node_modules/jiti/lib/jiti-cli.mjs', import.meta.url).pathname;
  execFileSync(process.execPath, [jiti, file], { cwd: dir });
  expect((await stat(dir)).ino).toBe(ino);
  expect((await readdir(dir)).toSorted()).toEqual([MARKER, 'boot.sh', 'viot.aml']);
  expect(await readFile(join(dir, 'boot.sh'), 'utf8')).toBe('new');
  expect(await readFile(join(dir, MARKER), 'utf8')).not.toContain('topology.dtb');
  await writeOutputs(dir, files);
  expect((await readdir(folder)).toSorted()).toEqual(['out', 'run.mts']);
});

test('what the outputs make is theirs, and goes with them', async () => {
  const dir = join(folder, 'out');
  await writeOutputs(dir, files, { products: ['disk0.img'] });
  await writeFile(join(dir, 'disk0.img'), 'sectors');
  await writeOutputs(dir, files, { products: ['disk0.img'] });
  expect((await readdir(dir)).toSorted()).toEqual([MARKER, 'boot.sh', 'topology.dtb']);
});
