import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cli } from '../../support/cli.ts';

const ITS = join(import.meta.dirname, '../../../topologies/its.yaml');
const dir = mkdtempSync(join(tmpdir(), 'viommu-topo-explain-'));
const out = join(dir, 'out');
beforeAll(async () => {
  expect((await cli('build', ITS, '-o', out)).code).toBe(0);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('a topology, with an address', async () => {
  const { code, out: text } = await cli('explain', ITS, 'disk0', '0x8090040');
  expect(code).toBe(0);
  expect(text).toContain('by the device tree: translated: Linux 6.12 puts disk0');
  expect(text).toContain('iommu-map (offset 0x');
  expect(text).toContain('at 0x8090040: a write to 0x8090040 is an MSI');
});

test('a directory that build wrote, and single files of it', async () => {
  const all = await cli('explain', out, '0000:00:02.0', '--kernel-version', '7.3');
  expect(all.code).toBe(0);
  expect(all.out).toContain('by the device tree: translated: Linux 7.3');
  expect(all.out).toContain('by VIOT: translated');
  const viot = await cli('explain', join(out, 'viot.aml'), '0x10', '--with', join(out, 'mcfg.aml'));
  expect(viot.out).toContain('MCFG: buses 0x0-0xff');
  expect(viot.out).not.toContain('device tree');
});

test('firmware beside a topology replaces what the topology would write', async () => {
  const { out: text } = await cli('explain', ITS, 'disk0', '--with', join(out, 'viot.aml'));
  expect(text).toContain('by VIOT: translated');
  expect(text).not.toContain('by the device tree');
});

test('JSON', async () => {
  const { out: text } = await cli('explain', ITS, '0x10', '0x40000000', '--format', 'json');
  const value = JSON.parse(text) as { schema: number; explanations: Record<string, unknown>[] };
  expect(value.schema).toBe(1);
  expect(value.explanations).toHaveLength(1);
  expect(value.explanations[0]).toMatchObject({
    endpoint: { id: 'disk0', location: { kind: 'pci', segment: 0, rid: 16 } },
    conclusions: [
      { source: 'device-tree', translated: true },
      { source: 'viot', translated: true },
    ],
    address: { value: '0x40000000' },
  });
});

test.each([
  [['explain', ITS, 'nobody'], 'has no endpoint nobody', 'disk0'],
  [['explain', ITS, 'disk0', '--with', ITS], 'a second topology', 'name one'],
  [['explain', dir, 'disk0'], 'no device tree and no ACPI table', 'name a directory'],
  [['explain', join(dir, 'absent.dtb'), 'x'], 'cannot read', 'regular file'],
  [
    ['explain', join(out, 'viot.aml'), '0x10', '--with', join(out, 'viot.aml')],
    'of one kind',
    'one machine',
  ],
])('%j is refused', async (argv, message, cure) => {
  const { code, err } = await cli(...argv);
  expect(code).toBe(2);
  expect(err).toContain(message);
  expect(err).toContain(cure);
});

test.each(['0x1ffffffffffffffff', 'ten', '-1', ''])(
  'the address %j is refused',
  async (address) => {
    expect((await cli('explain', ITS, 'disk0', '--', address)).code).toBe(2);
  },
);

test('damaged firmware is a diagnostic', async () => {
  const bad = join(dir, 'bad.aml');
  writeFileSync(bad, Buffer.from('VIOT\x04\0\0\0'));
  const { code, err } = await cli('explain', bad, '0x10');
  expect(code).toBe(2);
  expect(err).toContain('bad.aml');
});
