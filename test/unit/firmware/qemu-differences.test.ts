import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { buildFirmware, type Firmware } from '../../../src/firmware/index.ts';
import { loadTopology } from '../../../src/topology/index.ts';
import { treeDifferences, type Renames } from './tree-diff.ts';

const root = join(import.meta.dirname, '../../..');
const golden = join(root, 'test/golden');

/** The firmware of the topology that was written after a golden file's command line. */
function firmwareOf(name: string): Firmware {
  const { model, diagnostics } = loadTopology(join(golden, 'firmware', `${name}.yaml`));
  if (model === undefined) throw new Error(`${name}: ${JSON.stringify(diagnostics[0])}`);
  return buildFirmware(model);
}

// QEMU names nodes after devices, the schemas after what they do.
const RENAMES: Renames = [
  [/^\/pl011@/, '/serial@'],
  [/^\/pl031@/, '/rtc@'],
  [/^\/virtio_mmio@/, '/virtio@'],
  [/^\/pcie@10000000/, '/pcie@4010000000'],
  [/^\/intc@/, '/interrupt-controller@'],
  [/\/its@/, '/msi-controller@'],
  [/\/virtio_iommu@/, '/iommu@'],
];

/** Rows of the document's table: what differs, in which trees, and why. */
function explained(): { readonly what: RegExp; readonly text: string }[] {
  const document = readFileSync(join(root, 'docs/reference/firmware-differences.md'), 'utf8');
  return [...document.matchAll(/^\| `([^`]+)` *\| (.+?) *\|$/gm)].map(
    ([, pattern = '', why = '']) => {
      expect(why.length).toBeGreaterThan(10);
      const source = pattern
        .replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
        .replaceAll(String.raw`\*`, '[^ ]*');
      return { what: new RegExp(`^${source}$`), text: pattern };
    },
  );
}

const TREES = [
  ['virt-plain', 'virt-plain'],
  ['virt-viommu', 'virt-viommu'],
  ['virt-viommu', 'virt-viommu-gic2'],
  ['virt-viommu-gic3-noits', 'virt-viommu-gic3-noits'],
  ['virt-viommu-mmio', 'virt-viommu-mmio'],
  ['virt-viommu-pxb', 'virt-viommu-pxb'],
] as const;

describe("device trees beside QEMU's", () => {
  const found = TREES.map(([topology, tree]) => {
    const ours = firmwareOf(topology).dtb ?? new Uint8Array();
    const theirs = readFileSync(join(golden, 'fdt', `${tree}.dtb`));
    return [tree, treeDifferences(ours, theirs, RENAMES)] as const;
  });

  test.each(found)('%s: every difference is explained', (_, differences) => {
    const table = explained();
    const open = differences.filter((line) => !table.some(({ what }) => what.test(line)));
    expect(open).toEqual([]);
  });

  test('every explanation explains something', () => {
    const all = found.flatMap(([, differences]) => differences);
    expect(explained().length).toBeGreaterThan(20);
    const idle = explained().filter(({ what }) => !all.some((line) => what.test(line)));
    expect(idle.map(({ text }) => text)).toEqual([]);
  });
});

/** A table without its header, which has the names of whoever wrote it. */
function body(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? [])
    .subarray(36)
    .toString('hex');
}

describe("tables beside QEMU's", () => {
  test.each([
    ['pc-i440fx', 'pc-i440fx'],
    ['q35-basic', 'q35-basic'],
    ['q35-basic', 'q111-q35-awbits'],
    ['q35-3rootports', 'q35-3rootports'],
    ['q35-2pxb', 'q35-2pxb'],
    ['q35-2pxb-1bypass', 'q35-2pxb-1bypass'],
    ['q35-defbypass', 'q35-defbypass'],
    ['virt-viommu-acpi', 'virt-viommu'],
  ])('VIOT of %s is that of QEMU (%s), byte for byte', (topology, table) => {
    const theirs = readFileSync(join(golden, 'acpi/viot', `${table}.aml`));
    expect(body(firmwareOf(topology).viot)).toBe(body(theirs));
  });

  test('IORT of virt with an ITS is that of QEMU, byte for byte', () => {
    const theirs = readFileSync(join(golden, 'acpi/iort/virt-viommu.IORT.aml'));
    expect(body(firmwareOf('virt-viommu-its').iort)).toBe(body(theirs));
  });
});
