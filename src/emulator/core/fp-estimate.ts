/** Estimates of reciprocals and of their square roots, and the steps that refine them (Arm ARM, shared pseudocode). */
import { fusedMultiplyAdd } from './fp-fused.ts';
import { absolute, defaultNan, isNan, negate, quiet, wide } from './fp-math.ts';

/** RecipEstimate, of 256 to 511. */
function reciprocal(a: u32): u32 {
  const b = (1 << 19) / (a * 2 + 1);
  return (b + 1) >>> 1;
}

/** RecipSqrtEstimate, of 128 to 511. */
function reciprocalRoot(value: u32): u32 {
  const a = value < 256 ? value * 2 + 1 : ((value & ~1) + 1) * 2;
  let b: u32 = 512;
  while (a * (b + 1) * (b + 1) < 1 << 28) b++;
  return (b + 1) >>> 1;
}

/** @inline Bits of the exponent. */
function exponentMask(size: u32): u64 {
  return size == 2 ? 0xff : 0x7ff;
}

/** @inline Where the exponent stands. */
function exponentAt(size: u32): u64 {
  return size == 2 ? 23 : 52;
}

/** @inline The fraction as if it had 52 bits. */
function fractionOf(size: u32, bits: u64): u64 {
  return size == 2 ? (bits & 0x7fffff) << 29 : bits & 0xfffffffffffff;
}

/** A number of sign (in place), exponent and fraction of 52 bits. */
function compose(size: u32, sign: u64, exponent: i64, fraction: u64): u64 {
  return sign | ((<u64>exponent) << exponentAt(size)) | (size == 2 ? fraction >> 29 : fraction);
}

/** FRECPE */
export function reciprocalEstimate(size: u32, bits: u64): u64 {
  if (isNan(size, bits)) return quiet(size, bits);
  const mask = exponentMask(size);
  const sign = bits ^ absolute(size, bits);
  let exponent = <i64>((bits >> exponentAt(size)) & mask);
  if (<u64>exponent == mask) return sign;
  // Below 2^-128 or 2^-1024 the result overflows; zero is among these.
  if (absolute(size, bits) < (<u64>1) << (exponentAt(size) - 2))
    return compose(size, sign, mask, 0);
  let fraction = fractionOf(size, bits);
  if (exponent == 0) {
    if (fraction >> 51) fraction = (fraction << 1) & 0xfffffffffffff;
    else {
      exponent = -1;
      fraction = (fraction << 2) & 0xfffffffffffff;
    }
  }
  let to: i64 = (size == 2 ? 253 : 2045) - exponent;
  fraction = (<u64>(reciprocal(256 | (<u32>(fraction >> 44))) & 255)) << 44;
  if (to == 0) fraction = (fraction >> 1) | ((<u64>1) << 51);
  else if (to == -1) {
    fraction = (fraction >> 2) | ((<u64>1) << 50);
    to = 0;
  }
  return compose(size, sign, to, fraction);
}

/** FRSQRTE */
export function rootEstimate(size: u32, bits: u64): u64 {
  if (isNan(size, bits)) return quiet(size, bits);
  const mask = exponentMask(size);
  const sign = bits ^ absolute(size, bits);
  if (absolute(size, bits) == 0) return compose(size, sign, mask, 0);
  if (sign) return defaultNan(size);
  let exponent = <i64>((bits >> exponentAt(size)) & mask);
  if (<u64>exponent == mask) return 0;
  let fraction = fractionOf(size, bits);
  if (exponent == 0) {
    while (fraction >> 51 == 0) {
      fraction <<= 1;
      exponent--;
    }
    fraction = (fraction << 1) & 0xfffffffffffff;
  }
  const scaled: u32 = exponent & 1 ? 128 | (<u32>(fraction >> 45)) : 256 | (<u32>(fraction >> 44));
  const to = ((size == 2 ? 380 : 3068) - exponent) >> 1;
  return compose(size, 0, to, (<u64>(reciprocalRoot(scaled) & 255)) << 44);
}

/** FRECPX */
export function exponentEstimate(size: u32, bits: u64): u64 {
  if (isNan(size, bits)) return quiet(size, bits);
  const mask = exponentMask(size);
  const sign = bits ^ absolute(size, bits);
  const exponent = (bits >> exponentAt(size)) & mask;
  return compose(size, sign, exponent ? ~exponent & mask : mask - 1, 0);
}

/** URECPE, URSQRTE */
export function integerEstimate(value: u64, root: bool): u64 {
  if (value >> (root ? 30 : 31) == 0) return 0xffffffff;
  const scaled = <u32>(value >> 23);
  return (<u64>(root ? reciprocalRoot(scaled) : reciprocal(scaled))) << 23;
}

/** @inline 2, 3 or 3/2 in a size. */
function constant(size: u32, value: f64): u64 {
  return size == 2 ? <u64>reinterpret<u32>(<f32>value) : reinterpret<u64>(value);
}

/** Zero times infinity, in either order. */
export function isInvalidProduct(size: u32, a: u64, b: u64): bool {
  const product = wide(size, a) * wide(size, b);
  return product != product && !isNan(size, a) && !isNan(size, b);
}

/** FRECPS: 2 - a * b, and FRSQRTS: (3 - a * b) / 2. */
export function refine(root: bool, size: u32, a: u64, b: u64): u64 {
  if (isInvalidProduct(size, a, b)) return constant(size, root ? 1.5 : 2);
  const n = negate(size, a);
  if (!root) return fusedMultiplyAdd(size, constant(size, 2), n, b);
  if (isNan(size, a) || isNan(size, b)) return fusedMultiplyAdd(size, constant(size, 3), n, b);
  // Halving the larger factor is exact, and the product does not overflow before its time.
  const half = constant(size, 0.5);
  const swap = abs<f64>(wide(size, a)) < abs<f64>(wide(size, b));
  const large = swap ? b : n;
  const other = swap ? n : b;
  const halved = fusedMultiplyAdd(size, 0, large, half);
  return fusedMultiplyAdd(size, constant(size, 1.5), halved, other);
}
