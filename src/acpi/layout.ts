import { checksumByte, hex } from '../bytes/index.ts';
import * as spec from '../spec/acpi.ts';
import { DEFAULT_IDS, readTableHeader, type TableIds } from './header.ts';
import { writeRsdp, writeRsdt, writeXsdt } from './root.ts';

/** A table in its place. */
export interface PlacedTable {
  readonly signature: string;
  /** Guest-physical address of its first byte. */
  readonly address: bigint;
  /** Bytes from the start of the blob. */
  readonly offset: number;
  readonly length: number;
}

/** Everything a guest needs, to be loaded at `base`. */
export interface AcpiBlob {
  readonly base: bigint;
  readonly bytes: Uint8Array;
  /** What goes to `acpi_rsdp=`; equal to `base`. */
  readonly rsdpAddress: bigint;
  readonly tables: readonly PlacedTable[];
}

const TABLE_ALIGNMENT = 64;
const PAGE = 0x1000n;

/**
 * Lays out an RSDP, a root table and `tables` in one blob for a guest's memory at `base`.
 *
 * `existing` are addresses of tables that are in the guest's memory already, listed before ours.
 * A DSDT among `tables` is not listed but goes into the FADT, which must be there too. The root
 * is an XSDT, and also an RSDT when all addresses have 32 bits.
 *
 * `RangeError`: `base` not on a page, a DSDT without a FADT, two DSDTs.
 */
export function layOutTables(
  base: bigint,
  tables: readonly Uint8Array[],
  options: { readonly ids?: TableIds; readonly existing?: readonly bigint[] } = {},
): AcpiBlob {
  const { ids = DEFAULT_IDS, existing = [] } = options;
  if (base < 0n || base % PAGE !== 0n) throw new RangeError(`base ${hex(base)} is not on a page`);
  const signatures = tables.map((table) => readTableHeader(table).signature);
  const listed = existing.length + signatures.filter((it) => it !== spec.ACPI_SIG_DSDT).length;
  const rsdtOffset = aligned(spec.ACPI_RSDP.size);
  const xsdtOffset = aligned(rsdtOffset + spec.ACPI_TABLE_HEADER.size + 4 * listed);
  let end = xsdtOffset + spec.ACPI_TABLE_HEADER.size + 8 * listed;
  const placed = tables.map((table, index): PlacedTable => {
    const offset = aligned(end);
    end = offset + table.length;
    const address = base + BigInt(offset);
    return { signature: signatures[index] ?? '', address, offset, length: table.length };
  });

  const bytes = new Uint8Array(aligned(end));
  for (const [index, { offset }] of placed.entries()) bytes.set(tables[index] ?? [], offset);
  linkDsdt(bytes, placed);
  const addresses = [
    ...existing,
    ...placed.filter((it) => it.signature !== spec.ACPI_SIG_DSDT).map((it) => it.address),
  ];
  const narrow = [...addresses, base + BigInt(rsdtOffset)].every((it) => it < 1n << 32n);
  if (narrow) bytes.set(writeRsdt(addresses, ids), rsdtOffset);
  bytes.set(writeXsdt(addresses, ids), xsdtOffset);
  const rsdp = writeRsdp({
    oemId: ids.oemId,
    rsdtAddress: narrow ? Number(base) + rsdtOffset : 0,
    xsdtAddress: base + BigInt(xsdtOffset),
  });
  bytes.set(rsdp, 0);
  return { base, bytes, rsdpAddress: base, tables: placed };
}

/** Puts the DSDT's address into the FADT. */
function linkDsdt(bytes: Uint8Array, placed: readonly PlacedTable[]): void {
  const [dsdt, second] = placed.filter((it) => it.signature === spec.ACPI_SIG_DSDT);
  if (dsdt === undefined) return;
  if (second !== undefined) throw new RangeError('two DSDTs');
  const fadt = placed.find((it) => it.signature === spec.ACPI_SIG_FADT);
  const fixed = spec.ACPI_TABLE_HEADER.size;
  const { xDsdt, dsdt: dsdt32 } = spec.ACPI_FADT_FIELDS.offsets;
  if (fadt === undefined || fadt.length < fixed + xDsdt + 8) {
    throw new RangeError('a DSDT needs a FADT (of revision 3 or later) that points to it');
  }
  const table = bytes.subarray(fadt.offset, fadt.offset + fadt.length);
  const data = new DataView(table.buffer, table.byteOffset, table.byteLength);
  data.setBigUint64(fixed + xDsdt, dsdt.address, true);
  data.setUint32(fixed + dsdt32, dsdt.address < 1n << 32n ? Number(dsdt.address) : 0, true);
  const at = spec.ACPI_TABLE_HEADER.offsets.checksum;
  table[at] = checksumByte(table, table[at] ?? 0);
}

function aligned(offset: number): number {
  return Math.ceil(offset / TABLE_ALIGNMENT) * TABLE_ALIGNMENT;
}
