import { struct, type Struct } from '../bytes/index.ts';

/** Devicetree Specification 0.4, Flattened Devicetree (DTB) Format / Header. */
export const FDT_MAGIC = 0xd00dfeed;
/** The version whose header ends with `size_dt_struct`. */
export const FDT_VERSION = 17;
/** "This field shall always contain 16": what a version-17 tree is compatible with. */
export const FDT_LAST_COMP_VERSION = 16;

/** Structure block / Lexical structure: the tokens, each a big-endian u32 on a 4-byte boundary. */
export const FDT_BEGIN_NODE = 1;
export const FDT_END_NODE = 2;
export const FDT_PROP = 3;
export const FDT_NOP = 4;
export const FDT_END = 9;

/** Alignment of tokens, and of the structure block within the blob. */
export const FDT_TAGSIZE = 4;
/** Alignment of the memory reservation block within the blob. */
export const FDT_RSVMAP_ALIGN = 8;
/** libfdt and Linux hold offsets in signed 32-bit integers. */
export const FDT_SIZE_LIMIT = 0x8000_0000;
/** Linux' unflatten_device_tree gives up below this depth (drivers/of/fdt.c, FDT_MAX_DEPTH). */
export const FDT_MAX_DEPTH = 64;

/** Longest node name before its `@`, and longest property name (Node Names, Property Names). */
export const FDT_NAME_MAX = 31;

/** Values that no node may have as its phandle. */
export const FDT_PHANDLE_NONE = 0;
export const FDT_PHANDLE_INVALID = 0xffff_ffff;

/** `struct fdt_header`. */
export const fdt_header: Struct<{
  readonly magic: 'u32';
  readonly totalsize: 'u32';
  readonly off_dt_struct: 'u32';
  readonly off_dt_strings: 'u32';
  readonly off_mem_rsvmap: 'u32';
  readonly version: 'u32';
  readonly last_comp_version: 'u32';
  readonly boot_cpuid_phys: 'u32';
  readonly size_dt_strings: 'u32';
  readonly size_dt_struct: 'u32';
}> = struct('fdt_header', 40, {
  magic: 'u32',
  totalsize: 'u32',
  off_dt_struct: 'u32',
  off_dt_strings: 'u32',
  off_mem_rsvmap: 'u32',
  version: 'u32',
  last_comp_version: 'u32',
  boot_cpuid_phys: 'u32',
  size_dt_strings: 'u32',
  size_dt_struct: 'u32',
});

/** `struct fdt_reserve_entry`; one of size 0 ends the block. */
export const fdt_reserve_entry: Struct<{
  readonly address: 'u64';
  readonly size: 'u64';
}> = struct('fdt_reserve_entry', 16, { address: 'u64', size: 'u64' });
