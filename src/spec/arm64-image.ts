import { struct } from '../bytes/index.ts';

// Linux Documentation/arch/arm64/booting.rst, "Call the kernel image".

/** `ARM\x64`, little-endian. */
export const ARM64_IMAGE_MAGIC = 0x644d_5241;
/** Bit 0 of `flags`: the kernel is big-endian. */
export const ARM64_IMAGE_FLAG_BE = 1n;
/** Bits 1 and 2 of `flags`: page size, 0 unspecified, 1 is 4 KiB. */
export const ARM64_IMAGE_PAGE_SHIFT = 1n;
/** Their values. */
export const ARM64_IMAGE_PAGE_16K = 2n;
export const ARM64_IMAGE_PAGE_64K = 3n;
/** The image goes this far above a multiple of it, plus `text_offset`. */
export const ARM64_IMAGE_ALIGN = 0x20_0000;

export const arm64_image_header = struct('arm64_image_header', 64, {
  code0: 'u32',
  code1: 'u32',
  text_offset: 'u64',
  image_size: 'u64',
  flags: 'u64',
  res2: 'u64',
  res3: 'u64',
  res4: 'u64',
  magic: 'u32',
  res5: 'u32',
});
