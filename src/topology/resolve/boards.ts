import type { Range } from '../../bytes/index.ts';
import {
  VIRT_MMIO_BASE,
  VIRT_MMIO_COUNT,
  VIRT_MMIO_SIZE,
  VIRT_MMIO_SPI,
} from '../../spec/virt-board.ts';
import type { Arch, Board } from '../model.ts';

/** Addresses of a board that a topology need not state. All guest-physical. */
export interface BoardMap {
  readonly arch: Arch;
  /** Configuration space of bus 0 of the first host. */
  readonly ecam: bigint;
  /** Windows that the hosts share out among themselves. */
  readonly io?: Range;
  readonly mem32: Range;
  readonly mem64?: Range;
  /** Whether each host has an ECAM of its own; otherwise all buses lie in one. */
  readonly ecamPerHost: boolean;
  /** Registers that no topology moves. */
  readonly fixed: readonly (Range & { readonly what: string; readonly spis: readonly number[] })[];
}

const GIB = 1n << 30n;

// QEMU 7.2 hw/arm/virt.c, base_memmap and extended_memmap; measured with dumpdtb.
const VIRT: BoardMap = {
  arch: 'arm64',
  ecam: 0x40_1000_0000n,
  io: { start: 0x3eff_0000n, end: 0x3eff_ffffn },
  mem32: { start: 0x1000_0000n, end: 0x3efe_ffffn },
  mem64: { start: 0x80_0000_0000n, end: 0xff_ffff_ffffn },
  ecamPerHost: false,
  fixed: [
    { what: 'flash memory', start: 0n, end: 0x7ff_ffffn, spis: [] },
    { what: 'the UART', start: 0x900_0000n, end: 0x900_0fffn, spis: [1] },
    { what: 'the real-time clock', start: 0x901_0000n, end: 0x901_0fffn, spis: [2] },
    { what: 'fw-cfg', start: 0x902_0000n, end: 0x902_0fffn, spis: [] },
    { what: 'the GPIO controller', start: 0x903_0000n, end: 0x903_0fffn, spis: [7] },
  ],
};

const Q35: BoardMap = {
  arch: 'x86-64',
  ecam: 0xb000_0000n,
  mem32: { start: 0xc000_0000n, end: 0xfebf_ffffn },
  ecamPerHost: false,
  fixed: [
    { what: 'the I/O APIC', start: 0xfec0_0000n, end: 0xfec0_0fffn, spis: [] },
    { what: 'the HPET', start: 0xfed0_0000n, end: 0xfed0_0fffn, spis: [] },
    { what: 'the BIOS', start: 0xffc0_0000n, end: 0xffff_ffffn, spis: [] },
  ],
};

// The map of `virt`, with a configuration space of 256 MiB for every segment.
const EMULATOR: BoardMap = { ...VIRT, ecamPerHost: true };

export const BOARDS: Readonly<Record<Board, BoardMap>> = {
  virt: VIRT,
  q35: Q35,
  emulator: EMULATOR,
};

/** Where RAM of `size` bytes lies. */
export function ramOf(board: Board, size: bigint): Range[] {
  if (board !== 'q35') return [{ start: GIB, end: GIB + size - 1n }];
  // pc_q35_init: what does not fit below the configuration space moves above 4 GiB, and then
  // the lower part is cut at 2 GiB.
  const low = size >= 0xb000_0000n ? 0x8000_0000n : size;
  const ranges = [{ start: 0n, end: low - 1n }];
  if (size > low) ranges.push({ start: 4n * GIB, end: 4n * GIB + (size - low) - 1n });
  return ranges;
}

/** The SPI of a virtio-mmio slot of the arm64 boards; undefined when `base` is no slot. */
export function slotInterrupt(base: bigint): number | undefined {
  const offset = base - VIRT_MMIO_BASE;
  if (offset < 0n || offset % VIRT_MMIO_SIZE !== 0n) return undefined;
  const slot = Number(offset / VIRT_MMIO_SIZE);
  return slot < VIRT_MMIO_COUNT ? VIRT_MMIO_SPI + slot : undefined;
}

/**
 * Part `index` of `count` equal parts of a window, each a multiple of `unit`; the last has what
 * is left. With one host: all of it.
 */
export function share(window: Range, index: number, count: number, unit: bigint): Range {
  const size = window.end - window.start + 1n;
  const part = (size / BigInt(count) / unit) * unit || size / BigInt(count);
  const start = window.start + part * BigInt(index);
  return { start, end: index === count - 1 ? window.end : start + part - 1n };
}
