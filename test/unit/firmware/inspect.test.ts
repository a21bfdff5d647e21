import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../src/bytes/index.ts';
import {
  buildFirmware,
  coveredByHost,
  coveredByViot,
  inspect,
  inspectionText,
  toTopologyYaml,
  type Inspection,
} from '../../../src/firmware/index.ts';
import {
  parseTopology,
  type Model,
  type ViotDescription,
  type ViotNode,
} from '../../../src/topology/index.ts';
import { here, treeHost } from './fixture.ts';
import { shipped, shippedModel } from './shipped.ts';

const golden = join(import.meta.dirname, '../../golden');

/** Coverage with vIOMMUs by where they are, since names do not survive in firmware. */
function coverage(model: Model): string[] {
  const where = new Map(
    model.viommus.map(({ id, transport }) => [
      id,
      transport.kind === 'pci' ? `${transport.segment}:${transport.rid}` : `${transport.base}`,
    ]),
  );
  return model.coverage.map(({ segment, rids, viommu, endpointId }) => {
    return `${segment}:${rids.start}-${rids.end} ${where.get(viommu)} ${endpointId}`;
  });
}

function platforms(model: Model): unknown[] {
  return model.endpoints.flatMap(({ location, endpointId }) =>
    location.kind === 'platform' && endpointId !== undefined ? [[location.base, endpointId]] : [],
  );
}

function regions(model: Model): unknown[] {
  return model.reserved
    .filter(({ via }) => via.includes('device-tree'))
    .map(({ range, type, physical }) => [range, type, physical]);
}

function again(inspections: readonly Inspection[]): Model {
  const text = toTopologyYaml(inspections, 'again');
  const { model, diagnostics } = parseTopology(text, 'again.yaml');
  if (model === undefined) throw new Error(`${JSON.stringify(diagnostics)}\n${text}`);
  return model;
}

describe.each(shipped)('%s, built, inspected as YAML and loaded again', (name) => {
  const model = shippedModel(name);
  const { dtb, viot, iort, mcfg } = buildFirmware(model);

  test('from its tree', () => {
    if (dtb === undefined) return;
    const loaded = again([inspect(dtb, 'topology.dtb')]);
    expect(coverage(loaded)).toEqual(coverage(model));
    expect(platforms(loaded)).toEqual(platforms(model));
    expect(regions(loaded)).toEqual(regions(model));
    expect(loaded.memory).toEqual(model.memory);
    expect(loaded.hosts.map(({ ecam, mem32 }) => [ecam, mem32])).toEqual(
      model.hosts.map(({ ecam, mem32 }) => [ecam, mem32]),
    );
  });

  test('from its tables', () => {
    if (viot === undefined) return;
    const tables = [viot, iort, mcfg].filter((table) => table !== undefined);
    const loaded = again(tables.map((table) => inspect(table, 'table.aml')));
    expect(coverage(loaded)).toEqual(coverage(model));
    expect(platforms(loaded)).toEqual(platforms(model));
  });
});

