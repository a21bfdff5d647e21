import { ByteSink } from '../bytes/index.ts';
import { ACPI_SIG_DSDT } from '../spec/acpi.ts';
import * as op from '../spec/aml.ts';
import { writeTable, type TableIds } from './header.ts';

// A small writer of ACPI Machine Language (ACPI 6.5, chapter 20): names, devices, scopes and
// data, and methods that answer with one of their arguments. Every function returns the encoded term, ready to be put into another.

/** An encoded term. */
export type Aml = Uint8Array;

const NAME_SEG = /^[A-Z_][A-Z0-9_]{0,3}$/;
const SEGMENTS_MAX = 255;
const DSDT_REVISION = 2;

/**
 * A name of the namespace: `\_SB.PCI0`, `^DEV0`, `_HID`; segments are filled up with `_`.
 * `RangeError` for anything that is no name.
 */
export function amlPath(path: string): Aml {
  const [, prefix = '', rest = ''] = /^(\\|\^*)(.*)$/s.exec(path) ?? [];
  const segments = rest === '' && prefix !== '' ? [] : rest.split('.');
  if (segments.length > SEGMENTS_MAX || !segments.every((it) => NAME_SEG.test(it))) {
    throw new RangeError(`${JSON.stringify(path)} is no ACPI name`);
  }
  const sink = new ByteSink('le', 16).latin1(prefix);
  if (segments.length === 0) sink.u8(op.AML_NULL_NAME);
  else if (segments.length === 2) sink.u8(op.AML_DUAL_NAME_PREFIX);
  else if (segments.length > 2) sink.u8(op.AML_MULTI_NAME_PREFIX).u8(segments.length);
  for (const segment of segments) sink.latin1(segment.padEnd(4, '_'));
  return sink.bytes();
}

/** An integer of up to 64 bits in its shortest form. */
export function amlInteger(value: number | bigint): Aml {
  const wide = BigInt(value);
  if (BigInt.asUintN(64, wide) !== wide) throw new RangeError(`${wide} is no 64-bit number`);
  const narrow = Number(wide);
  const sink = new ByteSink('le', 16);
  if (wide < 2n) return sink.u8(narrow === 0 ? op.AML_ZERO_OP : op.AML_ONE_OP).bytes();
  if (wide < 1n << 8n) return sink.u8(op.AML_BYTE_PREFIX).u8(narrow).bytes();
  if (wide < 1n << 16n) return sink.u8(op.AML_WORD_PREFIX).u16(narrow).bytes();
  if (wide < 1n << 32n) return sink.u8(op.AML_DWORD_PREFIX).u32(narrow).bytes();
  return sink.u8(op.AML_QWORD_PREFIX).u64(wide).bytes();
}

/** A string of ASCII characters 0x01..0x7f. */
export function amlString(text: string): Aml {
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    if (code < 1 || code > 0x7f) throw new RangeError(`${JSON.stringify(text)} is not ASCII`);
  }
  return new ByteSink('le').u8(op.AML_STRING_PREFIX).latin1(text).u8(0).bytes();
}

/** A device ID like `PNP0A08` as the compressed 32-bit number (ACPI 6.5, 19.6.36). */
export function amlEisaId(id: string): Aml {
  if (!/^[A-Z]{3}[0-9A-F]{4}$/.test(id)) throw new RangeError(`${id} is no EISA ID`);
  const letter = (index: number): number => id.charCodeAt(index) - 0x40;
  const maker = (letter(0) << 10) | (letter(1) << 5) | letter(2);
  const product = Number.parseInt(id.slice(3), 16);
  // The one big-endian number of AML.
  const id32 = new ByteSink('be', 16).u16(maker).u16(product).bytes();
  return new ByteSink('le', 16).u8(op.AML_DWORD_PREFIX).raw(id32).bytes();
}

export function amlBuffer(bytes: Uint8Array): Aml {
  return packaged([op.AML_BUFFER_OP], [amlInteger(bytes.length), bytes]);
}

/** At most 255 elements. */
export function amlPackage(elements: readonly Aml[]): Aml {
  if (elements.length > 255) throw new RangeError(`a package of ${elements.length} elements`);
  return packaged([op.AML_PACKAGE_OP], [Uint8Array.of(elements.length), ...elements]);
}

/** `Name (path, value)` */
export function amlName(path: string, value: Aml): Aml {
  return new ByteSink('le').u8(op.AML_NAME_OP).raw(amlPath(path)).raw(value).bytes();
}

export function amlScope(path: string, terms: readonly Aml[]): Aml {
  return packaged([op.AML_SCOPE_OP], [amlPath(path), ...terms]);
}

export function amlDevice(path: string, terms: readonly Aml[]): Aml {
  return packaged([op.AML_EXT_OP_PREFIX, op.AML_DEVICE_OP], [amlPath(path), ...terms]);
}

/** A method of four arguments that returns its last one as it is. */
export function amlReturnsArg3(path: string): Aml {
  const flags = Uint8Array.of(4);
  const body = Uint8Array.of(op.AML_RETURN_OP, op.AML_ARG3_OP);
  return packaged([op.AML_METHOD_OP], [amlPath(path), flags, body]);
}

/** A DSDT of revision 2, in which integers have 64 bits. */
export function writeDsdt(terms: readonly Aml[], ids?: TableIds): Uint8Array {
  return writeTable(ACPI_SIG_DSDT, DSDT_REVISION, Buffer.concat(terms), ids);
}

/** Opcode, PkgLength, contents. PkgLength counts itself (ACPI 6.5, 20.2.4). */
function packaged(opcode: readonly number[], contents: readonly Aml[]): Aml {
  const length = contents.reduce((sum, part) => sum + part.length, 0);
  const sink = new ByteSink('le', length + 8);
  for (const byte of opcode) sink.u8(byte);
  packageLength(sink, length);
  for (const part of contents) sink.raw(part);
  return sink.bytes();
}

function packageLength(sink: ByteSink, contents: number): void {
  if (contents + 1 < 1 << 6) {
    sink.u8(contents + 1);
    return;
  }
  const more = [1, 2, 3].find((extra) => contents + 1 + extra < 2 ** (4 + 8 * extra));
  if (more === undefined) throw new RangeError(`${contents} bytes do not fit one AML package`);
  const length = contents + 1 + more;
  sink.u8((more << 6) | (length & 0xf));
  for (let index = 0; index < more; index++) sink.u8((length >>> (4 + 8 * index)) & 0xff);
}
