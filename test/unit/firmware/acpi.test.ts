import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  findAcpiTables,
  layOutTables,
  readViot,
  readXsdt,
  writeMcfg,
  writeTable,
} from '../../../src/acpi/index.ts';
import { sum8 } from '../../../src/bytes/index.ts';
import {
  buildFirmware,
  describeIort,
  describeMcfg,
  describeTree,
  describeViot,
  PADDING_PROPERTY,
  replaceTables,
  type Firmware,
} from '../../../src/firmware/index.ts';
import { loadTopology, parseTopology } from '../../../src/topology/index.ts';

const golden = join(import.meta.dirname, '../../golden/acpi');

/** The firmware of a text, whatever the rules say of it. */
function firmwareOf(...lines: readonly string[]): Firmware {
  const { model, diagnostics } = parseTopology(`${lines.join('\n')}\n`, 'test.yaml');
  if (model === undefined) throw new Error(JSON.stringify(diagnostics));
  return buildFirmware(model);
}

const Q35 = ['extends: q35', 'viommus:', '  - { id: viommu0, at: 00:01.0 }'];
const VIRT = ['extends: virt-arm64', 'viommus:', '  - { id: viommu0, at: 00:01.0 }'];

/** A VIOT of these nodes. */
function nodes(...list: readonly string[]): Uint8Array {
  const lines = list.map((node) => `        - ${node}`);
  const { viot } = firmwareOf(
    ...Q35,
    'firmware:',
    '  overrides:',
    '    viot:',
    '      nodes:',
    ...lines,
  );
  return viot ?? new Uint8Array();
}

/** A vIOMMU that is described otherwise than it is. */
const override = (text: string): Firmware =>
  firmwareOf(...VIRT, 'firmware:', '  overrides:', '    viommus:', `      viommu0: ${text}`);

describe("our VIOT beside QEMU's other tables (acpi_rsdp=)", () => {
  const theirs = readFileSync(join(golden, 'viot/q35-basic.aml'));
  const other = writeTable('HPET', 1, new Uint8Array(20));
  const machine = layOutTables(0x7fe_0000n, [writeMcfg([]), theirs, other]);
  const ours = firmwareOf(...Q35).viot ?? new Uint8Array();
  const blob = replaceTables([machine], 0x800_0000n, [ours]);

  test('lists every table of the machine but the VIOT, where it is, and ours', () => {
    const found = findAcpiTables([machine, blob], blob.rsdpAddress);
    expect(found.problems).toEqual([]);
    expect(found.tables.map(({ signature }) => signature)).toEqual(['MCFG', 'HPET', 'VIOT']);
    const addresses = new Map(machine.tables.map(({ signature, address }) => [signature, address]));
    expect(found.tables[0]?.address).toBe(addresses.get('MCFG'));
    expect(found.tables[1]?.address).toBe(addresses.get('HPET'));
    const viot = found.tables[2];
    expect(viot?.address).toBeGreaterThan(blob.base);
    expect(Buffer.from(viot?.bytes ?? []).equals(ours)).toBe(true);
    expect(readXsdt(found.root.bytes).addresses).toHaveLength(3);
  });

  test('memory without tables is refused', () => {
    const empty = { base: 0n, bytes: new Uint8Array(0x1000) };
    expect(() => replaceTables([empty], 0x1000n, [ours])).toThrow(/no RSDP/);
  });
});

describe('IORT and MCFG', () => {
  test('requester IDs are DeviceIDs of the ITS, in tree and table alike', () => {
    const { iort, dtb } = firmwareOf(...VIRT);
    const [complex] = describeIort(iort ?? new Uint8Array(), 'iort').rootComplexes;
    const [host] = describeTree(dtb ?? new Uint8Array(), 'dtb').hosts;
    const [row] = host?.msiMap?.rows ?? [];
    expect(complex?.mappings).toMatchObject([
      { input: { start: 0, end: 0xffff }, outputBase: 0, target: 'its' },
    ]);
    expect(row).toMatchObject({ ridBase: 0, outputBase: 0, length: 0x1_0000 });
  });

  test('one ID too many, when asked for', () => {
    const { iort } = firmwareOf(
      ...VIRT,
      'firmware:',
      '  overrides:',
      '    iort: { id-count-delta: 1 }',
    );
    const { rootComplexes } = describeIort(iort ?? new Uint8Array(), 'iort');
    expect(rootComplexes[0]?.mappings[0]?.input.end).toBe(0x1_0000);
  });

  test("QEMU's SMMUv3 is told from an ITS", () => {
    const bytes = readFileSync(join(golden, 'iort/virt-smmuv3.IORT.aml'));
    const { rootComplexes } = describeIort(bytes, 'iort');
    expect(rootComplexes[0]?.mappings.map(({ target }) => target)).toContain('smmu');
  });

  test('MCFG has the address of bus 0, and places at its entries', () => {
    const { mcfg } = firmwareOf(...Q35);
    expect(describeMcfg(mcfg ?? new Uint8Array(), 'mcfg').hosts).toMatchObject([
      { segment: 0, buses: { start: 0, end: 0xff }, ecam: 0xb000_0000n, place: { offset: 44 } },
    ]);
  });
});

