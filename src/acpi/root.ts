import {
  ByteSink,
  ByteView,
  checksumByte,
  FormatError,
  structBytes,
  sum8,
} from '../bytes/index.ts';
import * as spec from '../spec/acpi.ts';
import { DEFAULT_IDS, fixedText, openTable, writeTable } from './header.ts';
import type { TableHeader, TableIds } from './header.ts';
import { Problems, type AcpiProblem } from './problem.ts';

/** Where the tables are. Addresses are guest-physical. */
export interface RsdpContent {
  /** Up to 6 characters. */
  readonly oemId: string;
  /** 32 bits; 0 for none. */
  readonly rsdtAddress: number;
  readonly xsdtAddress: bigint;
}

export interface Rsdp extends RsdpContent {
  /** 0 (ACPI 1.0, RSDT only) or 2. */
  readonly revision: number;
  readonly problems: readonly AcpiProblem[];
}

/** Writes an RSDP of revision 2 with both checksums: 36 bytes. */
export function writeRsdp(content: RsdpContent): Uint8Array {
  const layout = spec.ACPI_RSDP;
  const bytes = structBytes(layout, 'le', {
    signature: Buffer.from(spec.ACPI_SIG_RSDP, 'latin1'),
    oemId: fixedText(content.oemId, 6, 'OEM id', ' '),
    revision: 2,
    rsdtAddress: content.rsdtAddress,
    length: layout.size,
    xsdtAddress: content.xsdtAddress,
  });
  const first = bytes.subarray(0, spec.ACPI_RSDP_CHECKSUM_LENGTH);
  bytes[layout.offsets.checksum] = checksumByte(first, 0);
  bytes[layout.offsets.extendedChecksum] = checksumByte(bytes, 0);
  return bytes;
}

/**
 * Reads an RSDP of revision 0 (20 bytes) or 2 (36 bytes).
 * `FormatError`: `rsdp/signature` or `rsdp/truncated`.
 */
export function readRsdp(bytes: Uint8Array): Rsdp {
  const view = new ByteView(bytes, 'le', 'rsdp');
  const problems = new Problems('rsdp');
  const signature = view.latin1(0, 8);
  if (signature !== spec.ACPI_SIG_RSDP) {
    throw new FormatError('rsdp/signature', 0, `signature is ${JSON.stringify(signature)}`);
  }
  const { offsets, size } = spec.ACPI_RSDP;
  if (sum8(view.slice(0, spec.ACPI_RSDP_CHECKSUM_LENGTH)) !== 0) {
    problems.error('checksum', offsets.checksum, 'wrong checksum: Linux goes on searching');
  }
  const oemId = view.latin1(offsets.oemId, 6);
  const rsdtAddress = view.u32(offsets.rsdtAddress);
  const revision = view.u8(offsets.revision);
  if (revision < 2) {
    problems.note('revision', offsets.revision, `revision ${revision}: no XSDT`);
    return { oemId, rsdtAddress, xsdtAddress: 0n, revision, problems: problems.list };
  }
  const { length, xsdtAddress, reserved } = spec.ACPI_RSDP.read(view, 0);
  if (length !== size) problems.warning('length', offsets.length, `length ${length}, not ${size}`);
  if (revision > 2) problems.note('revision', offsets.revision, `revision ${revision}, not 2`);
  if (reserved.some((byte) => byte !== 0)) {
    problems.warning('reserved', offsets.reserved, 'reserved bytes not 0');
  }
  if (sum8(view.slice(0, size)) !== 0) {
    problems.error('extended-checksum', offsets.extendedChecksum, 'wrong extended checksum');
  }
  return { oemId, rsdtAddress, xsdtAddress, revision, problems: problems.list };
}

/** Addresses of tables, in order. */
export interface RootTable {
  readonly header: TableHeader;
  readonly addresses: readonly bigint[];
  readonly problems: readonly AcpiProblem[];
}

/** Writes an XSDT of 64-bit addresses. */
export function writeXsdt(addresses: readonly bigint[], ids: TableIds = DEFAULT_IDS): Uint8Array {
  const sink = new ByteSink('le');
  for (const address of addresses) {
    if (BigInt.asUintN(64, address) !== address) throw new RangeError('address above 64 bits');
    sink.u64(address);
  }
  return writeTable(spec.ACPI_SIG_XSDT, 1, sink.bytes(), ids);
}

/** Writes an RSDT; `RangeError` for an address above 32 bits. */
export function writeRsdt(addresses: readonly bigint[], ids: TableIds = DEFAULT_IDS): Uint8Array {
  const sink = new ByteSink('le');
  for (const address of addresses) {
    if (BigInt.asUintN(32, address) !== address) throw new RangeError('address above 32 bits');
    sink.u32(Number(address));
  }
  return writeTable(spec.ACPI_SIG_RSDT, 1, sink.bytes(), ids);
}

/** `FormatError`: `xsdt/signature`, `xsdt/truncated`, `xsdt/length`. */
export function readXsdt(bytes: Uint8Array): RootTable {
  return readRoot(bytes, spec.ACPI_SIG_XSDT, 8);
}

/** `FormatError`: `rsdt/signature`, `rsdt/truncated`, `rsdt/length`. */
export function readRsdt(bytes: Uint8Array): RootTable {
  return readRoot(bytes, spec.ACPI_SIG_RSDT, 4);
}

function readRoot(bytes: Uint8Array, signature: string, width: 4 | 8): RootTable {
  const problems = new Problems(signature.toLowerCase());
  const start = spec.ACPI_TABLE_HEADER.size;
  const { view, header } = openTable(bytes, signature, start, problems);
  const addresses: bigint[] = [];
  let at = start;
  for (; at + width <= view.length; at += width) {
    const address = width === 8 ? view.u64(at) : BigInt(view.u32(at));
    if (address === 0n) problems.warning('null', at, 'an address is 0: Linux skips it');
    addresses.push(address);
  }
  if (header.revision !== 1) problems.note('revision', 8, `revision ${header.revision}, not 1`);
  if (at < view.length) problems.error('part', at, 'the last address is not whole');
  return { header, addresses, problems: problems.list };
}
