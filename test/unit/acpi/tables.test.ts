import { describe, expect, it } from 'vitest';
import * as acpi from '../../../src/acpi/index.ts';
import * as sample from '../../support/acpi-samples.ts';

const BASE = 0x4400_0000n;
const sum = (bytes: Uint8Array): number => bytes.reduce((a, b) => (a + b) & 0xff, 0);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const latin1 = (path: string): string => Buffer.from(acpi.amlPath(path)).toString('latin1');

describe('layOutTables', () => {
  const tables = Object.values(sample.SAMPLES).map((make) => make());
  const blob = acpi.layOutTables(BASE, tables);

  it('makes a blob in which every table is found again', () => {
    const found = acpi.findAcpiTables([blob]);
    expect(found.problems).toEqual([]);
    expect(found.rsdp.problems).toEqual([]);
    expect(found.rsdpAddress).toBe(BASE);
    expect(found.root.signature).toBe('XSDT');
    const expected = tables.map((table) => acpi.readTableHeader(table).signature);
    expect(found.tables.map(({ signature }) => signature).toSorted()).toEqual(expected.toSorted());
    for (const table of found.tables) {
      expect(table.address % 64n).toBe(0n);
      expect(sum(table.bytes)).toBe(0);
    }
  });

  it('has the same tables in the RSDT', () => {
    const { rsdp } = acpi.findAcpiTables([blob]);
    const at = rsdp.rsdtAddress - Number(BASE);
    const rsdt = acpi.readRsdt(blob.bytes.subarray(at, blob.bytes.length));
    const listed = blob.tables
      .filter((table) => table.signature !== 'DSDT')
      .map((table) => table.address);
    expect(rsdt.addresses).toEqual(listed);
  });

  it('has no RSDT above 4 GiB', () => {
    const high = acpi.layOutTables(0x1_0000_0000n, tables);
    const found = acpi.findAcpiTables([high]);
    expect(found.rsdp.rsdtAddress).toBe(0);
    expect(found.tables).toHaveLength(tables.length);
  });

  it('keeps tables that are in memory already, and finds them in another image', () => {
    const old = acpi
      .findAcpiTables([blob])
      .tables.filter((table) => table.signature !== 'VIOT' && table.signature !== 'DSDT');
    const existing = old.map(({ address }) => address);
    const next = acpi.layOutTables(0x4500_0000n, [sample.sampleViot()], { existing });
    const found = acpi.findAcpiTables([blob, next], next.rsdpAddress);
    expect(found.tables.at(-2)?.address).toBe(next.tables[0]?.address);
    expect(found.tables.map(({ address }) => address).slice(0, -2)).toEqual(existing);
    expect(found.problems).toEqual([]);
  });

  it.each([
    ['a base that is not on a page', BASE + 64n, tables],
    ['a DSDT without a FADT', BASE, [sample.sampleDsdt()]],
    ['two DSDTs', BASE, [sample.sampleFadt(), sample.sampleDsdt(), sample.sampleDsdt()]],
  ])('refuses %s', (_, base, list) => {
    expect(() => acpi.layOutTables(base, list)).toThrow(RangeError);
  });
});

describe('findAcpiTables', () => {
  const blob = acpi.layOutTables(BASE, [sample.sampleViot(), sample.sampleMcfg()]);

  it('finds an RSDP only on 16 bytes and with a right checksum', () => {
    const shifted = new Uint8Array(blob.bytes.length + 8);
    shifted.set(blob.bytes, 8);
    const at = { base: BASE, bytes: shifted };
    expect(() => acpi.findAcpiTables([at])).toThrow(/no RSDP/);
    const moved = { base: BASE - 8n, bytes: shifted };
    expect(acpi.findAcpiTables([moved]).tables).toHaveLength(2);
    const damaged = blob.bytes.slice();
    damaged[12] = (damaged[12] ?? 0) ^ 1;
    expect(() => acpi.findAcpiTables([{ base: BASE, bytes: damaged }])).toThrow(/no RSDP/);
  });

  it('names a table that is not in the image', () => {
    const [viot] = blob.tables;
    const cut = blob.bytes.subarray(0, (viot?.offset ?? 0) + 80);
    const found = acpi.findAcpiTables([{ base: BASE, bytes: cut }]);
    expect(found.tables).toEqual([]);
    expect(found.problems).toMatchObject([
      { code: 'scan/outside', offset: 0 },
      { code: 'scan/outside', offset: 1 },
    ]);
  });
});