describe('what is easily lost on the way', () => {
  function model(text: string): Model {
    const { model: found, diagnostics } = parseTopology(text, 'x.yaml');
    if (found === undefined) throw new Error(JSON.stringify(diagnostics));
    return found;
  }

  test('SPIs of a GICv2m frame', () => {
    const v2m = (spis: string): Model =>
      model(
        'extends: virt-arm64-gicv2\nviommus: [{ id: v0, at: 00:01.0 }]\n' +
          `doorbells: [{ id: v2m0, kind: gicv2m, base: 0x8020000${spis} }]\n`,
      );
    const stated = v2m(', spis: 100-131');
    const { dtb = Buffer.alloc(0) } = buildFirmware(stated);
    expect(again([inspect(dtb, 'x')]).doorbells[0]?.spis).toEqual({ base: 68, count: 32 });
    expect(stated.doorbells[0]?.spis).toEqual({ base: 68, count: 32 });
    // Those of QEMU's frame are not in QEMU's tree, nor in ours.
    const { dtb: usual = Buffer.alloc(0) } = buildFirmware(v2m(''));
    expect(Buffer.from(usual).includes('arm,msi-base-spi')).toBe(false);
    expect(again([inspect(usual, 'x')]).doorbells[0]?.spis).toEqual({ base: 48, count: 64 });
  });

  const twoHosts = (doorbell: string): Model =>
    model(
      'extends: virt-arm64\nviommus: [{ id: v0, at: 0001:10:01.0 }]\n' +
        'pci:\n  hosts:\n    - { id: pcie0, buses: 0x00-0x0f, viommu: none }\n' +
        `    - { id: p1, kind: pxb, segment: 1, buses: 0x10-0x1f, viommu: v0, ${doorbell} }\n`,
    );

  test('a host whose MSIs go nowhere', () => {
    const { viot, iort, mcfg } = buildFirmware(twoHosts('doorbell: none'));
    const tables = [viot, iort, mcfg].filter((table) => table !== undefined);
    const loaded = again(tables.map((table) => inspect(table, 'table.aml')));
    expect(loaded.hosts.map(({ doorbell }) => doorbell)).toEqual(['doorbell0', undefined]);
  });

  test('the segment of a vIOMMU and of what it translates, in the table', () => {
    const { dtb = Buffer.alloc(0), viot = Buffer.alloc(0) } = buildFirmware(
      twoHosts('doorbell: its0'),
    );
    const text = inspectionText(inspect(dtb, 'x.dtb'));
    expect(text).toMatch(/virtio-iommu {2}0001:10:01\.0 /);
    expect(text).toContain('0001:10:00.0-0001:10:00.7  endpoints');
    const table = inspectionText(inspect(viot, 'viot.aml'));
    expect(table).toContain('0001:10:00.0-0001:10:00.7  endpoints');
  });

  test('a tree without CPUs, memory or hosts', () => {
    const { dtb = Buffer.alloc(0) } = buildFirmware(twoHosts('doorbell: its0'));
    const found = inspect(dtb, 'x');
    if (found.format !== 'dtb') throw new Error('no tree');
    const { gic: _, ...machine } = { ...found.machine, cpus: 0 };
    const tree = { ...found.tree, hosts: [], iommus: [], memory: [], msiControllers: [] };
    const text = toTopologyYaml([{ ...found, tree, machine }], 'again');
    expect(text).not.toMatch(/^(machine|pci):/m);
    expect(parseTopology(text, 'again.yaml').diagnostics).toEqual([]);
  });

  test('a VIOT that names no segment still makes a topology', () => {
    const bytes = readFileSync(join(golden, 'acpi/viot/q35-basic.aml'));
    const found = inspect(bytes, 'x');
    if (found.format !== 'viot') throw new Error('no VIOT');
    const empty = { ...found, viot: { ...found.viot, nodes: [] } };
    const text = toTopologyYaml([empty], 'again');
    expect(text).not.toContain('pci:');
    expect(parseTopology(text, 'again.yaml').diagnostics).toEqual([]);
  });
});

describe('formats', () => {
  test.each([
    ['fdt/virt-viommu.dtb', 'dtb'],
    ['acpi/viot/q35-2pxb.aml', 'viot'],
    ['acpi/iort/virt-smmuv3.IORT.aml', 'iort'],
  ])('%s is %s', (file, format) => {
    expect(inspect(readFileSync(join(golden, file)), file).format).toBe(format);
  });

  test('the text of a VIOT of QEMU', () => {
    const bytes = readFileSync(join(golden, 'acpi/viot/q35-pxb-overlap.aml'));
    const text = inspectionText(inspect(bytes, 'viot.aml'));
    expect(text).toMatch(/ACPI VIOT, 112 bytes, revision 0, OEM "BOCHS" "BXPC"/);
    expect(text).toContain('0x0030  PCI IOMMU      00:01.0');
    expect(text).toContain('00:00.0-00:00.7  endpoints 0x0-0x7  node at 0x30');
    expect(text).toContain('viot/');
  });

  test.each([
    ['nothing', new Uint8Array(0)],
    ['text', Buffer.from('extends: virt-arm64\n')],
    ['an ELF file', Buffer.concat([Buffer.from('7f454c46', 'hex'), Buffer.alloc(64)])],
  ])('%s is refused', (_, bytes) => {
    expect(() => inspect(bytes, 'x')).toThrow(FormatError);
    expect(() => inspect(bytes, 'x')).toThrow(/neither a device tree/);
  });

  test('a VIOT that ends in its header names the offset', () => {
    const bytes = readFileSync(join(golden, 'acpi/viot/q35-basic.aml')).subarray(0, 20);
    expect(() => inspect(bytes, 'x')).toThrow(/at offset 0x/);
  });

  test('an IORT alone makes no topology', () => {
    const bytes = readFileSync(join(golden, 'acpi/iort/virt-viommu.IORT.aml'));
    expect(() => toTopologyYaml([inspect(bytes, 'x')], 'x')).toThrow(/neither a device tree nor/);
  });
});

