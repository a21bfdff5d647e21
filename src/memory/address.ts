/**
 * 64-bit addresses as pairs of 32-bit halves, exact and without allocation on the hot path.
 * Outside it they are bigint; these convert.
 */

/** 2^32: what one unit of the upper half is worth. */
export const HALF = 0x1_0000_0000;

/** Upper 32 bits of a 64-bit address. */
export function hiOf(address: bigint): number {
  return Number(BigInt.asUintN(64, address) >> 32n);
}

/** Lower 32 bits of a 64-bit address. */
export function loOf(address: bigint): number {
  return Number(BigInt.asUintN(32, address));
}

/** The address of two halves; `lo` may exceed 32 bits, what is beyond 2^64 - 1 wraps. */
export function addressOf(hi: number, lo: number): bigint {
  return BigInt.asUintN(64, (BigInt(hi) << 32n) + BigInt(lo));
}
