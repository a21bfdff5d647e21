import { ByteSink, ByteView, FormatError } from '../bytes/index.ts';
import {
  CPIO_FIELDS,
  CPIO_FIELD_DIGITS,
  CPIO_HEADER_SIZE,
  CPIO_NEWC_MAGIC,
  CPIO_TRAILER,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '../spec/cpio.ts';

/** One entry of an archive. `path` is relative, without `./`; `mode` is permission bits. */
export type CpioEntry =
  | { readonly kind: 'directory'; readonly path: string; readonly mode?: number }
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly mode?: number;
      readonly data: Uint8Array;
    }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | {
      readonly kind: 'char';
      readonly path: string;
      readonly mode?: number;
      readonly major: number;
      readonly minor: number;
    };

/** `c_filesize` has 32 bits; the kernel unpacks no larger file from an initramfs. */
const FILE_SIZE_MAX = 0xffff_ffff;

/**
 * An uncompressed "newc" archive, entries in the order given.
 *
 * The same entries give the same bytes: owner root, time 0, inode numbers from 1. Directories on
 * the way to an entry must be entries themselves, before it, since the kernel makes none.
 */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const sink = new ByteSink('le', 1 << 16);
  let inode = 0;
  for (const entry of entries) {
    inode += 1;
    writeEntry(sink, entry, inode);
  }
  header(sink, CPIO_TRAILER, { c_nlink: 1 }, 0);
  return sink.bytes();
}

function writeEntry(sink: ByteSink, entry: CpioEntry, inode: number): void {
  const common = { c_ino: inode, c_nlink: entry.kind === 'directory' ? 2 : 1 };
  switch (entry.kind) {
    case 'directory':
      header(sink, entry.path, { ...common, c_mode: S_IFDIR | (entry.mode ?? 0o755) }, 0);
      break;
    case 'file':
      header(
        sink,
        entry.path,
        { ...common, c_mode: S_IFREG | (entry.mode ?? 0o644) },
        entry.data.length,
      );
      sink.raw(entry.data).align(4);
      break;
    case 'link': {
      const target = Buffer.from(entry.target, 'utf8');
      header(sink, entry.path, { ...common, c_mode: S_IFLNK | 0o777 }, target.length);
      sink.raw(target).align(4);
      break;
    }
    case 'char':
      header(
        sink,
        entry.path,
        {
          ...common,
          c_mode: S_IFCHR | (entry.mode ?? 0o600),
          c_rmaj: entry.major,
          c_rmin: entry.minor,
        },
        0,
      );
      break;
  }
}

type Fields = Partial<Record<(typeof CPIO_FIELDS)[number], number>>;

function header(sink: ByteSink, path: string, fields: Fields, size: number): void {
  if (size > FILE_SIZE_MAX) throw new RangeError(`${path}: ${size} bytes do not fit a cpio entry`);
  const name = Buffer.from(path, 'utf8');
  const all: Fields = { ...fields, c_filesize: size, c_namesize: name.length + 1 };
  sink.latin1(CPIO_NEWC_MAGIC);
  for (const field of CPIO_FIELDS)
    sink.latin1((all[field] ?? 0).toString(16).padStart(CPIO_FIELD_DIGITS, '0').toUpperCase());
  sink.raw(name).u8(0).align(4);
}

/** Reads what {@link writeCpio} writes; throws {@link FormatError} with code `cpio/…`. */
export function readCpio(bytes: Uint8Array): CpioEntry[] {
  const view = new ByteView(bytes, 'le', 'cpio');
  const entries: CpioEntry[] = [];
  let at = 0;
  for (;;) {
    if (view.latin1(at, CPIO_NEWC_MAGIC.length, 'magic') !== CPIO_NEWC_MAGIC)
      throw new FormatError('cpio/magic', at, 'no newc header');
    const field = (name: (typeof CPIO_FIELDS)[number]): number => fieldAt(view, at, name);
    const nameAt = at + CPIO_HEADER_SIZE;
    const nameSize = field('c_namesize');
    if (nameSize === 0) throw new FormatError('cpio/name', nameAt, 'an entry without a name');
    const path = Buffer.from(view.slice(nameAt, nameSize - 1, 'name')).toString('utf8');
    if (path === CPIO_TRAILER) return entries;
    const dataAt = align4(nameAt + nameSize);
    const data = view.slice(dataAt, field('c_filesize'), `data of ${path}`);
    entries.push(entryOf(at, path, field, data));
    at = align4(dataAt + data.length);
  }
}

function entryOf(
  at: number,
  path: string,
  field: (name: (typeof CPIO_FIELDS)[number]) => number,
  data: Uint8Array,
): CpioEntry {
  const mode = field('c_mode') & ~S_IFMT;
  switch (field('c_mode') & S_IFMT) {
    case S_IFDIR:
      return { kind: 'directory', path, mode };
    case S_IFREG:
      return { kind: 'file', path, mode, data };
    case S_IFLNK:
      return { kind: 'link', path, target: Buffer.from(data).toString('utf8') };
    case S_IFCHR:
      return { kind: 'char', path, mode, major: field('c_rmaj'), minor: field('c_rmin') };
    default:
      throw new FormatError('cpio/mode', at, `${path}: a kind of file that is not read here`);
  }
}

function fieldAt(view: ByteView, entry: number, name: (typeof CPIO_FIELDS)[number]): number {
  const at = entry + CPIO_NEWC_MAGIC.length + CPIO_FIELDS.indexOf(name) * CPIO_FIELD_DIGITS;
  const digits = view.latin1(at, CPIO_FIELD_DIGITS, name);
  if (!/^[0-9a-fA-F]{8}$/u.test(digits))
    throw new FormatError('cpio/field', at, `${name} is not hexadecimal`);
  return Number.parseInt(digits, 16);
}

function align4(offset: number): number {
  return offset + (-offset & 3);
}
