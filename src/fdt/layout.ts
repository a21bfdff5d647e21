import { ByteView, FormatError, hex, overlaps } from '../bytes/index.ts';
import {
  FDT_MAGIC,
  FDT_RSVMAP_ALIGN,
  FDT_SIZE_LIMIT,
  FDT_TAGSIZE,
  FDT_VERSION,
  fdt_header,
  fdt_reserve_entry,
} from '../spec/fdt.ts';
import type { FdtWarn } from './warnings.ts';
import type { MemReserve } from './write.ts';

/** Where the blocks of a blob are; every offset has been checked against the input. */
export interface FdtLayout {
  /** `totalsize` bytes. */
  readonly view: ByteView;
  readonly structStart: number;
  readonly structLimit: number;
  readonly stringsStart: number;
  readonly stringsLimit: number;
  readonly bootCpuid: number;
  readonly memReserve: MemReserve[];
}

/**
 * Reads the header and the memory reservations (Devicetree Specification, Header and Memory
 * Reservation Block). Stricter than libfdt 1.6 where that lets a blob pass which newer libfdt,
 * Linux or dtc refuse: alignment, blocks that overlap.
 */
export function readLayout(input: Uint8Array, maxBytes: number, warn: FdtWarn): FdtLayout {
  const head = new ByteView(input, 'be', 'fdt');
  if (input.length >= 4 && head.u32(0) !== FDT_MAGIC) {
    throw new FormatError('fdt/magic', 0, `not a device tree: magic ${hex(head.u32(0))}`);
  }
  const header = fdt_header.read(head, 0);
  const at = fdt_header.offsets;
  checkVersion(header.version, header.last_comp_version);
  const { totalsize } = header;
  if (totalsize < fdt_header.size || totalsize >= FDT_SIZE_LIMIT || totalsize > input.length) {
    const why = `totalsize ${hex(totalsize)}, the input has ${hex(input.length)} bytes`;
    throw new FormatError('fdt/truncated', at.totalsize, why);
  }
  if (totalsize > maxBytes) {
    throw new FormatError('fdt/too-large', at.totalsize, `totalsize ${totalsize} > ${maxBytes}`);
  }
  if (input.length > totalsize) {
    warn('fdt/trailing-bytes', totalsize, '/', `${input.length - totalsize} bytes after the tree`);
  }
  align(header.off_dt_struct, FDT_TAGSIZE, 'off_dt_struct', at.off_dt_struct);
  align(header.off_mem_rsvmap, FDT_RSVMAP_ALIGN, 'off_mem_rsvmap', at.off_mem_rsvmap);

  // A copy: the tree's values are views of it, and the caller may reuse the input.
  const view = new ByteView(input.slice(0, totalsize), 'be', 'fdt');
  const structLimit = header.off_dt_struct + header.size_dt_struct;
  const stringsLimit = header.off_dt_strings + header.size_dt_strings;
  inside(structLimit, totalsize, 'structure block', at.size_dt_struct);
  inside(stringsLimit, totalsize, 'strings block', at.size_dt_strings);
  const reserve = readReserve(view, header.off_mem_rsvmap, warn);
  separate([
    { what: 'header', start: 0, limit: fdt_header.size, field: 0 },
    {
      what: 'memory reservation block',
      start: header.off_mem_rsvmap,
      limit: reserve.limit,
      field: at.off_mem_rsvmap,
    },
    {
      what: 'structure block',
      start: header.off_dt_struct,
      limit: structLimit,
      field: at.off_dt_struct,
    },
    {
      what: 'strings block',
      start: header.off_dt_strings,
      limit: stringsLimit,
      field: at.off_dt_strings,
    },
  ]);
  return {
    view,
    structStart: header.off_dt_struct,
    structLimit,
    stringsStart: header.off_dt_strings,
    stringsLimit,
    bootCpuid: header.boot_cpuid_phys,
    memReserve: reserve.entries,
  };
}

function checkVersion(version: number, lastComp: number): void {
  const at = fdt_header.offsets;
  if (lastComp > FDT_VERSION || version < lastComp) {
    const why = `last_comp_version ${lastComp} of version ${version}, this reads ${FDT_VERSION}`;
    throw new FormatError('fdt/version', at.last_comp_version, why);
  }
  if (version < FDT_VERSION) {
    const why = `version ${version} is too old; "dtc -I dtb -O dtb" writes it as ${FDT_VERSION}`;
    throw new FormatError('fdt/version', at.version, why);
  }
}

function align(value: number, alignment: number, what: string, offset: number): void {
  if (value % alignment === 0) return;
  const why = `${what} ${hex(value)} is not a multiple of ${alignment}`;
  throw new FormatError('fdt/alignment', offset, why);
}

function inside(limit: number, totalsize: number, what: string, offset: number): void {
  if (limit <= totalsize) return;
  const why = `${what} ends at ${hex(limit)}, after totalsize ${hex(totalsize)}`;
  throw new FormatError('fdt/truncated', offset, why);
}

interface Block {
  readonly what: string;
  readonly start: number;
  readonly limit: number;
  /** Where in the header its place is stated. */
  readonly field: number;
}

function separate(blocks: readonly Block[]): void {
  for (const [index, block] of blocks.entries()) {
    for (const other of blocks.slice(0, index)) {
      if (block.start === block.limit || other.start === other.limit) continue;
      const apart = !overlaps(
        { start: block.start, end: block.limit - 1 },
        { start: other.start, end: other.limit - 1 },
      );
      if (apart) continue;
      const why = `${block.what} at ${hex(block.start)} overlaps the ${other.what}`;
      throw new FormatError('fdt/overlap', block.field, why);
    }
  }
}

function readReserve(
  view: ByteView,
  start: number,
  warn: FdtWarn,
): { entries: MemReserve[]; limit: number } {
  const entries: MemReserve[] = [];
  let at = start;
  for (; ; at += fdt_reserve_entry.size) {
    view.need(at, fdt_reserve_entry.size, 'memory reservation block without its end');
    const address = view.u64(at);
    const size = view.u64(at + fdt_reserve_entry.offsets.size);
    if (size === 0n) {
      // dtc and libfdt both stop here, whatever the address says.
      if (address !== 0n)
        warn('fdt/memreserve', at, '/', `reservation of 0 bytes at ${hex(address)}`);
      break;
    }
    entries.push({ address, size });
  }
  const sorted = entries.toSorted((a, b) => (a.address < b.address ? -1 : 1));
  let limit = 0n;
  for (const { address, size } of sorted) {
    if (address < limit || address + size > 1n << 64n) {
      warn('fdt/memreserve', start, '/', `reservation at ${hex(address)} overlaps or wraps around`);
    }
    if (address + size > limit) limit = address + size;
  }
  return { entries, limit: at + fdt_reserve_entry.size };
}
