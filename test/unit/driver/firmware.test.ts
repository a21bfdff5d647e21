import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  amlDevice,
  amlInteger,
  amlName,
  amlPackage,
  amlScope,
  amlString,
  writeDsdt,
} from '../../../src/acpi/index.ts';
import { FormatError } from '../../../src/bytes/index.ts';
import {
  readFirmware,
  KernelLog,
  type Asker,
  type FirmwareView,
} from '../../../src/driver/index.ts';
import { readAml } from '../../../src/driver/firmware/aml.ts';
import { readResources } from '../../../src/driver/firmware/resources.ts';
import { ACPI_TABLE_HEADER } from '../../../src/spec/acpi.ts';
import type { Model } from '../../../src/topology/index.ts';
import { firmwareOf, modelFrom, shippedModel } from '../../support/model-guest.ts';

const SHIPPED = readdirSync(join(import.meta.dirname, '../../../topologies'))
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => file.slice(0, -'.yaml'.length));

interface Read {
  readonly view: FirmwareView;
  readonly log: KernelLog;
}

function read(model: Model, kind: 'device-tree' | 'acpi'): Read {
  const log = new KernelLog();
  return { view: readFirmware(firmwareOf(model, kind), { log }), log };
}

/** A function right below a host. */
function pci(view: FirmwareView, segment: number, rid: number): Asker {
  const host = view.hosts.find(
    (one) => one.segment === segment && rid >> 8 >= one.buses.start && rid >> 8 <= one.buses.end,
  );
  if (host === undefined) throw new Error(`no host has ${segment}:${rid}`);
  return { kind: 'pci', host, rid, aliases: [], path: [rid & 0xff] };
}

describe('device tree and ACPI of one topology', () => {
  const both = SHIPPED.filter((name) => shippedModel(name).firmware.deviceTree);

  test.each(both)('%s: hosts, IOMMUs and doorbells are the same', (name) => {
    const model = shippedModel(name);
    const tree = read(model, 'device-tree').view;
    const acpi = read(model, 'acpi').view;
    acpi.settle(() => true);
    const plain = ({ hosts }: FirmwareView): unknown[] =>
      hosts.map(({ segment, buses, ecam, windows }) => ({
        segment,
        buses,
        ecam,
        windows: windows.toSorted((a, b) => (a.start < b.start ? -1 : 1)),
      }));
    expect(plain(acpi)).toEqual(plain(tree));
    for (const { location, endpointId, viommu } of model.endpoints) {
      if (location.kind === 'pci' && location.form !== 'function') continue;
      const of = (view: FirmwareView): Asker =>
        location.kind === 'platform'
          ? { kind: 'mmio', base: location.base }
          : pci(view, location.segment, location.rids.start);
      const expected = viommu === undefined ? [] : [endpointId];
      for (const view of [tree, acpi]) {
        const answer = view.iommu(of(view));
        expect(answer.kind === 'none' ? [] : answer.ids).toEqual(expected);
        expect(answer.kind === 'iommu').toBe(viommu !== undefined);
      }
      expect(stripped(acpi.msi(of(acpi)))).toEqual(stripped(tree.msi(of(tree))));
    }
  });

  test('INTx is routed alike', () => {
    const model = shippedModel('reserved-regions');
    const tree = read(model, 'device-tree').view;
    const acpi = read(model, 'acpi').view;
    const [host] = tree.hosts;
    const [other] = acpi.hosts;
    if (host === undefined || other === undefined) throw new Error('no host');
    for (let slot = 0; slot < 8; slot++) {
      for (let pin = 1; pin <= 4; pin++) {
        const line = 3 + ((slot + pin - 1) % 4);
        expect([tree.intx(host, slot, pin), acpi.intx(other, slot, pin)]).toEqual([line, line]);
      }
    }
  });

  /** MADT names the SPIs of a GICv2m frame, a tree leaves that to the frame. */
  function stripped(answer: ReturnType<FirmwareView['msi']>): object {
    const { spis: _, ...rest } = { spis: undefined, ...answer };
    return rest;
  }
});