describe('a VIOT that is wrong on purpose has these bytes', () => {
  const IOMMU = '{ type: pci-iommu, at: 00:01.0 }';
  const RANGE =
    '{ type: pci-range, endpoint-start: 0, segments: 0-0, rids: 00:00.0-00:1f.7, output: 0 }';

  test('a wrong count and a wrong offset', () => {
    const { viot } = firmwareOf(
      ...Q35,
      'firmware:',
      '  overrides:',
      '    viot: { node-count: 9, node-offset: 40 }',
    );
    const bytes = viot ?? new Uint8Array();
    expect(Buffer.from(bytes).subarray(36, 40).toString('hex')).toBe('09002800');
    expect(bytes).toHaveLength(88);
    expect(sum8(bytes)).toBe(0);
  });

  test('a node that is too short stops a kernel, but what follows is there', () => {
    const short = RANGE.replace(' }', ', length: 20 }');
    const bytes = nodes(IOMMU, short, RANGE);
    expect(bytes).toHaveLength(48 + 16 + 24 + 24);
    expect(Buffer.from(bytes).readUInt16LE(48 + 16 + 2)).toBe(20);
    expect(readViot(bytes).problems.map(({ code }) => code)).toContain('viot/node-size');
    expect(describeViot(bytes, 'x').nodes).toHaveLength(1);
  });

  test('a node of length 0', () => {
    const bytes = nodes(IOMMU, RANGE.replace(' }', ', length: 0 }'));
    expect(readViot(bytes).problems.map(({ code }) => code)).toContain('viot/empty-node');
  });

  test('a longer node is followed by the next where its length says', () => {
    const bytes = nodes(IOMMU, RANGE.replace(' }', ', length: 32 }'), RANGE);
    expect(describeViot(bytes, 'x').nodes.map(({ offset }) => offset)).toEqual([48, 64, 96]);
  });

  test('a node of a type that nobody knows', () => {
    const { nodes: read } = describeViot(nodes(IOMMU, '{ type: unknown, number: 9 }', RANGE), 'x');
    expect(read.map(({ type }) => type)).toEqual(['pci-iommu', 'unknown', 'pci-range']);
  });
});

describe('a device tree that is wrong on purpose', () => {
  test('padding makes it too large for QEMU', () => {
    const { dtb, tree } = firmwareOf(...VIRT, 'firmware:', '  overrides:', '    padding: 1M');
    expect(dtb?.length).toBeGreaterThan(1 << 20);
    expect(tree?.bytes(PADDING_PROPERTY)).toHaveLength(1 << 20);
  });

  test('a map of seven cells has those seven cells', () => {
    const { dtb } = firmwareOf(
      ...VIRT,
      'firmware:',
      '  overrides:',
      '    hosts:',
      '      pcie0: { iommu-map: [[0x0, viommu0, 0x0, 0x8], [0x9, 0x77, 0x55]] }',
    );
    const bytes = Buffer.from(dtb ?? []);
    const [host] = describeTree(bytes, 'x').hosts;
    expect(host?.iommuMap).toMatchObject({ leftover: 3, bytes: 28 });
    const place = host?.iommuMap?.place;
    const at = place !== undefined && 'offset' in place ? (place.offset ?? 0) : 0;
    expect(bytes.subarray(at + 16, at + 28).toString('hex')).toBe('000000090000007700000055');
  });

  test('a vIOMMU without a node, without #iommu-cells, or disabled', () => {
    const read = (text: string): unknown =>
      describeTree(override(text).dtb ?? new Uint8Array(), 'x').iommus[0];
    expect(read('{ "#iommu-cells": none }')).not.toHaveProperty('iommuCells');
    expect(read('{ status: disabled }')).toMatchObject({ enabled: false });
    expect(read('{ reg: 0x1800 }')).toMatchObject({ location: { rid: 0x18 } });
  });
});

describe('every bad topology that resolves', () => {
  const folder = join(import.meta.dirname, '../../../topologies/invalid');
  const bad = readdirSync(folder).filter((name) => name.endsWith('.yaml'));

  test.each(bad)('%s can be built, to show what a kernel does with it', (name) => {
    const { model } = loadTopology(join(folder, name));
    if (model === undefined) return;
    if (name === 'viot-too-large.yaml') {
      expect(() => buildFirmware(model)).toThrow(
        /VIOT cannot hold this topology: .* does not fit u16/,
      );
      return;
    }
    const { files, dtb } = buildFirmware(model);
    expect(files.size).toBeGreaterThan(1);
    if (dtb !== undefined) expect(describeTree(dtb, name).hosts.length).toBe(model.hosts.length);
  });
});
