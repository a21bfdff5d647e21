/** 64-bit addresses as (hi, lo) pairs of unsigned 32-bit halves: exact, and nothing to allocate. */

/** a < b. */
export function less(aHi: number, aLo: number, bHi: number, bLo: number): boolean {
  return aHi < bHi || (aHi === bHi && aLo < bLo);
}

/** Whether the two ranges, ends included, share an address. */
export function meet(
  aStartHi: number,
  aStartLo: number,
  aEndHi: number,
  aEndLo: number,
  bStartHi: number,
  bStartLo: number,
  bEndHi: number,
  bEndLo: number,
): boolean {
  return !less(aEndHi, aEndLo, bStartHi, bStartLo) && !less(bEndHi, bEndLo, aStartHi, aStartLo);
}

/** Upper half of a 64-bit value. */
export function upper(value: bigint): number {
  return Number(BigInt.asUintN(64, value) >> 32n);
}

/** Lower half of a 64-bit value. */
export function lower(value: bigint): number {
  return Number(BigInt.asUintN(32, value));
}

/** The value of two halves. */
export function wide(hi: number, lo: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo);
}

/** 2^64 - 1. */
export const LAST_ADDRESS: bigint = (1n << 64n) - 1n;

/** 2^32: what one unit of the upper half is worth. */
export const HALF = 0x1_0000_0000;
