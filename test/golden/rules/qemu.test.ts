import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { describeIort, describeTree, describeViot } from '../../../src/firmware/index.ts';
import { checkFacts, loadTopology, type Facts, type KernelVersion } from '../../../src/topology/index.ts';

/** Every finding in firmware that QEMU made: its known quirks, and not one error. */
const QUIRKS: Readonly<Record<string, readonly string[]>> = {
  // GICv2m takes no DeviceID, and yet QEMU maps to it.
  'fdt/virt-plain.dtb': ['warning msi-cells'],
  'fdt/virt-viommu.dtb': ['warning msi-cells'],
  'fdt/virt-viommu-gic2.dtb': ['warning msi-cells'],
  // A pxb whose bus number the root ports of the main bus reach too.
  'acpi/viot/q35-pxb-overlap.aml': ['warning viot-range-overlap'],
  // id_count one too large before a pxb that bypasses.
  'acpi/iort/virt-smmuv3.IORT.aml': ['warning iort-overlap'],
};

const KERNELS: readonly KernelVersion[] = [
  { major: 6, minor: 12 },
  { major: 7, minor: 3 },
];

function factsOf(name: string): Omit<Facts, 'kernel' | 'guestPage'> {
  const bytes = readFileSync(`test/golden/${name}`);
  if (name.endsWith('.dtb')) return { tree: describeTree(bytes, name) };
  if (name.includes('IORT')) return { iort: describeIort(bytes, name) };
  return { viot: describeViot(bytes, name) };
}

/** Topologies of the same machines, whose descriptions have names instead of paths. */
const TOPOLOGIES: readonly (readonly [string, string])[] = [
  ['topologies/gicv2m.yaml', 'fdt/virt-viommu-gic2.dtb'],
  ['topologies/gicv2m.yaml', 'fdt/virt-viommu.dtb'],
  ['topologies/q35-one-endpoint.yaml', 'acpi/viot/q35-basic.aml'],
];

function golden(folder: string, ending: string): string[] {
  const names = readdirSync(`test/golden/${folder}`).filter((one) => one.endsWith(ending));
  return names.map((one) => `${folder}/${one}`);
}

describe('firmware that QEMU made', () => {
  const files = [
    ...golden('fdt', '.dtb'),
    ...golden('acpi/viot', '.aml'),
    ...golden('acpi/iort', '.aml'),
  ];

  it.each(files)('%s has no more than the known quirks', (name) => {
    for (const kernel of KERNELS) {
      const found = checkFacts({ ...factsOf(name), kernel, guestPage: 0x1000n });
      expect(found.map((one) => `${one.severity} ${one.rule}`)).toEqual(QUIRKS[name] ?? []);
      for (const { place } of found) expect(['tree', 'table']).toContain(place.kind);
    }
  });
});

describe('a topology beside the firmware of QEMU', () => {
  it.each(TOPOLOGIES)('%s and %s agree on every device', (file, name) => {
    const { facts } = loadTopology(file);
    if (facts?.model === undefined) throw new Error(`${file} has errors`);
    const { model, kernel, guestPage } = facts;
    const found = checkFacts({ model, kernel, guestPage, ...factsOf(name) });
    const errors = found.filter((one) => one.severity === 'error');
    expect(errors.map((one) => `${one.rule}: ${one.message}`)).toEqual([]);
  });
});