describe('coverage, against looking up each requester ID by itself', () => {
  const row = fc.tuple(fc.nat(0x3ff), fc.nat(0xffff), fc.nat(0x200));

  test('of an iommu-map: the first row wins', () => {
    fc.assert(
      fc.property(fc.array(row, { maxLength: 12 }), (rows) => {
        const buses = { start: 0, end: 3 };
        const covered = coveredByHost(treeHost(rows, { buses }));
        for (let rid = 0; rid < 0x400; rid++) {
          const first = rows.find(([base, , length]) => base <= rid && rid < base + length);
          const expected = first && first[1] + (rid - first[0]);
          const run = covered.find(({ rids }) => rids.start <= rid && rid <= rids.end);
          expect(run && run.endpointId + (rid - run.rids.start)).toBe(expected);
        }
        for (const [index, run] of covered.entries()) {
          expect(run.rids.start).toBeGreaterThan(covered[index - 1]?.rids.end ?? -1);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('of rows beyond 16 bits, beyond the buses, and of no length', () => {
    const rows = [
      [0xffff_ffff, 0, 0xffff_ffff],
      [0x1_0000, 0, 1],
      [0x200, 0, 0],
      [0xff, 7, 2],
    ] as const;
    expect(coveredByHost(treeHost(rows, { buses: { start: 0, end: 0 } }))).toEqual([
      { rids: { start: 0xff, end: 0xff }, iommu: 'viommu0', endpointId: 7 },
    ]);
    const nowhere = { start: 0xffff_ffff, end: 0xffff_ffff };
    expect(coveredByHost(treeHost(rows, { buses: nowhere }))).toEqual([]);
  });

  test('of an iommu-map with a mask: device and function only', () => {
    const host = treeHost([[0, 0x100, 0x100]], {
      buses: { start: 0, end: 1 },
      iommuMapMask: { value: 0xff, place: here },
    });
    expect(coveredByHost(host)).toEqual([
      { rids: { start: 0, end: 0xff }, iommu: 'viommu0', endpointId: 0x100 },
      { rids: { start: 0x100, end: 0x1ff }, iommu: 'viommu0', endpointId: 0x100 },
    ]);
    // A row whose base the mask would change makes Linux ignore the map.
    const bad = treeHost([[0x100, 0, 1]], { iommuMapMask: { value: 0xff, place: here } });
    expect(coveredByHost(bad)).toEqual([]);
  });

  test('of a VIOT: the last node wins, and an IOMMU is not behind itself', () => {
    const iommu: ViotNode = { type: 'pci-iommu', offset: 48, segment: 0, rid: 8, place: here };
    fc.assert(
      fc.property(fc.array(row, { maxLength: 12 }), (rows) => {
        const ranges = rows.map(([start, endpointStart, length]): ViotNode => ({
          type: 'pci-range',
          offset: 0,
          endpointStart,
          segments: { start: 0, end: 0 },
          rids: { start, end: start + length },
          output: 48,
          place: here,
        }));
        const viot: ViotDescription = {
          nodes: [iommu, ...ranges],
          nodeCount: rows.length + 1,
          nodeOffset: 48,
          formProblems: [],
          place: here,
        };
        const covered = coveredByViot(viot, 0);
        for (let rid = 0; rid < 0x700; rid++) {
          const last = rows.findLast(([base, , length]) => base <= rid && rid <= base + length);
          const expected = rid === 8 ? undefined : last && last[1] + (rid - last[0]);
          const run = covered.find(({ rids }) => rids.start <= rid && rid <= rids.end);
          expect(run && run.endpointId + (rid - run.rids.start)).toBe(expected);
        }
      }),
      { numRuns: 60 },
    );
  });
});
