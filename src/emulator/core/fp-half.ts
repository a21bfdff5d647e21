/** Conversions with half precision (IEEE 754 binary16), and FCVTXN. FPCR.AHP is never set. */
import { isNan, quiet, wide } from './fp-math.ts';

/** Half precision as a number of 32 (size 2) or 64 bits, exactly. */
export function fromHalf(size: u32, half: u64): u64 {
  const sign = (half >> 15) & 1;
  const fraction = half & 0x3ff;
  const exponent = (half >> 10) & 31;
  if (exponent == 31) {
    const bits: u64 =
      size == 2 ? 0x7f800000 | (fraction << 13) : ((<u64>0x7ff) << 52) | (fraction << 42);
    const signed = bits | (sign << (size == 2 ? 31 : 63));
    return fraction ? quiet(size, signed) : signed;
  }
  // As an integer times a power of two: 2^-24 is the smallest.
  const whole = exponent ? fraction | 0x400 : fraction;
  const power = <u64>(1023 - 24 + (exponent ? <i32>exponent - 1 : 0));
  const value = copysign<f64>(<f64>whole * reinterpret<f64>(power << 52), sign ? -1 : 1);
  return size == 2 ? <u64>reinterpret<u32>(<f32>value) : reinterpret<u64>(value);
}

/** A number of 32 or 64 bits as half precision, rounded to nearest even. */
export function toHalf(size: u32, bits: u64): u64 {
  if (isNan(size, bits)) {
    const sign = (bits >> (size == 2 ? 16 : 48)) & 0x8000;
    return sign | 0x7e00 | ((bits >> (size == 2 ? 13 : 42)) & 0x1ff);
  }
  const value = wide(size, bits);
  const magnitude = reinterpret<u64>(abs<f64>(value));
  const sign: u64 = (reinterpret<u64>(value) >> 48) & 0x8000;
  if (magnitude >= (<u64>(1023 + 16)) << 52) return sign | 0x7c00;
  // Below 2^-14 units of 2^-24.
  if (magnitude < (<u64>(1023 - 14)) << 52)
    return sign | (<u64>nearest<f64>(abs<f64>(value) * 16777216));
  const biased = magnitude - ((<u64>(1023 - 15)) << 52);
  const rest = biased & 0x3ffffffffff;
  const kept = biased >> 42;
  const half: u64 = 0x20000000000;
  return sign | (kept + u64(rest > half || (rest == half && (kept & 1) != 0)));
}

/** FCVTXN: 64 bits to 32, rounded to odd. */
export function toSingleOdd(bits: u64): u64 {
  const value = reinterpret<f64>(bits);
  let single = reinterpret<u32>(<f32>value);
  const rounded = <f64>reinterpret<f32>(single);
  if (rounded == value) return <u64>single;
  if (abs<f64>(rounded) > abs<f64>(value)) single--;
  return <u64>(single | 1);
}
