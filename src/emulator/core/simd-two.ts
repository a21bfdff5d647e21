/** Advanced SIMD with two registers (Arm ARM C4.1). */
import {
  exponentEstimate,
  integerEstimate,
  reciprocalEstimate,
  rootEstimate,
} from './fp-estimate.ts';
import { fromHalf, toHalf, toSingleOdd } from './fp-half.ts';
import {
  absolute,
  convertSize,
  fromInteger,
  isNan,
  negate,
  rounded,
  ROUND_AWAY,
  roundToIntegral,
  squareRoot,
  toInteger,
  wide as valueOf,
} from './fp-math.ts';
import { frintMode } from './fp-scalar.ts';
import { begin, finish, lane, laneS, laneU, result, setScalar, vd, vn } from './lanes.ts';
import { compareLanes } from './simd-fp.ts';
import { addMixed, narrowSaturating, negateSaturating } from './simd-saturate.ts';
import { keepLower } from './simd-three.ts';

/** False for what is unallocated. */
export function twoMisc(insn: u32, scalar: bool): bool {
  const size = (insn >>> 22) & 3;
  const opcode = (insn >>> 12) & 31;
  const u = (insn & 0x20000000) != 0;
  const whole = (insn & 0x40000000) != 0;
  if ((opcode >= 12 && opcode <= 15) || opcode >= 22) return floating(insn, scalar, opcode, u);
  if (opcode == 20 || (opcode == 18 && u)) return narrowLanes(insn, scalar, size, opcode, u);
  if (opcode == 18 || opcode == 19) return !scalar && changeSize(insn, size, opcode, u);
  if (opcode == 3 || opcode == 7) {
    if (size == 3 && !scalar && !whole) return false;
    return saturatingLanes(insn, scalar ? 1 : (whole ? 16 : 8) >>> size, size, opcode, u);
  }
  // CMLT has no form with U set.
  if (opcode == 10 && u) return false;
  const compares = opcode >= 8 && opcode <= 11;
  if (scalar) return compares && size == 3 && setScalar(vd(insn), 3, lane2(insn, opcode, u, 3, 0));
  if (opcode == 2 || opcode == 6) return size != 3 && pairsLong(insn, size, opcode == 6, u);
  // REV, CLS, CLZ, CNT, NOT and RBIT each have lane sizes of their own.
  if (opcode == 0) {
    if (size >= (u ? 2 : 3)) return false;
    return reverse(insn, size, u ? 2 : 3, whole);
  }
  if (opcode == 1) return !u && size == 0 && reverse(insn, 0, 1, whole);
  if (opcode == 4 ? size == 3 : opcode == 5 ? size > u32(u) : !compares) return false;
  if (size == 3 && !whole) return false;
  const width: u32 = opcode == 5 ? 0 : size;
  const count: u32 = (whole ? 16 : 8) >>> width;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    if (opcode == 5) result(0, n, byte(<u32>lane(vn(insn), 0, n), u, size));
    else result(width, n, lane2(insn, opcode, u, size, n));
  }
  return finish(vd(insn));
}

/** CNT, NOT, RBIT. */
function byte(value: u32, u: bool, size: u32): u64 {
  if (!u) return <u64>popcnt<u32>(value);
  if (size == 0) return <u64>(~value & 0xff);
  let turned: u64 = 0;
  for (let n: u32 = 0; n < 8; n++) turned |= (<u64>((value >>> n) & 1)) << (7 - n);
  return turned;
}

/** CLS, CLZ, compares with zero, ABS, NEG. */
function lane2(insn: u32, opcode: u32, u: bool, size: u32, n: u32): u64 {
  const a = laneS(vn(insn), size, n);
  const bits: u64 = 8 << size;
  switch (opcode) {
    case 4:
      if (u) return clz<u64>(lane(vn(insn), size, n)) - (64 - bits);
      return clz<u64>(<u64>((a >> 63) ^ a)) - (64 - bits) - 1;
    case 8:
      return u ? (a >= 0 ? -1 : 0) : a > 0 ? -1 : 0;
    case 9:
      return u ? (a <= 0 ? -1 : 0) : a == 0 ? -1 : 0;
    case 10:
      return a < 0 ? -1 : 0;
    default:
      return <u64>(u ? -a : a < 0 ? -a : a);
  }
}