describe('a device tree', () => {
  const two = (overrides: string): Model =>
    modelFrom(`
extends: virt-arm64
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints:
  - { id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: 4M } }
firmware: { overrides: ${overrides} }
`);
  const map = (rows: string): string => `{ hosts: { pcie0: { iommu-map: [${rows}] } } }`;

  test.each([
    [
      'the first of overlapping rows wins',
      map('[0x10, viommu0, 0x110, 1], [0, viommu0, 0, 0x8], [9, viommu0, 9, 0xff]'),
      [0x110],
      '',
    ],
    ['a gap is said', map('[0, viommu0, 0, 8]'), undefined, 'no iommu-map translation for id 0x10'],
    [
      'a bad length is said',
      map('[0, viommu0, 0, 8], [9, viommu0]'),
      undefined,
      'Bad iommu-map length: 24',
    ],
    ['a dangling phandle is not', map('[0, 0x7777, 0, 0x100]'), undefined, ''],
    [
      'a mask that drops bits is said',
      '{ hosts: { pcie0: { iommu-map: [[9, viommu0, 9, 0xff]], iommu-map-mask: 0xff00 } } }',
      undefined,
      'Invalid iommu-map translation',
    ],
    [
      'rows before the one that is thrown away count',
      '{ hosts: { pcie0: { iommu-map-mask: 0xff00 } } }',
      [0],
      '',
    ],
    ['a disabled IOMMU is none', '{ viommus: { viommu0: { status: disabled } } }', undefined, ''],
  ])('%s', (_, overrides, ids, said) => {
    const { view, log } = read(two(overrides), 'device-tree');
    const answer = view.iommu(pci(view, 0, 0x10));
    expect(answer.kind === 'iommu' ? answer.ids : undefined).toEqual(ids);
    const lines = log.lines.join('\n');
    expect(said === '' ? lines === '' : lines.includes(said), lines).toBe(true);
  });

  test('regions are those of a device that points to them', () => {
    const { view } = read(shippedModel('device-tree-regions'), 'device-tree');
    expect(view.regions(pci(view, 0, 0x10))).toEqual([
      { range: { start: 0xf000_0000n, end: 0xf0ff_ffffn }, type: 'reserved' },
    ]);
    expect(view.regions(pci(view, 0, 0x18))).toEqual([]);
    const direct = read(shippedModel('direct-region'), 'device-tree').view;
    expect(direct.regions(pci(direct, 0, 0x10))).toEqual([
      { range: { start: 0x5000_0000n, end: 0x500f_ffffn }, type: 'direct' },
    ]);
    expect(direct.reserved).toContainEqual({ start: 0x5000_0000n, end: 0x500f_ffffn });
  });

  test('without linux,pci-domain hosts are counted', () => {
    const model = shippedModel('segments');
    const hosts = Object.fromEntries(
      model.hosts.map(({ id }) => [id, { pciDomain: 'none' as const, places: {} }]),
    );
    const overrides = { hosts, viommus: {}, endpoints: {}, regions: {} };
    const { view } = read({ ...model, firmware: { ...model.firmware, overrides } }, 'device-tree');
    expect(view.hosts.map(({ segment }) => segment)).toEqual([0, 1, 2]);
  });
});

describe('VIOT', () => {
  const q35 = (nodes: string): Model =>
    modelFrom(`
extends: q35
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints: [{ id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: 4M } }]
firmware: { overrides: { viot: { nodes: [${nodes}] } } }
`);
  const range = (start: string): string =>
    `{ type: pci-range, endpoint-start: ${start}, segments: 0-0, rids: 00:00.0-ff:1f.7, output: 0 }`;

  test('the last of overlapping ranges wins', () => {
    const { view } = read(
      q35(`{ type: pci-iommu, at: 00:01.0 }, ${range('0')}, ${range('0x100')}`),
      'acpi',
    );
    view.settle(() => true);
    expect(view.iommu(pci(view, 0, 0x10))).toEqual({ kind: 'iommu', key: 'pci 0/8', ids: [0x110] });
    expect(view.iommu(pci(view, 0, 0x08))).toEqual({ kind: 'none' });
  });

  test('an IOMMU that is not there takes its ranges with it', () => {
    const { view, log } = read(q35(`{ type: pci-iommu, at: 00:0a.0 }, ${range('0')}`), 'acpi');
    view.settle((_, rid) => rid === 0x08 || rid === 0x10);
    expect(view.iommu(pci(view, 0, 0x10))).toEqual({ kind: 'none' });
    expect(log.lines.slice(-2)).toEqual([
      'ACPI: VIOT: Could not find PCI IOMMU',
      'ACPI: VIOT: No IOMMU node found',
    ]);
  });

  test('an MMIO IOMMU is found by its registers', () => {
    const { view } = read(shippedModel('platform-device'), 'acpi');
    view.settle(() => true);
    const key = view.iommuKey({ kind: 'mmio', base: 0xa00_0000n });
    expect(view.iommu({ kind: 'mmio', base: 0xa00_0200n })).toEqual({
      kind: 'iommu',
      key,
      ids: [0x1_0000],
    });
    expect(view.iommu({ kind: 'mmio', base: 0xa00_0400n })).toEqual({ kind: 'none' });
  });
});

describe('AML', () => {
  const code = (terms: readonly Uint8Array[]): Uint8Array =>
    writeDsdt(terms).subarray(ACPI_TABLE_HEADER.size);

  test('what the writer writes is read', () => {
    const device = amlDevice('DEV0', [
      amlName('_HID', amlString('LNRO0005')),
      amlName('_UID', amlInteger(0x1_0000_0000n)),
      amlName('LIST', amlPackage([amlInteger(0), amlInteger(1), amlInteger(300), amlString('x')])),
    ]);
    const [found, inner] = readAml(code([amlScope('\\_SB', [device, amlDevice('DEV1', [])])]));
    expect(found?.path).toBe('_SB_.DEV0');
    expect(inner?.path).toBe('_SB_.DEV1');
    expect(Object.fromEntries(found?.names ?? [])).toEqual({
      _HID: 'LNRO0005',
      _UID: 0x1_0000_0000n,
      LIST: [0n, 1n, 300n, 'x'],
    });
  });

  test('integers of every width', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
        const [device] = readAml(code([amlDevice('D000', [amlName('VAL_', amlInteger(value))])]));
        expect(device?.names.get('VAL_')).toBe(value);
      }),
    );
  });

  test('no bytes make it hang or throw anything but FormatError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 256 }), (bytes) => {
        for (const reader of [readAml, readResources]) {
          try {
            reader(bytes);
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});
