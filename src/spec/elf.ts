import { struct, type Struct } from '../bytes/index.ts';

/** System V ABI, "ELF Header": the first four bytes, read little-endian. */
export const ELFMAG_LE = 0x464c457f;
export const EI_CLASS = 4;
export const EI_DATA = 5;
export const ELFCLASS64 = 2;
export const ELFDATA2LSB = 1;

type Elf64EhdrFields = {
  readonly e_ident: readonly ['bytes', 16];
  readonly e_type: 'u16';
  readonly e_machine: 'u16';
  readonly e_version: 'u32';
  readonly e_entry: 'u64';
  readonly e_phoff: 'u64';
  readonly e_shoff: 'u64';
  readonly e_flags: 'u32';
  readonly e_ehsize: 'u16';
  readonly e_phentsize: 'u16';
  readonly e_phnum: 'u16';
  readonly e_shentsize: 'u16';
  readonly e_shnum: 'u16';
  readonly e_shstrndx: 'u16';
};

/** System V ABI, "ELF Header", 64-bit objects. */
export const Elf64_Ehdr: Struct<Elf64EhdrFields> = struct('Elf64_Ehdr', 64, {
  e_ident: ['bytes', 16],
  e_type: 'u16',
  e_machine: 'u16',
  e_version: 'u32',
  e_entry: 'u64',
  e_phoff: 'u64',
  e_shoff: 'u64',
  e_flags: 'u32',
  e_ehsize: 'u16',
  e_phentsize: 'u16',
  e_phnum: 'u16',
  e_shentsize: 'u16',
  e_shnum: 'u16',
  e_shstrndx: 'u16',
});

type Elf64ShdrFields = {
  readonly sh_name: 'u32';
  readonly sh_type: 'u32';
  readonly sh_flags: 'u64';
  readonly sh_addr: 'u64';
  readonly sh_offset: 'u64';
  readonly sh_size: 'u64';
  readonly sh_link: 'u32';
  readonly sh_info: 'u32';
  readonly sh_addralign: 'u64';
  readonly sh_entsize: 'u64';
};

/** System V ABI, "Section Header", 64-bit objects. */
export const Elf64_Shdr: Struct<Elf64ShdrFields> = struct('Elf64_Shdr', 64, {
  sh_name: 'u32',
  sh_type: 'u32',
  sh_flags: 'u64',
  sh_addr: 'u64',
  sh_offset: 'u64',
  sh_size: 'u64',
  sh_link: 'u32',
  sh_info: 'u32',
  sh_addralign: 'u64',
  sh_entsize: 'u64',
});
