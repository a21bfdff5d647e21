/** Saturating arithmetic: what does not fit becomes the nearest that does, and FPSR.QC is set. */
import { FPSR } from './layout.ts';
import { maskOf } from './lanes.ts';
import { shiftRight } from './simd-shift.ts';

const QC: u32 = 1 << 27;

/** The lane's value in place of one that did not fit. */
function saturated(value: u64): u64 {
  store<u32>(FPSR, load<u32>(FPSR) | QC);
  return value;
}

/** @inline The largest and the smallest value of a lane, extended to 64 bits. */
function largest(size: u32, unsigned: bool): u64 {
  return unsigned ? maskOf(size) : maskOf(size) >> 1;
}

/** @inline */
function smallest(size: u32, unsigned: bool): u64 {
  return unsigned ? 0 : ~(maskOf(size) >> 1);
}

/** A signed number of 64 bits as a lane, signed or not. */
export function fitSigned(value: i64, size: u32, unsigned: bool): u64 {
  if (size == 3) return unsigned && value < 0 ? saturated(0) : <u64>value;
  if (value > <i64>largest(size, unsigned)) return saturated(largest(size, unsigned));
  if (value < <i64>smallest(size, unsigned)) return saturated(smallest(size, unsigned));
  return <u64>value;
}

/** An unsigned number of 64 bits as a lane, signed or not. */
function fitUnsigned(value: u64, size: u32, unsigned: bool): u64 {
  return value > largest(size, unsigned) ? saturated(largest(size, unsigned)) : value;
}

/** SQADD, UQADD; both extended as `unsigned` says. */
export function addSaturating(a: u64, b: u64, size: u32, unsigned: bool): u64 {
  const sum = a + b;
  if (size < 3) return fitSigned(<i64>sum, size, unsigned);
  if (unsigned) return sum < a ? saturated(-1) : sum;
  if (<i64>((a ^ sum) & (b ^ sum)) >= 0) return sum;
  return saturated(<i64>a < 0 ? smallest(3, false) : largest(3, false));
}

/** SQSUB, UQSUB. */
export function subSaturating(a: u64, b: u64, size: u32, unsigned: bool): u64 {
  const difference = a - b;
  if (size < 3) return fitSigned(<i64>difference, size, unsigned);
  if (unsigned) return a < b ? saturated(0) : difference;
  if (<i64>((a ^ b) & (a ^ difference)) >= 0) return difference;
  return saturated(<i64>a < 0 ? smallest(3, false) : largest(3, false));
}

/** SQSHL, UQSHL, SQRSHL, UQRSHL: by the signed lowest byte of `by`. */
export function shiftSaturating(a: u64, by: u64, size: u32, unsigned: bool, rounds: bool): u64 {
  const count = <i32>(<i8>by);
  if (count < 0) return shiftRight(a, <u32>-count, unsigned, rounds);
  if (a == 0) return 0;
  const end = !unsigned && <i64>a < 0 ? smallest(size, false) : largest(size, unsigned);
  if (count >= 8 << size) return saturated(end);
  const shifted = a << count;
  const back = unsigned ? shifted >> count : <u64>((<i64>shifted) >> count);
  if (back != a) return saturated(end);
  return unsigned ? fitUnsigned(shifted, size, true) : fitSigned(<i64>shifted, size, false);
}

/** SQSHLU: a signed number becomes an unsigned one. */
export function shiftToUnsigned(a: u64, count: u32, size: u32): u64 {
  return <i64>a < 0 ? saturated(0) : shiftSaturating(a, count, size, true, false);
}

/** SUQADD (a signed, b not) and USQADD (the other way round), to the kind of a. */
export function addMixed(a: u64, b: u64, size: u32, unsigned: bool): u64 {
  const sum = a + b;
  if (size < 3) return fitSigned(<i64>sum, size, unsigned);
  if (unsigned) {
    if (<i64>b < 0) return a < -b ? saturated(0) : sum;
    return sum < a ? saturated(-1) : sum;
  }
  if (<i64>a < 0 && b < -a) return sum;
  return (<i64>a >= 0 && sum < b) || <i64>sum < 0 ? saturated(largest(3, false)) : sum;
}

/** SQABS and SQNEG of the smallest number. */
export function negateSaturating(a: u64, size: u32): u64 {
  return a == smallest(size, false) ? saturated(largest(size, false)) : -a;
}

/** SQXTN, UQXTN, SQXTUN: a lane of twice the size to one of `size`. */
export function narrowSaturating(value: u64, size: u32, fromUnsigned: bool, unsigned: bool): u64 {
  return fromUnsigned ? fitUnsigned(value, size, true) : fitSigned(<i64>value, size, unsigned);
}

/** SQDMULH, SQRDMULH: the upper half of the doubled product. */
export function doubleHigh(a: u64, b: u64, size: u32, rounds: bool): u64 {
  if (a == smallest(size, false) && b == a) return saturated(largest(size, false));
  const bits: u64 = 8 << size;
  const half: i64 = rounds ? (<i64>1) << (bits - 1) : 0;
  return <u64>((<i64>(a * b) * 2 + half) >> bits);
}

/** SQDMULL: the doubled product, in a lane of twice the size. */
export function doubleLong(a: u64, b: u64, size: u32): u64 {
  if (a == smallest(size, false) && b == a) return saturated(largest(size + 1, false));
  return a * b * 2;
}

/** SQDMULL, SQDMLAL, SQDMLSL, as opcodes 13, 9 and 11 of three registers. */
export function doubleLongInto(opcode: u32, a: u64, b: u64, d: u64, size: u32): u64 {
  const product = doubleLong(a, b, size);
  if (opcode == 13) return product;
  // The accumulator is a lane, extended by its sign.
  const shift: u64 = 64 - (16 << size);
  const into = <u64>((<i64>(d << shift)) >> shift);
  if (opcode == 9) return addSaturating(into, product, size + 1, false);
  return subSaturating(into, product, size + 1, false);
}
