import { ByteSink, ByteView, checksumByte, FormatError, hex, sum8 } from '../bytes/index.ts';
import { ACPI_TABLE_HEADER } from '../spec/acpi.ts';
import type { Problems } from './problem.ts';

/** Who made a table: the last 26 bytes of its header (ACPI 6.5, 5.2.6). */
export interface TableIds {
  /** Up to 6 Latin-1 characters, stored with spaces after them. */
  readonly oemId: string;
  /** Up to 8 characters. */
  readonly oemTableId: string;
  readonly oemRevision: number;
  /** Up to 4 characters. */
  readonly creatorId: string;
  readonly creatorRevision: number;
}

/** The header of a table as it is stored. */
export interface TableHeader extends TableIds {
  /** Four characters. */
  readonly signature: string;
  /** Bytes of the whole table, as the table says. */
  readonly length: number;
  readonly revision: number;
  readonly checksum: number;
}

/** The names that this project's tables carry. */
export const DEFAULT_IDS: TableIds = {
  oemId: 'VIOMMU',
  oemTableId: 'VIOMMUTP',
  oemRevision: 1,
  creatorId: 'VTOP',
  creatorRevision: 1,
};

/** Header values that a writer may be told to get wrong on purpose. */
export interface HeaderOverrides {
  readonly signature?: string;
  /** Stored instead of the number of bytes. */
  readonly length?: number;
  readonly revision?: number;
  /** Stored instead of the byte that makes the sum 0. */
  readonly checksum?: number;
}

/**
 * One table: 36 bytes of header, then `body`; length and checksum are filled in.
 *
 * Throws `RangeError` for a name that is too long or a number that does not fit.
 */
export function writeTable(
  signature: string,
  revision: number,
  body: Uint8Array,
  ids: TableIds = DEFAULT_IDS,
  overrides: HeaderOverrides = {},
): Uint8Array {
  const sink = new ByteSink('le', ACPI_TABLE_HEADER.size + body.length);
  ACPI_TABLE_HEADER.write(sink, {
    signature: fixedText(overrides.signature ?? signature, 4, 'signature', ' '),
    length: overrides.length ?? ACPI_TABLE_HEADER.size + body.length,
    revision: overrides.revision ?? revision,
    checksum: overrides.checksum ?? 0,
    oemId: fixedText(ids.oemId, 6, 'OEM id', ' '),
    oemTableId: fixedText(ids.oemTableId, 8, 'OEM table id', ' '),
    oemRevision: ids.oemRevision,
    creatorId: fixedText(ids.creatorId, 4, 'creator id', ' '),
    creatorRevision: ids.creatorRevision,
  });
  sink.raw(body);
  const bytes = sink.bytes();
  if (overrides.checksum === undefined) {
    bytes[ACPI_TABLE_HEADER.offsets.checksum] = checksumByte(bytes, 0);
  }
  return bytes;
}

/** `text` as exactly `size` bytes of Latin-1, filled up with `fill`; `RangeError` when longer. */
export function fixedText(text: string, size: number, what: string, fill: ' ' | '\0'): Uint8Array {
  const bytes = Buffer.from(text, 'latin1');
  if (text.length > size || bytes.toString('latin1') !== text) {
    throw new RangeError(`${what} ${JSON.stringify(text)}: at most ${size} Latin-1 characters`);
  }
  return Uint8Array.from(Buffer.from(text.padEnd(size, fill), 'latin1'));
}

/** The bytes of a table, cut to its length, and its header. */
export interface OpenTable {
  readonly view: ByteView;
  readonly header: TableHeader;
}

/**
 * Reads the header of any table.
 *
 * Throws `FormatError`: `<format>/truncated` when there are fewer than 36 bytes,
 * `<format>/signature` when `signature` is given and is not the table's,
 * `<format>/length` when the table says that it is shorter than its own header.
 */
export function readTableHeader(
  bytes: Uint8Array,
  signature?: string,
  format: string = signature?.trim().toLowerCase() ?? 'acpi',
): TableHeader {
  const view = new ByteView(bytes, 'le', format);
  const raw = ACPI_TABLE_HEADER.read(view, 0);
  const header: TableHeader = {
    signature: latin1(raw.signature),
    length: raw.length,
    revision: raw.revision,
    checksum: raw.checksum,
    oemId: latin1(raw.oemId),
    oemTableId: latin1(raw.oemTableId),
    oemRevision: raw.oemRevision,
    creatorId: latin1(raw.creatorId),
    creatorRevision: raw.creatorRevision,
  };
  if (signature !== undefined && header.signature !== signature) {
    const found = JSON.stringify(header.signature);
    throw new FormatError(`${format}/signature`, 0, `signature is ${found}, not "${signature}"`);
  }
  if (header.length < ACPI_TABLE_HEADER.size) {
    const { length } = ACPI_TABLE_HEADER.offsets;
    throw new FormatError(`${format}/length`, length, `length ${header.length} is below 36`);
  }
  return header;
}

/**
 * Opens a table of a known kind: header read, bytes after the table's own length cut off,
 * wrong length and checksum noted in `problems`.
 *
 * `minimum` is the fixed part of the table, header included; less is a `FormatError` with code
 * `<format>/truncated`.
 */
export function openTable(
  bytes: Uint8Array,
  signature: string,
  minimum: number,
  problems: Problems,
): OpenTable {
  const format = signature.trim().toLowerCase();
  const header = readTableHeader(bytes, signature, format);
  const { length, checksum } = ACPI_TABLE_HEADER.offsets;
  if (header.length > bytes.length) {
    const have = `the file has ${bytes.length}`;
    problems.error('length', length, `the table says it has ${header.length} bytes, ${have}`);
  } else if (header.length < bytes.length) {
    const more = bytes.length - header.length;
    problems.warning('bytes-after-table', header.length, `${more} bytes follow the table`);
  }
  const view = new ByteView(bytes.subarray(0, header.length), 'le', format);
  view.need(0, minimum, 'fixed part of the table');
  const sum = sum8(view.bytes);
  if (sum !== 0 && header.length <= bytes.length) {
    const right = hex((header.checksum - sum) & 0xff, 2);
    problems.warning(
      'checksum',
      checksum,
      `checksum is ${hex(header.checksum, 2)}, should be ${right}; Linux warns and uses the table`,
    );
  }
  return { view, header };
}

/** Whether any of the bytes is not zero. */
export function nonZero(bytes: Uint8Array): boolean {
  return bytes.some((byte) => byte !== 0);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
