import { overlaps, showRange, type Range } from '../../bytes/index.ts';
import type { Board, Gic, GuestTarget } from '../model.ts';
import { ramOf } from './boards.ts';
import type { Context } from './context.ts';
import { ADDRESS_OVERLAP, BOARD_LACKS, GUEST_PAGE } from './problems.ts';
import { checkMemory, GUEST_PAGES } from './sizes.ts';

const DEFAULT_MEMORY = 512n << 20n;

/** RAM, ascending; what overlaps is reported and left out. */
export function resolveMemory(context: Context, board: Board, guest: GuestTarget): Range[] {
  const ranges = ramRanges(context, board);
  checkMemory(context, ranges, guest.pageSize);
  return ranges;
}

function ramRanges(context: Context, board: Board): Range[] {
  const memory = context.input.machine?.memory;
  if (memory === undefined) return ramOf(board, DEFAULT_MEMORY);
  if (!Array.isArray(memory)) return ramOf(board, memory.size > 0n ? memory.size : DEFAULT_MEMORY);
  const ranges: Range[] = [];
  memory.forEach((range, index) => {
    const other = ranges.findIndex((earlier) => overlaps(earlier, range));
    const earlier = ranges[other];
    if (earlier === undefined) {
      ranges.push(range);
      return;
    }
    const place = context.place('machine', 'memory', index);
    const message = `RAM ${showRange(range)} overlaps RAM ${showRange(earlier)}`;
    const related = [{ place: context.place('machine', 'memory', other), message: 'the other' }];
    context.report(ADDRESS_OVERLAP, place, message, { related });
  });
  return ranges.toSorted((a, b) => (a.start < b.start ? -1 : 1));
}

/** The GIC of an arm64 board. */
export function resolveGic(context: Context, board: Board): Gic | undefined {
  const gic = context.input.machine?.gic;
  if (board === 'q35') {
    if (gic !== undefined) {
      context.report(BOARD_LACKS, context.keyPlace('machine', 'gic'), 'q35 has no GIC');
    }
    return undefined;
  }
  const version = (gic?.version ?? (board === 'virt' ? 3 : 2)) === 3 ? 3 : 2;
  return {
    version,
    distributor: gic?.distributor ?? { start: 0x800_0000n, end: 0x800_ffffn },
    cpuInterface:
      gic?.['cpu-interface'] ??
      (version === 3
        ? { start: 0x80a_0000n, end: 0x8ff_ffffn }
        : { start: 0x801_0000n, end: 0x801_ffffn }),
    place: context.place('machine', 'gic'),
  };
}

/** Bytes of a transfer whose topology states none. */
const TRANSFER_SIZE = 1n << 20n;

/** Kernel and page size that the topology is made for. */
export function resolveGuest(context: Context, board: Board): GuestTarget {
  const guest = context.input.guest;
  const pageSize = guest?.['page-size'] ?? 4096n;
  if (!GUEST_PAGES.includes(pageSize) || (board === 'q35' && pageSize !== 4096n)) {
    const message = `no kernel for ${board} has pages of ${pageSize} bytes`;
    context.report(GUEST_PAGE, context.place('guest', 'page-size'), message);
  }
  const defaultDomain = guest?.['default-domain'];
  return {
    ...(guest?.kernel === undefined ? {} : { kernel: guest.kernel }),
    pageSize,
    ...(defaultDomain === undefined ? {} : { defaultDomain }),
    checks: [...new Set(guest?.checks)],
    transferSize: guest?.['transfer-size'] ?? TRANSFER_SIZE,
  };
}
