import { ByteView, FormatError } from '../bytes/index.ts';
import {
  EI_CLASS,
  EI_DATA,
  ELFCLASS64,
  ELFDATA2LSB,
  ELFMAG_LE,
  Elf64_Ehdr,
  Elf64_Shdr,
} from '../spec/elf.ts';

/** What a kernel module says of itself in its `.modinfo` section. */
export interface ModuleInfo {
  /** Modules that must be loaded before, with `_` for `-`. */
  readonly depends: readonly string[];
  /** Modules that should be, when the kernel has them (`softdep: pre:`). */
  readonly pre: readonly string[];
  /** `6.12.95+deb12-arm64 SMP …`; empty when absent. */
  readonly vermagic: string;
}

/** A module's name as the kernel compares it: `-` and `_` are the same. */
export function moduleName(name: string): string {
  return name.replaceAll('-', '_');
}

/**
 * Reads `.modinfo` of an uncompressed module (ELF, 64-bit, little-endian).
 *
 * Throws {@link FormatError} with code `elf/…`.
 */
export function readModuleInfo(bytes: Uint8Array): ModuleInfo {
  const values = new Map<string, string[]>();
  for (const entry of Buffer.from(section(bytes, '.modinfo')).toString('latin1').split('\0')) {
    const equals = entry.indexOf('=');
    if (equals < 0) continue;
    const key = entry.slice(0, equals);
    values.set(key, [...(values.get(key) ?? []), entry.slice(equals + 1)]);
  }
  const depends = (values.get('depends') ?? []).flatMap((list) => list.split(','));
  const pre = (values.get('softdep') ?? []).flatMap(
    (text) => /pre:\s*([^:]*?)\s*(?:post:|$)/u.exec(text)?.[1]?.split(/\s+/u) ?? [],
  );
  return {
    depends: depends.filter((name) => name !== '').map(moduleName),
    pre: pre.filter((name) => name !== '').map(moduleName),
    vermagic: values.get('vermagic')?.[0] ?? '',
  };
}

/** The bytes of the first section with this name. */
function section(bytes: Uint8Array, wanted: string): Uint8Array {
  const view = new ByteView(bytes, 'le', 'elf');
  if (view.u32(0, 'magic') !== ELFMAG_LE) throw new FormatError('elf/magic', 0, 'not an ELF file');
  if (view.u8(EI_CLASS) !== ELFCLASS64 || view.u8(EI_DATA) !== ELFDATA2LSB)
    throw new FormatError('elf/class', EI_CLASS, 'not a 64-bit little-endian ELF file');
  const header = Elf64_Ehdr.read(view, 0);
  if (header.e_shentsize !== Elf64_Shdr.size)
    throw new FormatError('elf/shentsize', Elf64_Ehdr.offsets.e_shentsize, 'odd section headers');
  const start = Number(header.e_shoff);
  const at = (index: number): number => start + index * Elf64_Shdr.size;
  const names = Elf64_Shdr.read(view, at(header.e_shstrndx));
  const strings = view.slice(Number(names.sh_offset), Number(names.sh_size), 'section names');
  for (let index = 0; index < header.e_shnum; index++) {
    const entry = Elf64_Shdr.read(view, at(index));
    if (stringAt(strings, entry.sh_name) === wanted)
      return view.slice(Number(entry.sh_offset), Number(entry.sh_size), wanted);
  }
  throw new FormatError('elf/no-section', 0, `no section ${wanted}`);
}

function stringAt(table: Uint8Array, offset: number): string {
  const end = table.indexOf(0, offset);
  return Buffer.from(table.subarray(offset, end < 0 ? offset : end)).toString('latin1');
}