/** REV64, REV32, REV16: lanes turned round within 1 << group bytes. */
function reverse(insn: u32, size: u32, group: u32, whole: bool): bool {
  const count: u32 = (whole ? 16 : 8) >>> size;
  const turn: u32 = (1 << (group - size)) - 1;
  begin();
  for (let n: u32 = 0; n < count; n++) result(size, n, lane(vn(insn), size, n ^ turn));
  return finish(vd(insn));
}

/** SADDLP, UADDLP, SADALP, UADALP. */
function pairsLong(insn: u32, size: u32, adds: bool, u: bool): bool {
  const count: u32 = (insn & 0x40000000 ? 8 : 4) >>> size;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    const sum = laneU(vn(insn), size, 2 * n, u) + laneU(vn(insn), size, 2 * n + 1, u);
    result(size + 1, n, adds ? sum + lane(vd(insn), size + 1, n) : sum);
  }
  return finish(vd(insn));
}

/** SUQADD, USQADD, SQABS, SQNEG. */
function saturatingLanes(insn: u32, count: u32, size: u32, opcode: u32, u: bool): bool {
  begin();
  for (let n: u32 = 0; n < count; n++) {
    let value: u64;
    if (opcode == 3) {
      const a = laneU(vd(insn), size, n, u);
      value = addMixed(a, laneU(vn(insn), size, n, !u), size, u);
    } else {
      value = <u64>laneS(vn(insn), size, n);
      if (u || <i64>value < 0) value = negateSaturating(value, size);
    }
    result(size, n, value);
  }
  return finish(vd(insn));
}

/** SQXTN, UQXTN, SQXTUN. */
function narrowLanes(insn: u32, scalar: bool, size: u32, opcode: u32, u: bool): bool {
  if (size == 3) return false;
  const upper = !scalar && (insn & 0x40000000) != 0;
  const count: u32 = scalar ? 1 : 8 >>> size;
  const fromUnsigned = u && opcode == 20;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    const value = laneU(vn(insn), size + 1, n, fromUnsigned);
    result(size, upper ? n + count : n, narrowSaturating(value, size, fromUnsigned, u));
  }
  return keepLower(insn, upper);
}

/** XTN, SHLL. */
function changeSize(insn: u32, size: u32, opcode: u32, u: bool): bool {
  if (size == 3 || (opcode == 19) != u) return false;
  const upper = (insn & 0x40000000) != 0;
  const count: u32 = 8 >>> size;
  begin();
  if (opcode == 19) {
    const skip: u32 = upper ? count : 0;
    for (let n: u32 = 0; n < count; n++)
      result(size + 1, n, lane(vn(insn), size, n + skip) << (8 << size));
    return finish(vd(insn));
  }
  for (let n: u32 = 0; n < count; n++)
    result(size, upper ? n + count : n, lane(vn(insn), size + 1, n));
  return keepLower(insn, upper);
}

function floating(insn: u32, scalar: bool, opcode: u32, u: bool): bool {
  const size: u32 = insn & 0x400000 ? 3 : 2;
  const a = (insn & 0x800000) != 0;
  const whole = (insn & 0x40000000) != 0;
  if (opcode == 22 && u) return !a && size == 3 && convertOdd(insn, scalar);
  if (opcode == 22 || opcode == 23) return !scalar && !u && !a && convertLanes(insn, opcode, size);
  if (opcode == 28 && a) return !scalar && size == 2 && estimateLanes(insn, u, whole);
  if (opcode == 31 && a && !u)
    return scalar && setScalar(vd(insn), size, exponentEstimate(size, lane(vn(insn), size, 0)));
  if (!scalar && size == 3 && !whole) return false;
  const kind = (u ? 64 : 0) | (a ? 32 : 0) | opcode;
  if (!isFloating(kind) || (scalar && !isScalarFloating(opcode))) return false;
  const count: u32 = scalar ? 1 : (whole ? 16 : 8) >>> size;
  begin();
  for (let n: u32 = 0; n < count; n++)
    result(size, n, floatLane(kind, size, lane(vn(insn), size, n)));
  return finish(vd(insn));
}

