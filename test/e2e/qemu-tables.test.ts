import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { ViotBuilder } from '../../src/acpi/index.ts';
import { fetchGuest } from '../../src/guest/index.ts';
import {
  buildCommand,
  commandArgv,
  findQemu,
  ownTablesBlob,
  qemuTables,
  startQemu,
  workDirectory,
  type FileName,
  type PlacedTable,
} from '../../src/qemu/index.ts';
import { loadTopology } from '../../src/topology/index.ts';

const { model } = loadTopology('topologies/q35-one-endpoint.yaml');
if (model === undefined) throw new Error('the topology does not load');
let placed: PlacedTable[] = [];
const work = await workDirectory();
afterAll(work.remove);

beforeAll(async () => {
  placed = await qemuTables(model, await findQemu('x86-64'));
});

describe("QEMU's tables", () => {
  test('are all there, whole, with right checksums', () => {
    const names = placed.map((table) => table.signature);
    for (const name of ['FACP', 'APIC', 'MCFG', 'VIOT']) expect(names).toContain(name);
    for (const { bytes } of placed) {
      expect(bytes.reduce((sum, byte) => (sum + byte) & 0xff, 0)).toBe(0);
      expect(Buffer.from(bytes).readUInt32LE(4)).toBe(bytes.length);
    }
  });

  test("describe the vIOMMU as QEMU's golden table does", () => {
    const viot = placed.find((table) => table.signature === 'VIOT');
    const golden = readFileSync('test/golden/acpi/viot/q35-basic.aml');
    expect(Buffer.from(viot?.bytes ?? []).subarray(36)).toEqual(golden.subarray(36));
  });
});

describe('tables of ours', () => {
  test('are what a stock kernel sees, VIOT of ours among them', async () => {
    const builder = new ViotBuilder();
    const iommu = builder.addPciIommu({ segment: 0, bdf: 0x0008 });
    // Another range than QEMU's own table has, so that the log tells whose was read.
    builder.addPciRange({
      output: iommu,
      endpointStart: 0x10,
      segmentStart: 0,
      segmentEnd: 0,
      bdfStart: 0x10,
      bdfEnd: 0x10,
    });
    const guest = await fetchGuest('amd64');
    const viot = builder.build();
    const command = buildCommand(model, {
      version: { major: 7, minor: 2, micro: 0 },
      append: 'console=ttyS0 panic=-1',
      ownTables: true,
    });
    const files = new Map<FileName, string>([
      ['kernel', guest.kernel],
      ['initrd', join(work.path, 'empty.cpio')],
      ['acpi-tables', join(work.path, 'acpi.bin')],
    ]);
    writeFileSync(join(work.path, 'empty.cpio'), '');
    writeFileSync(join(work.path, 'acpi.bin'), ownTablesBlob(placed, new Map([['VIOT', viot]])));
    for (const { endpoint } of command.disks) {
      files.set(`disk:${endpoint}`, join(work.path, 'disk.img'));
      writeFileSync(join(work.path, 'disk.img'), Buffer.alloc(4096));
    }
    const lines: string[] = [];
    const qemu = await startQemu({
      program: (await findQemu('x86-64')).path,
      args: commandArgv(command, { files, accel: 'tcg', cpu: 'qemu64' }),
      console: (line) => lines.push(line),
      timeLimit: 120_000,
    });
    await qemu.exit;
    const log = lines.join('\n');
    // Linux prints each table's address, length and OEM: ours lies in our blob.
    expect(log).toMatch(/ACPI: RSDP 0x0000000008000000 .*VIOMMU/);
    expect(log).toMatch(/ACPI: VIOT 0x0000000008000[0-9A-F]{3} .*VIOMMU/);
    expect(log).toMatch(/ACPI: FACP 0x[0-9A-F]+ .*BOCHS/);
    expect(log).toContain('Kernel panic - not syncing: VFS');
  });
});
