import { ByteView, type Range } from '../../bytes/index.ts';
import * as spec from '../../spec/aml.ts';

/** What a `_CRS` buffer grants. */
export interface Resources {
  /** Memory32Fixed: registers. */
  readonly registers: readonly Range[];
  readonly interrupts: readonly number[];
  /** Address space descriptors of type memory. */
  readonly windows: readonly Range[];
  readonly buses: readonly Range<number>[];
}

const SMALL_LENGTH_MASK = 7;
const LARGE = 0x80;
const WIDTHS: Readonly<Record<number, 2 | 4 | 8>> = {
  [spec.RESOURCE_WORD_ADDRESS]: 2,
  [spec.RESOURCE_DWORD_ADDRESS]: 4,
  [spec.RESOURCE_QWORD_ADDRESS]: 8,
};

/** @throws FormatError when the buffer is cut off */
export function readResources(bytes: Uint8Array): Resources {
  const view = new ByteView(bytes, 'le', 'crs');
  const registers: Range[] = [];
  const interrupts: number[] = [];
  const windows: Range[] = [];
  const buses: Range<number>[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = view.u8(at);
    if (tag === spec.RESOURCE_END_TAG) break;
    if ((tag & LARGE) === 0) {
      at += 1 + (tag & SMALL_LENGTH_MASK);
      continue;
    }
    const length = view.u16(at + 1);
    const body = at + 3;
    view.need(body, length, 'resource');
    const width = WIDTHS[tag];
    if (tag === spec.RESOURCE_MEMORY32_FIXED) {
      const start = BigInt(view.u32(body + 1));
      const size = BigInt(view.u32(body + 5));
      if (size > 0n) registers.push({ start, end: start + size - 1n });
    } else if (tag === spec.RESOURCE_EXTENDED_INTERRUPT) {
      const count = view.u8(body + 1);
      for (let i = 0; i < count; i++) interrupts.push(view.u32(body + 2 + 4 * i));
    } else if (width !== undefined) {
      addWindow(view, body, width, windows, buses);
    }
    at = body + length;
  }
  return { registers, interrupts, windows, buses };
}

/** Word, DWord and QWord address space descriptors (ACPI 6.5, 6.4.3.5). */
function addWindow(
  view: ByteView,
  body: number,
  width: 2 | 4 | 8,
  windows: Range[],
  buses: Range<number>[],
): void {
  const field = (index: number): bigint => {
    const at = body + 3 + index * width;
    if (width === 8) return view.u64(at);
    return BigInt(width === 4 ? view.u32(at) : view.u16(at));
  };
  const type = view.u8(body);
  // Granularity, minimum, maximum, translation, length.
  const [start, end, translation] = [field(1), field(2), field(3)];
  if (start > end) return;
  if (type === spec.RESOURCE_TYPE_BUS) buses.push({ start: Number(start), end: Number(end) });
  else if (type === spec.RESOURCE_TYPE_MEMORY) {
    windows.push({ start: start + translation, end: end + translation });
  }
}
