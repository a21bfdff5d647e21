import { readFileSync, readdirSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { readViot, writeViotRaw } from '../../../src/acpi/index.ts';
import {
  SAMPLES,
  sampleDsdt,
  sampleIort,
  sampleNamedComponent,
  sampleViot,
} from '../../support/acpi-samples.ts';
import { findIasl, roundTrip } from '../../support/iasl.ts';

let iasl = '';
beforeAll(async () => {
  iasl = await findIasl();
}, 300_000);

/** The table without its checksum (9) and creator id and revision (28..35): iasl puts its own. */
function comparable(table: Uint8Array): Uint8Array {
  const copy = table.slice();
  copy.fill(0, 9, 10).fill(0, 28, 36);
  return copy;
}

describe('iasl takes apart and puts together again', () => {
  it.each(Object.keys(SAMPLES))('%s', async (name) => {
    const table = SAMPLES[name]?.() ?? new Uint8Array();
    const judged = await roundTrip(iasl, table);
    expect(judged.log).not.toMatch(/Incorrect checksum|Unknown|Invalid|Error +\d/);
    expect([judged.errors, judged.warnings]).toEqual([0, 0]);
    expect(comparable(judged.aml)).toEqual(comparable(table));
  });

  const golden = new URL('../../golden/acpi/viot/', import.meta.url);
  const names = readdirSync(golden).filter((name) => name.endsWith('.aml'));
  it.each(names)("QEMU's %s", async (name) => {
    const table = Uint8Array.from(readFileSync(new URL(name, golden)));
    expect(comparable((await roundTrip(iasl, table)).aml)).toEqual(comparable(table));
  });
});

describe('iasl reads', () => {
  it('the fields of each VIOT node as we meant them', async () => {
    const { dsl } = await roundTrip(iasl, sampleViot());
    expect(dsl).toMatch(/Node count : 0004/);
    expect(dsl).toMatch(/Type : 03 \[VirtIO-PCI IOMMU\]/);
    expect(dsl).toMatch(/Type : 04 \[VirtIO-MMIO IOMMU\]/);
    expect(dsl).toMatch(/PCI Segment end : 0001/);
    expect(dsl).toMatch(/PCI BDF end : FFFF/);
    expect(dsl).toMatch(/Endpoint : 00020000/);
    expect([...dsl.matchAll(/Output Node : (\w+)/gi)].map((found) => found[1])).toEqual([
      '0030',
      '0040',
    ]);
  });

  it('an IORT mapping of 0x10000 IDs as a count of 0xFFFF', async () => {
    const { dsl } = await roundTrip(iasl, sampleIort());
    expect(dsl).toMatch(/ID Count : 0000FFFF/);
  });

  it('a named component with its path and its one ID', async () => {
    const { dsl } = await roundTrip(iasl, sampleNamedComponent());
    expect(dsl).toMatch(/Output Base : 00020000/);
    expect(dsl).toMatch(/Single Mapping : 1/);
    expect(dsl).toMatch(/Device Name : "\\_SB_\.VR00"/);
  });

  it('the host bridge of the DSDT', async () => {
    const { dsl } = await roundTrip(iasl, sampleDsdt());
    expect(dsl).toMatch(/Name \(_HID, EisaId \("PNP0A08"\)/);
    expect(dsl).toMatch(/Name \(_SEG, One\)/);
    expect(dsl).toMatch(/0x0000008000000000, +\/\/ Range Minimum/);
    expect(dsl).toMatch(
      /DWordIO [^{}]*0x0000FFFF, +\/\/ Range Maximum\s+0x3EFF0000, +\/\/ Translation/,
    );
  });
});

describe('iasl refuses', () => {
  it('a VIOT with a wrong checksum, as our reader does', async () => {
    const table = sampleViot();
    table[9] = ((table[9] ?? 0) + 1) & 0xff;
    expect(readViot(table).problems.map(({ code }) => code)).toEqual(['viot/checksum']);
    expect((await roundTrip(iasl, table)).log).toMatch(/Incorrect checksum/i);
  });

  it('a node of an unknown type', async () => {
    const nodes = [{ kind: 'unknown', type: 9, body: new Uint8Array(12) }] as const;
    await expect(roundTrip(iasl, writeViotRaw({ nodes }))).rejects.toThrow();
  });
});
