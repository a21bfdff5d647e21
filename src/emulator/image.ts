import { ByteView, FormatError } from '../bytes/index.ts';
import {
  ARM64_IMAGE_ALIGN,
  ARM64_IMAGE_FLAG_BE,
  ARM64_IMAGE_MAGIC,
  ARM64_IMAGE_PAGE_16K,
  ARM64_IMAGE_PAGE_64K,
  ARM64_IMAGE_PAGE_SHIFT,
  arm64_image_header,
} from '../spec/arm64-image.ts';
import { PE_FILE_HEADER, PE_LFANEW, PE_SECTION_HEADER, PE_SIGNATURE } from '../spec/pe.ts';

/** An arm64 kernel as its header describes it. */
export interface KernelImage {
  readonly bytes: Uint8Array;
  /** Bytes above a multiple of 2 MiB. */
  readonly textOffset: number;
  /** Bytes that the kernel needs from its start, BSS included. */
  readonly imageSize: number;
}

/**
 * Reads the header of an uncompressed `Image`.
 * @throws FormatError `image/…` for what is none, compressed (EFI zboot, gzip), big-endian, cut short, or
 *   made for pages that the CPU does not have: such a kernel hangs without a word
 */
export function readImage(bytes: Uint8Array): KernelImage {
  const view = new ByteView(bytes, 'le', 'image');
  const header = arm64_image_header.read(view, 0);
  if (header.magic !== ARM64_IMAGE_MAGIC) {
    throw new FormatError('image/magic', 56, 'no arm64 Image: compressed, or of another machine');
  }
  if ((header.flags & ARM64_IMAGE_FLAG_BE) !== 0n) {
    throw new FormatError('image/endian', 24, 'a big-endian kernel');
  }
  const pages = (header.flags >> ARM64_IMAGE_PAGE_SHIFT) & 3n;
  if (pages === ARM64_IMAGE_PAGE_16K || pages === ARM64_IMAGE_PAGE_64K) {
    const size = pages === ARM64_IMAGE_PAGE_64K ? 64 : 16;
    throw new FormatError('image/pages', 24, `a kernel for pages of ${size} KiB, this CPU has 4`);
  }
  if (header.text_offset >= BigInt(ARM64_IMAGE_ALIGN) || header.image_size >> 32n !== 0n) {
    throw new FormatError('image/size', 8, 'text_offset or image_size is out of range');
  }
  checkWhole(view);
  return {
    bytes,
    textOffset: Number(header.text_offset),
    imageSize: Math.max(Number(header.image_size), bytes.length),
  };
}

/**
 * `image_size` counts BSS, which no file has. What the file itself must hold is told by its sections
 * as a PE executable, where it is one too (CONFIG_EFI).
 */
function checkWhole(view: ByteView): void {
  const { length } = view;
  const at = view.u32(PE_LFANEW);
  if (at === 0 || at + PE_FILE_HEADER.size > length) return;
  const header = PE_FILE_HEADER.read(view, at);
  if (header.Signature !== PE_SIGNATURE) return;
  const first = at + PE_FILE_HEADER.size + header.SizeOfOptionalHeader;
  for (let n = 0; n < header.NumberOfSections; n++) {
    const entry = first + n * PE_SECTION_HEADER.size;
    if (entry + PE_SECTION_HEADER.size > length) return;
    const section = PE_SECTION_HEADER.read(view, entry);
    const end = section.PointerToRawData + section.SizeOfRawData;
    if (end > length) {
      throw new FormatError('image/short', entry, `cut short: ${length} bytes of at least ${end}`);
    }
  }
}

/** Where things go, as offsets from the start of RAM. */
export interface Placement {
  readonly kernel: number;
  readonly initrd: number;
  readonly dtb: number;
}

const INITRD_ALIGN = 0x1000;
const DTB_ALIGN = 0x20_0000;

/**
 * Kernel 2 MiB above the start of RAM, initramfs and device tree at its end, as the boot protocol
 * allows; the tree gets 2 MiB of its own.
 * @throws FormatError `image/room` when they do not fit
 */
export function place(ramSize: number, kernel: KernelImage, initrdSize: number): Placement {
  const at = ARM64_IMAGE_ALIGN + kernel.textOffset;
  const dtb = Math.floor(ramSize / DTB_ALIGN) * DTB_ALIGN - DTB_ALIGN;
  const initrd = Math.floor((dtb - initrdSize) / INITRD_ALIGN) * INITRD_ALIGN;
  if (initrd < at + kernel.imageSize) {
    const need = at + kernel.imageSize + initrdSize + 2 * DTB_ALIGN;
    throw new FormatError('image/room', 0, `${ramSize} bytes of RAM, at least ${need} are needed`);
  }
  return { kernel: at, initrd, dtb };
}
