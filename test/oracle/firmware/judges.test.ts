import { beforeAll, describe, expect, test } from 'vitest';
import { writeFdt } from '../../../src/fdt/index.ts';
import { buildFirmware, mergeDeviceTree } from '../../../src/firmware/index.ts';
import { dtcCheck, dtcCompile } from '../../support/dtc.ts';
import { findIasl, roundTrip } from '../../support/iasl.ts';
import { LibfdtJudge } from '../../support/libfdt.ts';
import { dumpTree } from './dumpdtb.ts';
import { shipped, shippedModel } from '../../unit/firmware/shipped.ts';

const built = shipped.map((name) => {
  const model = shippedModel(name);
  return { name, model, firmware: buildFirmware(model) };
});
const trees = built.filter(({ firmware }) => firmware.dtb !== undefined);

/** Offsets of a table that iasl writes anew: checksum, creator and its revision. */
function comparable(table: Uint8Array): string {
  const copy = Buffer.from(table);
  copy[9] = 0;
  copy.fill(0, 0x1c, 0x24);
  return copy.toString('hex');
}

describe('device trees of all shipped topologies', () => {
  test.each(trees)('dtc with all checks on says nothing of $name', ({ firmware }) => {
    expect(dtcCheck(firmware.dtb ?? new Uint8Array())).toEqual([]);
  });

  test.each(trees)('dtc compiles the source of $name to the same bytes', ({ firmware }) => {
    const compiled = dtcCompile(firmware.dts ?? '');
    expect(Buffer.from(compiled).equals(firmware.dtb ?? new Uint8Array())).toBe(true);
  });

  test('libfdt finds each of them whole', () => {
    const judge = new LibfdtJudge();
    try {
      const blobs = trees.map(({ firmware }) => firmware.dtb ?? new Uint8Array());
      expect(judge.check(...blobs)).toEqual(blobs.map(() => 'ok'));
    } finally {
      judge.close();
    }
  });
});

describe('ACPI tables of all shipped topologies', () => {
  let iasl = '';
  beforeAll(async () => {
    iasl = await findIasl();
  }, 300_000);

  test.each(built)('iasl reads and rewrites those of $name', async ({ firmware }) => {
    for (const table of [firmware.viot, firmware.iort, firmware.mcfg]) {
      if (table === undefined) continue;
      const { aml, errors, warnings } = await roundTrip(iasl, table);
      expect({ errors, warnings }).toEqual({ errors: 0, warnings: 0 });
      expect(comparable(aml)).toBe(comparable(table));
    }
  });
});

describe('our IOMMUs in a tree that QEMU makes now (`-M virt,dumpdtb=`)', () => {
  test.each([
    ['gic-version=3', 'one-endpoint.yaml', []],
    ['gic-version=2', 'gicv2m.yaml', ['-device', 'virtio-iommu-pci']],
    ['gic-version=3', 'software-doorbell.yaml', []],
    ['gic-version=3', 'device-tree-regions.yaml', ['-device', 'virtio-iommu-pci']],
  ] as const)('%s with %s', (machine, name, devices) => {
    const model = shippedModel(name);
    const { description } = buildFirmware(model);
    const base = dumpTree(machine, devices);
    if (description.tree === undefined) throw new Error('no device tree');
    const merged = writeFdt(mergeDeviceTree(base, model, description.tree), { names: 'lax' });
    // QEMU's own names have underscores, which dtc advises against; it said so before the merge.
    const before = new Set(dtcCheck(base));
    expect(dtcCheck(merged).filter((line) => !before.has(line))).toEqual([]);
  });
});
