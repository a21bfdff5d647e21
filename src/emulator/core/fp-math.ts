/**
 * Floating-point arithmetic on bit patterns: IEEE 754 binary32 and binary64, round to nearest even,
 * with the architecture's NaNs (Arm ARM, FPProcessNaNs). FPSR's cumulative bits are not kept.
 *
 * `size` is 2 for 32 and 3 for 64 bits.
 */

const DEFAULT_NAN32: u64 = 0x7fc00000;
const DEFAULT_NAN64: u64 = 0x7ff8000000000000;

export const FP_ADD: u32 = 0;
export const FP_SUB: u32 = 1;
export const FP_MUL: u32 = 2;
export const FP_DIV: u32 = 3;
export const FP_MAX: u32 = 4;
export const FP_MIN: u32 = 5;
export const FP_MAXNM: u32 = 6;
export const FP_MINNM: u32 = 7;
export const FP_NMUL: u32 = 8;
export const FP_ABD: u32 = 9;
/** FMULX: zero times infinity is 2. */
export const FP_MULX: u32 = 10;

/** @inline */
function single(bits: u64): f32 {
  return reinterpret<f32>(<u32>bits);
}

/** @inline */
export function double(bits: u64): f64 {
  return reinterpret<f64>(bits);
}

/** The value as a double, exactly. */
export function wide(size: u32, bits: u64): f64 {
  return size == 2 ? <f64>single(bits) : double(bits);
}

export function isNan(size: u32, bits: u64): bool {
  return size == 2 ? (bits & 0x7fffffff) > 0x7f800000 : bits << 1 > 0xffe0000000000000;
}

export function isQuiet(size: u32, bits: u64): bool {
  return ((bits >> (size == 2 ? 22 : 51)) & 1) != 0;
}

function isSignalling(size: u32, bits: u64): bool {
  return isNan(size, bits) && !isQuiet(size, bits);
}

/** A NaN, made quiet. */
export function quiet(size: u32, bits: u64): u64 {
  return bits | (size == 2 ? 0x400000 : 0x8000000000000);
}

export function defaultNan(size: u32): u64 {
  return size == 2 ? DEFAULT_NAN32 : DEFAULT_NAN64;
}

/** The NaN that an operation on a and b gives: a signalling one first, then a quiet one. */
function nanOf2(size: u32, a: u64, b: u64): u64 {
  if (isSignalling(size, a)) return quiet(size, a);
  if (isSignalling(size, b)) return quiet(size, b);
  if (isNan(size, a)) return a;
  if (isNan(size, b)) return b;
  return defaultNan(size);
}

export function nanOf3(size: u32, a: u64, b: u64, c: u64): u64 {
  if (isSignalling(size, a)) return quiet(size, a);
  if (isSignalling(size, b)) return quiet(size, b);
  if (isSignalling(size, c)) return quiet(size, c);
  if (isNan(size, a)) return a;
  return nanOf2(size, b, c);
}

export function negate(size: u32, bits: u64): u64 {
  return bits ^ (size == 2 ? 0x80000000 : 0x8000000000000000);
}

export function absolute(size: u32, bits: u64): u64 {
  return size == 2 ? bits & 0x7fffffff : bits & 0x7fffffffffffffff;
}

/** An operation FP_* of two operands. */
export function fp2(op: u32, size: u32, a: u64, b: u64): u64 {
  let second = b;
  let first = a;
  let kind = op;
  if (op == FP_MAXNM || op == FP_MINNM) {
    // A quiet NaN beside a number is no number at all.
    if (isNan(size, a) && isQuiet(size, a) && !isNan(size, b)) first = b;
    else if (isNan(size, b) && isQuiet(size, b) && !isNan(size, a)) second = a;
    kind = op == FP_MAXNM ? FP_MAX : FP_MIN;
  }
  if (isNan(size, first) || isNan(size, second))
    return nanEnd(op, size, nanOf2(size, first, second));
  let bits: u64;
  if (size == 2) bits = <u64>reinterpret<u32>(arithmetic<f32>(kind, single(first), single(second)));
  else bits = reinterpret<u64>(arithmetic<f64>(kind, double(first), double(second)));
  if (isNan(size, bits)) {
    if (op == FP_MULX)
      return signOfProduct(size, a, b) | (size == 2 ? 0x40000000 : 0x4000000000000000);
    bits = defaultNan(size);
  }
  return nanEnd(op, size, bits);
}

