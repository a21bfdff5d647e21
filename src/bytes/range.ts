import { hex } from './hex.ts';

/** A range of addresses or IDs that includes its last one: `start <= end`, both inside. */
export interface Range<T extends bigint | number = bigint> {
  readonly start: T;
  readonly end: T;
}

/** Whether the two share at least one address. */
export function overlaps<T extends bigint | number>(a: Range<T>, b: Range<T>): boolean {
  return a.start <= b.end && b.start <= a.end;
}

/** Whether `inner` lies wholly inside `outer`. */
export function covers<T extends bigint | number>(outer: Range<T>, inner: Range<T>): boolean {
  return outer.start <= inner.start && inner.end <= outer.end;
}

/** Whether `value` is one of the range's addresses. */
export function contains<T extends bigint | number>(range: Range<T>, value: T): boolean {
  return range.start <= value && value <= range.end;
}

/** The addresses both have, or undefined. */
export function intersection<T extends bigint | number>(
  a: Range<T>,
  b: Range<T>,
): Range<T> | undefined {
  if (!overlaps(a, b)) return undefined;
  return { start: a.start > b.start ? a.start : b.start, end: a.end < b.end ? a.end : b.end };
}

/** `0x8000000-0x80fffff`, the form that topologies and messages use. */
export function showRange(range: Range<bigint | number>): string {
  return `${hex(range.start)}-${hex(range.end)}`;
}

/** Number of bytes of a range whose end is included. */
export function sizeOf(range: Range): bigint {
  return range.end - range.start + 1n;
}
