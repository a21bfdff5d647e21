import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { readFdt, walk, writeFdt } from '../../src/fdt/index.ts';
import { buildFirmware } from '../../src/firmware/index.ts';
import type { Verdict } from '../../src/scenario/index.ts';
import type { Model } from '../../src/topology/index.ts';
import { boot, shipped, shown } from './boot-helper.ts';

/** Firmware that `build -o DIR` wrote and somebody edited: `boot --firmware-from DIR`. */

const directories: string[] = [];

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

/** Boots on the model's own files, one of them changed. */
async function edited(
  model: Model,
  name: string,
  edit: (bytes: Uint8Array) => Uint8Array,
): Promise<Verdict> {
  const directory = mkdtempSync(join(tmpdir(), 'viommu-topo-edited-'));
  directories.push(directory);
  for (const [file, content] of buildFirmware(model).files) {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    writeFileSync(join(directory, file), file === name ? edit(Uint8Array.from(bytes)) : bytes);
  }
  return boot(model, { firmwareFrom: directory, silence: 30 });
}

test('untouched, it passes', async () => {
  const verdict = await edited(shipped('one-endpoint'), 'topology.dts', (bytes) => bytes);
  expect(shown(verdict)).toContain('PASS one-endpoint');
});

test('a doorbell at the wrong address', async () => {
  const model = shipped('gicv2m');
  const verdict = await edited(model, 'topology.dtb', (bytes) => {
    const { tree } = readFdt(bytes);
    const [frame] = Array.from(walk(tree), ({ node }) => node).filter((node) =>
      node.name.startsWith('v2m'),
    );
    const reg = frame?.bytes('reg');
    if (frame === undefined || reg === undefined) throw new Error('the tree has no v2m frame');
    const moved = Buffer.from(reg);
    // Address of two cells: 0x8020000 becomes 0x8040000, where nothing answers.
    moved.writeUInt32BE(0x0804_0000, 4);
    frame.set('reg', new Uint8Array(moved));
    return writeFdt(tree, { names: 'lax' });
  });
  expect(verdict.causes[0]?.id, shown(verdict)).toBe('doorbell-address');
  expect(verdict.causes[0]?.message).toContain('0x8040000');
  expect(verdict.causes[0]?.message).toContain('v2m0 is at 0x8020000');
});

test('a VIOT whose bytes were changed', async () => {
  const verdict = await edited(shipped('q35-one-endpoint'), 'viot.aml', (bytes) => {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    // The first node is the IOMMU at 00:01.0; its BDF is 6 bytes into it.
    expect(view.readUInt16LE(48 + 6)).toBe(0x0008);
    view.writeUInt16LE(0x0010, 48 + 6);
    bytes[9] = ((bytes[9] ?? 0) - 8) & 0xff;
    return bytes;
  });
  expect(verdict.causes[0]?.id, shown(verdict)).toBe('viot-iommu-is-another-device');
  expect(verdict.causes[0]?.message).toContain('00:02.0 is the virtio-iommu, but that is disk0');
});

test('the number of VIOT nodes is one too few: the range is lost', async () => {
  const verdict = await edited(shipped('q35-one-endpoint'), 'viot.aml', (bytes) => {
    const count = bytes[36] ?? 0;
    bytes[36] = count - 1;
    bytes[9] = ((bytes[9] ?? 0) + 1) & 0xff;
    return bytes;
  });
  expect(verdict.outcome, shown(verdict)).toBe('fail');
  expect(['viot-form', 'viot-gap']).toContain(verdict.causes[0]?.id);
});
