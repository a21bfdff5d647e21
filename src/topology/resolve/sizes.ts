import { hex, showRange, sizeOf, type Range } from '../../bytes/index.ts';
import type { Context } from './context.ts';
import { DISK_SIZE, MEMORY_SIZE } from './problems.ts';

/** Page sizes of kernels. */
export const GUEST_PAGES: readonly bigint[] = [4096n, 16384n, 65536n];

/** A stock kernel, its initial RAM disk and a few MiB to run in; QEMU's arm64 `virt` needs it too. */
const MEMORY_MIN = 64n << 20n;
/** 48 bits of physical address: what a kernel with pages of 4K maps on arm64, and more than q35 has. */
const MEMORY_LIMIT = 1n << 48n;
/** The sector of virtio-blk and of NVMe. */
const SECTOR = 512n;
/** Each sector is written with its own text before a boot: more would take many minutes. */
const DISK_MAX = 64n << 30n;

/** RAM in whole guest pages, enough of it, where a kernel can reach it. */
export function checkMemory(context: Context, ranges: readonly Range[], guestPage: bigint): void {
  // A page size that no kernel has is reported as such.
  const pageSize = GUEST_PAGES.includes(guestPage) ? guestPage : 4096n;
  const written = context.input.machine?.memory;
  const none = written !== undefined && !Array.isArray(written) && written.size === 0n;
  const faults = ranges.flatMap((range): { range: Range; fault: string }[] => {
    const fault = rangeFault(range, pageSize);
    return fault === undefined ? [] : [{ range, fault }];
  });
  for (const { range, fault } of faults) {
    const index = Array.isArray(written)
      ? written.findIndex(({ start }) => start === range.start)
      : -1;
    const place =
      index < 0 ? context.place('machine', 'memory') : context.place('machine', 'memory', index);
    context.report(MEMORY_SIZE, place, fault);
  }
  const total = none ? 0n : ranges.reduce((sum, range) => sum + sizeOf(range), 0n);
  if (faults.length > 0 || total >= MEMORY_MIN) return;
  const message = `the machine has ${hex(total)} bytes of memory, less than 64M`;
  context.report(MEMORY_SIZE, context.place('machine', 'memory'), message);
}

function rangeFault(range: Range, pageSize: bigint): string | undefined {
  const size = sizeOf(range);
  if (range.start % pageSize !== 0n || size % pageSize !== 0n) {
    return `RAM ${showRange(range)} (${hex(size)} bytes) is no whole number of guest pages of ${pageSize >> 10n}K`;
  }
  return range.end < MEMORY_LIMIT ? undefined : `RAM ${showRange(range)} goes beyond 48 bits`;
}

/** A disk of whole sectors, not too many. */
export function checkDisk(context: Context, id: string, size: bigint, index: number): void {
  const place = context.place('endpoints', index, 'device', 'size');
  if (size % SECTOR !== 0n) {
    const message = `the disk "${id}" has ${size} bytes, no whole number of sectors of 512`;
    context.report(DISK_SIZE, place, message);
  } else if (size > DISK_MAX) {
    context.report(DISK_SIZE, place, `the disk "${id}" has ${hex(size)} bytes, more than 64G`);
  }
}
