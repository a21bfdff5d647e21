import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, expect, test } from 'vitest';

import { readKernel } from '../../../src/backends/emulator-kernel.ts';

const dir = mkdtempSync(join(tmpdir(), 'viommu-topo-kernel-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function file(name: string, bytes: Uint8Array | string): string {
  const path = join(dir, name);
  writeFileSync(path, bytes);
  return path;
}

function image(text = '', at = 0): Buffer {
  const bytes = Buffer.alloc(4096);
  bytes.writeUInt32LE(text === '' ? 0x644d_5241 : 0, 56);
  bytes.writeUInt32LE(4096, 16);
  bytes.write(text, at, 'latin1');
  return bytes;
}

test('an Image is read as it is, and unpacked where gzip packed it', async () => {
  expect(Buffer.from(await readKernel(file('Image', image()))).equals(image())).toBe(true);
  const packed = await readKernel(file('Image.gz', gzipSync(image())));
  expect(Buffer.from(packed).equals(image())).toBe(true);
});

test.each([
  ['x86', image('HdrS', 0x202), 'it is an x86 kernel'],
  ['elf', image('\u007fELF'), 'it is an ELF file'],
  ['zboot', image('zimg', 4), 'it is an EFI zboot image'],
  ['empty', '', '64 bytes needed'],
  ['noise', Buffer.alloc(4096, 0x5a), 'no arm64 Image'],
  ['cut.gz', gzipSync(image()).subarray(0, 30), 'unexpected end of file'],
])('%s: named, with a cure', async (name, bytes, says) => {
  const path = file(name, bytes);
  const failed = await readKernel(path).catch((error: unknown) => error);
  expect(failed).toMatchObject({ code: 'env/kernel-unsuitable' });
  expect(String(failed)).toContain(path);
  expect(String(failed)).toContain(says);
});