function signOfProduct(size: u32, a: u64, b: u64): u64 {
  const product = a ^ b;
  return product ^ absolute(size, product);
}

/** FNMUL negates and FABD takes the magnitude of whatever came out, NaNs included. */
function nanEnd(op: u32, size: u32, bits: u64): u64 {
  if (op == FP_NMUL) return negate(size, bits);
  return op == FP_ABD ? absolute(size, bits) : bits;
}

function arithmetic<T>(op: u32, a: T, b: T): T {
  switch (op) {
    case FP_ADD:
      return a + b;
    case FP_SUB:
    case FP_ABD:
      return a - b;
    case FP_DIV:
      return a / b;
    case FP_MAX:
      return max<T>(a, b);
    case FP_MIN:
      return min<T>(a, b);
    default:
      return a * b;
  }
}

export const ROUND_NEAREST: u32 = 0;
export const ROUND_UP: u32 = 1;
export const ROUND_DOWN: u32 = 2;
export const ROUND_ZERO: u32 = 3;
export const ROUND_AWAY: u32 = 4;

/** To an integer, in one of the modes; ROUND_AWAY is to nearest, ties away from zero. */
export function rounded(value: f64, mode: u32): f64 {
  switch (mode) {
    case ROUND_NEAREST:
      return nearest<f64>(value);
    case ROUND_UP:
      return ceil<f64>(value);
    case ROUND_DOWN:
      return floor<f64>(value);
    case ROUND_ZERO:
      return trunc<f64>(value);
    default: {
      const whole = trunc<f64>(value);
      if (abs<f64>(value - whole) < 0.5) return whole;
      return value < 0 ? whole - 1 : whole + 1;
    }
  }
}

/** FRINT*: to an integer in floating point. */
export function roundToIntegral(size: u32, bits: u64, mode: u32): u64 {
  if (isNan(size, bits)) return quiet(size, bits);
  const value = rounded(wide(size, bits), mode);
  return narrow(size, value);
}

/** A double that is a number, as bits. */
export function narrow(size: u32, value: f64): u64 {
  return size == 2 ? <u64>reinterpret<u32>(<f32>value) : reinterpret<u64>(value);
}

/** FCVT between the two sizes. */
export function convertSize(from: u32, bits: u64): u64 {
  if (isNan(from, bits)) {
    if (from == 2) {
      return ((bits & 0x80000000) << 32) | 0x7ff8000000000000 | ((bits & 0x3fffff) << 29);
    }
    return ((bits >> 32) & 0x80000000) | 0x7fc00000 | ((bits >> 29) & 0x3fffff);
  }
  return from == 2 ? reinterpret<u64>(<f64>single(bits)) : <u64>reinterpret<u32>(<f32>double(bits));
}

export function squareRoot(size: u32, bits: u64): u64 {
  if (isNan(size, bits)) return quiet(size, bits);
  const value: u64 =
    size == 2
      ? <u64>reinterpret<u32>(sqrt<f32>(single(bits)))
      : reinterpret<u64>(sqrt<f64>(double(bits)));
  return isNan(size, value) ? defaultNan(size) : value;
}

/** 2^n, for n from -64 to 64. */
export function powerOf2(n: i32): f64 {
  return reinterpret<f64>((<u64>(n + 1023)) << 52);
}

/** To an integer of 32 or 64 bits, saturating; NaN gives 0. */
export function toInteger(value: f64, unsigned: bool, is64: bool): u64 {
  if (unsigned) return is64 ? <u64>value : <u64>(<u32>value);
  return is64 ? <u64>(<i64>value) : <u64>(<u32>(<i32>value));
}

/** From an integer that was extended to 64 bits, divided by 2^fraction. */
export function fromInteger(size: u32, value: u64, unsigned: bool, fraction: i32): u64 {
  const scale = powerOf2(-fraction);
  if (size == 2) {
    const number: f32 = unsigned ? <f32>value : <f32>(<i64>value);
    return <u64>reinterpret<u32>(number * <f32>scale);
  }
  const number: f64 = unsigned ? <f64>value : <f64>(<i64>value);
  return reinterpret<u64>(number * scale);
}