/** Compares, and conversions to and from integers, have scalar forms here; the rest is fp-scalar's. */
function isScalarFloating(opcode: u32): bool {
  return opcode <= 14 || (opcode >= 26 && opcode <= 29);
}

/** U:a:opcode of what `floatLane` knows. */
function isFloating(kind: u32): bool {
  const opcode = kind & 31;
  const a = (kind & 32) != 0;
  const u = (kind & 64) != 0;
  switch (opcode) {
    case 12:
    case 13:
      return a;
    case 14:
      return a && !u;
    case 15:
    case 27:
      return a || opcode == 27;
    case 24:
    case 25:
      // FRINTN, FRINTM, FRINTP, FRINTZ; FRINTA, FRINTX, FRINTI.
      return !(opcode == 24 && u && a);
    case 26:
      return true;
    case 28:
      return !a;
    case 29:
      return true;
    case 31:
      return u && a;
    default:
      return false;
  }
}

function floatLane(kind: u32, size: u32, value: u64): u64 {
  const opcode = kind & 31;
  const a: u32 = (kind >>> 5) & 1;
  const u = (kind & 64) != 0;
  switch (opcode) {
    case 12:
      return compareLanes(u ? 1 : 2, size, value, 0);
    case 13:
      return u ? compareLanes(1, size, 0, value) : compareLanes(0, size, value, 0);
    case 14:
      return compareLanes(2, size, 0, value);
    case 15:
      return u ? negate(size, value) : absolute(size, value);
    case 24:
    case 25:
      // o2:o1 counts N, P, M, Z, and with U A, -, X, I.
      return roundToIntegral(size, value, frintMode((u ? 4 : 0) | ((opcode & 1) << 1) | a));
    case 26:
    case 27:
      return toInteger(rounded(valueOf(size, value), ((opcode & 1) << 1) | a), u, size == 3);
    case 28:
      return toInteger(rounded(valueOf(size, value), ROUND_AWAY), u, size == 3);
    case 29:
      if (a) return u ? rootEstimate(size, value) : reciprocalEstimate(size, value);
      if (size == 2 && !u) return fromInteger(2, <u64>(<i64>(<i32>value)), false, 0);
      return fromInteger(size, value, u, 0);
    default:
      return squareRoot(size, value);
  }
}

/** FCVTN, FCVTL: between 32 and 64 bits, or 16 and 32. */
function convertLanes(insn: u32, opcode: u32, size: u32): bool {
  const upper = (insn & 0x40000000) != 0;
  begin();
  if (size == 2) {
    for (let n: u32 = 0; n < 4; n++) {
      if (opcode == 23) result(2, n, fromHalf(2, lane(vn(insn), 1, upper ? n + 4 : n)));
      else result(1, upper ? n + 4 : n, toHalf(2, lane(vn(insn), 2, n)));
    }
    return opcode == 23 ? finish(vd(insn)) : keepLower(insn, upper);
  }
  if (opcode == 23) {
    for (let n: u32 = 0; n < 2; n++)
      result(3, n, convertSize(2, lane(vn(insn), 2, upper ? n + 2 : n)));
    return finish(vd(insn));
  }
  for (let n: u32 = 0; n < 2; n++)
    result(2, upper ? n + 2 : n, convertSize(3, lane(vn(insn), 3, n)));
  return keepLower(insn, upper);
}

/** FCVTXN */
function convertOdd(insn: u32, scalar: bool): bool {
  const upper = !scalar && (insn & 0x40000000) != 0;
  const count: u32 = scalar ? 1 : 2;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    const bits = lane(vn(insn), 3, n);
    result(2, upper ? n + 2 : n, isNan(3, bits) ? convertSize(3, bits) : toSingleOdd(bits));
  }
  return keepLower(insn, upper);
}

/** URECPE, URSQRTE. */
function estimateLanes(insn: u32, root: bool, whole: bool): bool {
  const count: u32 = whole ? 4 : 2;
  begin();
  for (let n: u32 = 0; n < count; n++) result(2, n, integerEstimate(lane(vn(insn), 2, n), root));
  return finish(vd(insn));
}