describe('MADT and MCFG', () => {
  it.each([sample.sampleMadt, sample.sampleX86Madt])('reads and writes MADT %#', (make) => {
    const madt = acpi.readMadt(make());
    expect(madt.problems).toEqual([]);
    expect(acpi.writeMadt(madt)).toEqual(make());
    expect(madt.entries.map(({ kind }) => kind)).not.toContain('unknown');
  });

  it('keeps an entry of a type it does not know, or of another length', () => {
    const entries: acpi.MadtEntry[] = [
      { kind: 'unknown', type: 0x15, body: Uint8Array.of(1, 2, 3) },
      { kind: 'unknown', type: 0, body: Uint8Array.of(9) },
    ];
    const content = { localInterruptControllerAddress: 0, flags: 0, entries };
    expect(acpi.readMadt(acpi.writeMadt(content)).entries).toEqual(entries);
  });

  it('stops at an entry without a length', () => {
    const table = acpi.writeTable('APIC', 6, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    const { entries, problems } = acpi.readMadt(table);
    expect(entries).toEqual([]);
    expect(problems).toMatchObject([{ code: 'apic/entry-length', offset: 44 }]);
  });

  it('reads and writes an MCFG, and names reversed buses', () => {
    const mcfg = acpi.readMcfg(sample.sampleMcfg());
    expect(mcfg.problems).toEqual([]);
    expect(acpi.writeMcfg(mcfg.allocations)).toEqual(sample.sampleMcfg());
    expect(() => acpi.writeMcfg([{ base: 0n, segment: 0, startBus: 2, endBus: 1 }])).toThrow(
      RangeError,
    );
    const table = sample.sampleMcfg();
    table[54] = 0x80;
    const codes = acpi.readMcfg(table).problems.map(({ code }) => code);
    expect(codes).toEqual(['mcfg/checksum', 'mcfg/buses']);
  });
});

describe('AML', () => {
  it('writes integers in their shortest form', () => {
    const values = [0, 1, 0xff, 0x100, 0x1_0000, 0x1_0000_0000n];
    expect(values.map((value) => hex(acpi.amlInteger(value)))).toEqual([
      '00',
      '01',
      '0aff',
      '0b0001',
      '0c00000100',
      '0e0000000001000000',
    ]);
    expect(() => acpi.amlInteger(1n << 64n)).toThrow(RangeError);
  });

  it('writes names', () => {
    expect(latin1('_HID')).toBe('_HID');
    expect(latin1('\\')).toBe('\\\0');
    expect(latin1('\\_SB.PCI0')).toBe('\\\x2e_SB_PCI0');
    expect(latin1('^^A.B.C')).toBe('^^\x2f\x03A___B___C___');
    for (const wrong of ['', 'abc', 'TOOLONG', 'A..B', '1ABC', '\\^A']) {
      expect(() => acpi.amlPath(wrong), wrong).toThrow(RangeError);
    }
  });

  it('writes the EISA ID of a PCI Express host bridge', () => {
    expect(hex(acpi.amlEisaId('PNP0A08'))).toBe('0c41d00a08');
    expect(() => acpi.amlEisaId('ARMH0011')).toThrow(RangeError);
  });

  it.each([
    [0x3e, 1],
    [0x3f, 2],
    [0xffd, 2],
    [0xffe, 3],
    [0xf_fffc, 3],
    [0xf_fffd, 4],
  ])('a package length for %i bytes takes %i', (contents, bytes) => {
    const scope = acpi.amlScope('\\', [new Uint8Array(contents - 2)]);
    expect(scope).toHaveLength(1 + bytes + contents);
    const lead = scope[1] ?? 0;
    const rest = [...scope.subarray(2, 1 + bytes)];
    const stored = rest.reduce((length, byte, index) => length + byte * 2 ** (4 + 8 * index), 0);
    expect(bytes === 1 ? lead : stored + (lead & 0xf)).toBe(bytes + contents);
  });

  it('refuses resources that do not fit', () => {
    const { resourceTemplate } = acpi;
    const wide = { kind: 'memory32-fixed', base: 0xffff_f000, size: 0x2000 } as const;
    expect(() => resourceTemplate([wide])).toThrow(RangeError);
    expect(() => resourceTemplate([{ kind: 'interrupt', gsivs: [] }])).toThrow(RangeError);
    expect(() => resourceTemplate([{ kind: 'bus', start: 3, end: 1 }])).toThrow(RangeError);
    const low = { kind: 'memory-window', base: 0n, size: 4n, translation: 8n } as const;
    expect(() => resourceTemplate([low])).toThrow(RangeError);
  });
});

describe('writeTable', () => {
  it('refuses names that are too long, and numbers that do not fit', () => {
    const ids = { ...acpi.DEFAULT_IDS, oemId: 'SEVENTH' };
    expect(() => acpi.writeTable('TEST', 1, new Uint8Array(), ids)).toThrow(RangeError);
    expect(() => acpi.writeTable('TEST', 256, new Uint8Array())).toThrow(RangeError);
    expect(() => acpi.writeTable('TOO LONG', 1, new Uint8Array())).toThrow(RangeError);
  });
});
