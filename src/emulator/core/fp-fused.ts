/** Fused multiply-add: the product is exact, the sum is rounded once. */
import { defaultNan, double, isNan, isQuiet, nanOf3, wide } from './fp-math.ts';

/** n * m + a, rounded once. */
export function fusedMultiplyAdd(size: u32, a: u64, n: u64, m: u64): u64 {
  if (isNan(size, a) || isNan(size, n) || isNan(size, m)) {
    // Infinity times zero is invalid even beside a quiet NaN.
    const product = wide(size, n) * wide(size, m);
    const invalid = product != product && !isNan(size, n) && !isNan(size, m);
    if (invalid && isNan(size, a) && isQuiet(size, a)) return defaultNan(size);
    return nanOf3(size, a, n, m);
  }
  if (size == 2) {
    const bits = <u64>reinterpret<u32>(<f32>sumToOdd(wide(2, n) * wide(2, m), wide(2, a)));
    return isNan(2, bits) ? defaultNan(2) : bits;
  }
  const bits = fused(a, n, m);
  return isNan(3, bits) ? defaultNan(3) : bits;
}

/** p + a, rounded to odd, so that rounding again to 24 bits is right. */
function sumToOdd(p: f64, a: f64): f64 {
  const sum = p + a;
  if (!(abs<f64>(sum) <= f64.MAX_VALUE)) return sum;
  const rest = sum - p;
  const error = p - (sum - rest) + (a - rest);
  const bits = reinterpret<i64>(sum);
  if (error == 0 || bits & 1) return sum;
  return reinterpret<f64>(error > 0 == sum > 0 ? bits + 1 : bits - 1);
}

/** Significand with its top bit at 63, and the exponent of its lowest bit, of a finite number. */
function significand(bits: u64): u64 {
  const fraction = bits & 0xfffffffffffff;
  if ((bits >> 52) & 0x7ff) return (fraction << 11) | 0x8000000000000000;
  return fraction << clz<u64>(fraction);
}

function exponent(bits: u64): i32 {
  const biased = <i32>((bits >> 52) & 0x7ff);
  if (biased) return biased - 1023 - 63;
  return -1022 - 52 - <i32>(clz<u64>(bits & 0xfffffffffffff) as i64);
}

let highPart: u64 = 0;
let lowPart: u64 = 0;

/** 64 x 64 = 128 bits, to highPart and lowPart. */
function multiplyWide(a: u64, b: u64): void {
  const aLow = a & 0xffffffff;
  const bLow = b & 0xffffffff;
  const aHigh = a >> 32;
  const bHigh = b >> 32;
  const middle = aHigh * bLow + ((aLow * bLow) >> 32);
  const other = aLow * bHigh + (middle & 0xffffffff);
  highPart = aHigh * bHigh + (middle >> 32) + (other >> 32);
  lowPart = a * b;
}

/** Shifts highPart:lowPart right; what is lost stays as the lowest bit. */
function shiftJam(count: u32): void {
  if (count == 0) return;
  if (count >= 128) {
    lowPart = u64((highPart | lowPart) != 0);
    highPart = 0;
    return;
  }
  if (count >= 64) {
    const lost = (count > 64 ? highPart << (128 - count) : 0) | lowPart;
    lowPart = (highPart >> (count - 64)) | u64(lost != 0);
    highPart = 0;
    return;
  }
  const lost = lowPart << (64 - count);
  lowPart = (highPart << (64 - count)) | (lowPart >> count) | u64(lost != 0);
  highPart = highPart >> count;
}

function fused(a: u64, n: u64, m: u64): u64 {
  const an = double(a);
  const nn = double(n);
  const mn = double(m);
  const finite =
    abs<f64>(an) <= f64.MAX_VALUE && abs<f64>(nn) <= f64.MAX_VALUE && abs<f64>(mn) <= f64.MAX_VALUE;
  if (!finite || nn == 0 || mn == 0) {
    // Rounds at most once. An infinite addend wins over a product that only overflows.
    if (finite || abs<f64>(nn) > f64.MAX_VALUE || abs<f64>(mn) > f64.MAX_VALUE)
      return reinterpret<u64>(nn * mn + an);
    return a;
  }
  if (an == 0) return reinterpret<u64>(nn * mn);

  multiplyWide(significand(n), significand(m));
  let e = exponent(n) + exponent(m);
  if (highPart >> 63 == 0) {
    highPart = (highPart << 1) | (lowPart >> 63);
    lowPart <<= 1;
    e--;
  }
  const sign = (n ^ m) >> 63;
  const addendSign = a >> 63;
  const addend = significand(a);
  const addendE = exponent(a) - 64;
  // One bit of room for the carry: the lowest bits are zero still.
  shiftJam(1);
  e++;
  let high: u64;
  let low: u64;
  const apart = addendE + 1 - e;
  if (apart > 0) {
    shiftJam(<u32>apart);
    e += apart;
    high = addend >> 1;
    low = addend << 63;
  } else {
    const productHigh = highPart;
    const productLow = lowPart;
    highPart = addend >> 1;
    lowPart = addend << 63;
    shiftJam(<u32>-apart);
    high = highPart;
    low = lowPart;
    highPart = productHigh;
    lowPart = productLow;
  }
  return combine(sign, addendSign, high, low, e);
}

/** highPart:lowPart plus or minus high:low, both times 2^e, rounded. */
function combine(sign: u64, otherSign: u64, high: u64, low: u64, e: i32): u64 {
  let resultSign = sign;
  if (sign == otherSign) {
    const sum = lowPart + low;
    highPart += high + u64(sum < low);
    lowPart = sum;
  } else {
    if (highPart < high || (highPart == high && lowPart < low)) {
      resultSign = otherSign;
      const borrow = u64(low < lowPart);
      lowPart = low - lowPart;
      highPart = high - highPart - borrow;
    } else {
      const borrow = u64(lowPart < low);
      lowPart = lowPart - low;
      highPart = highPart - high - borrow;
    }
    if ((highPart | lowPart) == 0) return 0;
  }
  const zeros: u32 = highPart ? <u32>clz<u64>(highPart) : 64 + <u32>clz<u64>(lowPart);
  if (zeros >= 64) {
    highPart = lowPart << (zeros - 64);
    lowPart = 0;
  } else if (zeros) {
    highPart = (highPart << zeros) | (lowPart >> (64 - zeros));
    lowPart <<= zeros;
  }
  return pack(resultSign, highPart | u64(lowPart != 0), e - <i32>zeros + 64);
}

/** A significand with its top bit at 63, times 2^e, rounded to nearest even. */
function pack(sign: u64, significand: u64, e: i32): u64 {
  let biased = e + 63 + 1023;
  let bits = significand;
  if (biased <= 0) {
    highPart = bits;
    lowPart = 0;
    const count = 1 - biased;
    if (count >= 64) bits = 1;
    else bits = (bits >> count) | u64(bits << (64 - count) != 0);
    biased = 1;
  }
  const rest = bits & 0x7ff;
  let rounded = (bits + 0x400) >> 11;
  // The carry out of all ones.
  if (bits > 0xfffffffffffffbff) rounded = (<u64>1) << 53;
  if (rest == 0x400) rounded &= ~1;
  if (biased >= 2047) return (sign << 63) | 0x7ff0000000000000;
  return (sign << 63) | (((<u64>(biased - 1)) << 52) + rounded);
}
