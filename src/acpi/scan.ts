import { ByteView, FormatError, hex, sum8 } from '../bytes/index.ts';
import * as spec from '../spec/acpi.ts';
import { readTableHeader } from './header.ts';
import { Problems, type AcpiProblem } from './problem.ts';
import { readRsdp, readRsdt, readXsdt, type RootTable, type Rsdp } from './root.ts';

/** A piece of physical memory: `bytes` from address `base` on. */
export interface MemoryImage {
  readonly base: bigint;
  readonly bytes: Uint8Array;
}

/** A table as it lies in memory. */
export interface FoundTable {
  readonly signature: string;
  readonly address: bigint;
  /** A view of the image, not a copy. */
  readonly bytes: Uint8Array;
}

export interface AcpiTables {
  readonly rsdpAddress: bigint;
  readonly rsdp: Rsdp;
  /** The XSDT, or the RSDT where there is none. */
  readonly root: FoundTable;
  /** In the root table's order, then the DSDT. */
  readonly tables: readonly FoundTable[];
  readonly problems: readonly AcpiProblem[];
}

/** Real machines have some 30; a root table of a hostile image could name millions. */
const TABLES_MAX = 1024;
const RSDP_ALIGNMENT = 16n;

/**
 * Finds all tables in an image of a guest's memory, starting from an RSDP on a 16-byte boundary
 * with a right checksum, or from the one at `rsdpAddress`.
 *
 * A table that is not in the image is a problem `scan/outside`, whose `offset` is the index of
 * its entry in the root table. `FormatError`: `scan/no-rsdp`, `scan/no-root`, or what reading
 * the RSDP and the root table throws.
 */
export function findAcpiTables(
  images: readonly MemoryImage[],
  rsdpAddress: bigint | undefined = findRsdp(images),
): AcpiTables {
  const at = rsdpAddress === undefined ? undefined : bytesFrom(images, rsdpAddress);
  if (rsdpAddress === undefined || at === undefined) {
    throw new FormatError('scan/no-rsdp', 0, 'there is no RSDP in this memory');
  }
  const rsdp = readRsdp(at.subarray(0, spec.ACPI_RSDP.size));
  const wide = rsdp.xsdtAddress !== 0n;
  const rootAddress = wide ? rsdp.xsdtAddress : BigInt(rsdp.rsdtAddress);
  const problems = new Problems('scan');
  const root = tableAt(images, rootAddress);
  if (root === undefined) {
    const where = `the root table at ${hex(rootAddress)} is not in this memory`;
    throw new FormatError('scan/no-root', 0, where);
  }
  const list: RootTable = wide ? readXsdt(root.bytes) : readRsdt(root.bytes);
  const tables: FoundTable[] = [];
  for (const [index, address] of list.addresses.slice(0, TABLES_MAX).entries()) {
    const table = tableAt(images, address);
    if (table !== undefined) tables.push(table);
    else problems.error('outside', index, `table ${hex(address)} is not in this memory`);
  }
  if (list.addresses.length > TABLES_MAX) {
    problems.error('many', TABLES_MAX, `more than ${TABLES_MAX} tables: the rest is not read`);
  }
  const dsdt = findDsdt(images, tables, problems);
  if (dsdt !== undefined) tables.push(dsdt);
  return { rsdpAddress, rsdp, root, tables, problems: [...list.problems, ...problems.list] };
}

/** Address of the first RSDP with a right checksum, 16-byte aligned as everybody looks for it. */
function findRsdp(images: readonly MemoryImage[]): bigint | undefined {
  const needle = Buffer.from(spec.ACPI_SIG_RSDP, 'latin1');
  for (const { base, bytes } of images) {
    const haystack = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = haystack.indexOf(needle); at >= 0; at = haystack.indexOf(needle, at + 1)) {
      const address = base + BigInt(at);
      const first = bytes.subarray(at, at + spec.ACPI_RSDP_CHECKSUM_LENGTH);
      if (address % RSDP_ALIGNMENT === 0n && first.length === 20 && sum8(first) === 0) {
        return address;
      }
    }
  }
  return undefined;
}

function findDsdt(
  images: readonly MemoryImage[],
  tables: readonly FoundTable[],
  problems: Problems,
): FoundTable | undefined {
  const fadt = tables.find((it) => it.signature === spec.ACPI_SIG_FADT);
  if (fadt === undefined) return undefined;
  const view = new ByteView(fadt.bytes, 'le', 'facp');
  const start = spec.ACPI_TABLE_HEADER.size;
  const { xDsdt, dsdt } = spec.ACPI_FADT_FIELDS.offsets;
  const wide = view.length >= start + xDsdt + 8 ? view.u64(start + xDsdt) : 0n;
  const narrow = view.length >= start + dsdt + 4 ? BigInt(view.u32(start + dsdt)) : 0n;
  const address = wide === 0n ? narrow : wide;
  const found = tableAt(images, address);
  if (found === undefined) problems.error('dsdt', 0, `no DSDT at ${hex(address)} in this memory`);
  return found;
}

/** The table at `address`, whole, or undefined. */
function tableAt(images: readonly MemoryImage[], address: bigint): FoundTable | undefined {
  const bytes = bytesFrom(images, address);
  if (bytes === undefined || bytes.length < spec.ACPI_TABLE_HEADER.size) return undefined;
  const length = new ByteView(bytes, 'le', 'acpi').u32(4);
  if (length < spec.ACPI_TABLE_HEADER.size || length > bytes.length) return undefined;
  const { signature } = readTableHeader(bytes);
  return { signature, address, bytes: bytes.subarray(0, length) };
}

function bytesFrom(images: readonly MemoryImage[], address: bigint): Uint8Array | undefined {
  const image = images.find(
    ({ base, bytes }) => address >= base && address < base + BigInt(bytes.length),
  );
  return image?.bytes.subarray(Number(address - image.base));
}
