import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FirmwareError, MARKER, writeOutputs } from '../../../src/firmware/index.ts';

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
