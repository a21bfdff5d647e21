/** Advanced SIMD with three registers: same lengths, and different ones (Arm ARM C4.1). */
import { begin, finish, lane, laneU, maskOf, result, setScalar, vd, vm, vn } from './lanes.ts';
import { fpThreeSame } from './simd-fp.ts';
import {
  addSaturating,
  doubleHigh,
  doubleLongInto,
  shiftSaturating,
  subSaturating,
} from './simd-saturate.ts';
import { shiftBy } from './simd-shift.ts';

/** Opcodes that the scalar form has, beside floating point: compares, ADD, SUB, shifts. */
const SCALAR_OPCODES: u32 =
  (1 << 0x06) | (1 << 0x07) | (1 << 0x08) | (1 << 0x0a) | (1 << 0x10) | (1 << 0x11);

/** False for what is unallocated. */
export function threeSame(insn: u32, scalar: bool): bool {
  const opcode = (insn >>> 11) & 31;
  const size = (insn >>> 22) & 3;
  const unsigned = (insn & 0x20000000) != 0;
  const wide = (insn & 0x40000000) != 0;
  if (opcode >= 24) return fpThreeSame(insn, scalar);
  if (isSaturating(opcode)) {
    if (opcode == 0x16 ? size == 0 || size == 3 : size == 3 && !scalar && !wide) return false;
    return saturating(insn, opcode, size, scalar ? 1 : (wide ? 16 : 8) >>> size);
  }
  if (scalar) {
    if (size != 3 || ((SCALAR_OPCODES >>> opcode) & 1) == 0 || opcode > 0x11) return false;
    return setScalar(vd(insn), 3, operate(opcode, unsigned, 3, vn(insn), vm(insn), vd(insn), 0));
  }
  if (opcode == 3) return bitwise(insn, size | (unsigned ? 4 : 0), wide);
  if (size == 3 && (!wide || !has64(opcode))) return false;
  const count: u32 = (wide ? 16 : 8) >>> size;
  if (opcode == 0x14 || opcode == 0x15 || opcode == 0x17)
    return pairwise(insn, opcode, size, count);
  if (!isKnown(opcode, unsigned, size)) return false;
  begin();
  for (let n: u32 = 0; n < count; n++)
    result(size, n, operate(opcode, unsigned, size, vn(insn), vm(insn), vd(insn), n));
  return finish(vd(insn));
}

/** SQADD, SQSUB, SQSHL, SQRSHL, SQDMULH. */
function isSaturating(opcode: u32): bool {
  return opcode == 1 || opcode == 5 || opcode == 9 || opcode == 0x0b || opcode == 0x16;
}

function saturating(insn: u32, opcode: u32, size: u32, count: u32): bool {
  const u = (insn & 0x20000000) != 0;
  // U makes SQRDMULH of SQDMULH, and numbers without a sign of all others.
  const unsigned = u && opcode != 0x16;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    const a = laneU(vn(insn), size, n, unsigned);
    const b = laneU(vm(insn), size, n, unsigned);
    let value: u64;
    if (opcode == 1) value = addSaturating(a, b, size, u);
    else if (opcode == 5) value = subSaturating(a, b, size, u);
    else if (opcode == 0x16) value = doubleHigh(a, b, size, u);
    else value = shiftSaturating(a, b, size, u, opcode == 0x0b);
    result(size, n, value);
  }
  return finish(vd(insn));
}

/** CM*, SHL and RSHL, ADD, SUB, ADDP exist for 64-bit lanes. */
function has64(opcode: u32): bool {
  return ((SCALAR_OPCODES >>> opcode) & 1) != 0 || opcode == 0x17;
}

function isKnown(opcode: u32, unsigned: bool, size: u32): bool {
  switch (opcode) {
    case 0x13:
      return !unsigned || size == 0;
    default:
      return opcode < 0x14;
  }
}

/** One lane of an integer operation. */
function operate(opcode: u32, u: bool, size: u32, n: u32, m: u32, d: u32, at: u32): u64 {
  const a = laneU(n, size, at, u);
  const b = laneU(m, size, at, u);
  const less = u ? a < b : <i64>a < <i64>b;
  switch (opcode) {
    case 0x00:
      return (a + b) >> 1;
    case 0x02:
      return (a + b + 1) >> 1;
    case 0x04:
      return (a - b) >> 1;
    case 0x06:
      return less || a == b ? 0 : -1;
    case 0x07:
      return less ? 0 : -1;
    case 0x08:
      return shiftBy(a, b, size, u, false);
    case 0x0a:
      return shiftBy(a, b, size, u, true);
    case 0x0c:
      return less ? b : a;
    case 0x0d:
      return less ? a : b;
    case 0x0e:
      return less ? b - a : a - b;
    case 0x0f:
      return lane(d, size, at) + (less ? b - a : a - b);
    case 0x10:
      return u ? a - b : a + b;
    case 0x11:
      if (u) return a == b ? -1 : 0;
      return a & b ? -1 : 0;
    case 0x12:
      return u ? lane(d, size, at) - a * b : lane(d, size, at) + a * b;
    default:
      return u ? polynomial(a, b) : a * b;
  }
}

/** A carry-less product of bytes. */
export function polynomial(a: u64, b: u64): u64 {
  let value: u64 = 0;
  for (let n: u64 = 0; n < 8; n++) if ((b >> n) & 1) value ^= a << n;
  return value;
}

/** AND BIC ORR ORN, EOR BSL BIT BIF. */
function bitwise(insn: u32, kind: u32, wide: bool): bool {
  const d = vd(insn);
  const low = bits(kind, load<u64>(vn(insn)), load<u64>(vm(insn)), load<u64>(d));
  const high = bits(kind, load<u64>(vn(insn), 8), load<u64>(vm(insn), 8), load<u64>(d, 8));
  store<u64>(d, low);
  store<u64>(d, wide ? high : 0, 8);
  return true;
}

function bits(kind: u32, a: u64, b: u64, d: u64): u64 {
  switch (kind) {
    case 0:
      return a & b;
    case 1:
      return a & ~b;
    case 2:
      return a | b;
    case 3:
      return a | ~b;
    case 4:
      return a ^ b;
    case 5:
      return (d & a) | (~d & b);
    case 6:
      return (b & a) | (~b & d);
    default:
      return (b & d) | (~b & a);
  }
}

/** SMAXP, UMAXP, SMINP, UMINP, ADDP: neighbours of Vn, then of Vm. */
function pairwise(insn: u32, opcode: u32, size: u32, count: u32): bool {
  const u = (insn & 0x20000000) != 0;
  if (opcode == 0x17 && u) return false;
  const half = count >>> 1;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    const from = n < half ? vn(insn) : vm(insn);
    const first = 2 * (n < half ? n : n - half);
    const a = laneU(from, size, first, u);
    const b = laneU(from, size, first + 1, u);
    const less = u ? a < b : <i64>a < <i64>b;
    if (opcode == 0x17) result(size, n, a + b);
    else if (opcode == 0x14) result(size, n, less ? b : a);
    else result(size, n, less ? a : b);
  }
  return finish(vd(insn));
}

/** Long, wide and narrowing operations. The scalar ones are those that saturate. */
export function threeDifferent(insn: u32, scalar: bool): bool {
  const size = (insn >>> 22) & 3;
  const opcode = (insn >>> 12) & 15;
  if (opcode == 9 || opcode == 11 || opcode == 13) return doubling(insn, scalar, size, opcode);
  if (scalar || size == 3 || opcode == 15) return false;
  const u = (insn & 0x20000000) != 0;
  if (opcode == 14 && (u || size)) return false;
  if (opcode == 4 || opcode == 6) return narrowing(insn, size, opcode, u);
  // The upper half of the sources with Q set.
  const skip: u32 = insn & 0x40000000 ? 8 >>> size : 0;
  const count: u32 = 8 >>> size;
  const wideN = opcode == 1 || opcode == 3;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    const a = wideN ? lane(vn(insn), size + 1, n) : laneU(vn(insn), size, n + skip, u);
    const b = laneU(vm(insn), size, n + skip, u);
    result(size + 1, n, long(opcode, a, b, lane(vd(insn), size + 1, n), u));
  }
  return finish(vd(insn));
}

/** SQDMLAL, SQDMLSL, SQDMULL. */
function doubling(insn: u32, scalar: bool, size: u32, opcode: u32): bool {
  if (insn & 0x20000000 || size == 0 || size == 3) return false;
  const count: u32 = scalar ? 1 : 8 >>> size;
  const skip: u32 = !scalar && insn & 0x40000000 ? count : 0;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    const a = laneU(vn(insn), size, n + skip, false);
    const b = laneU(vm(insn), size, n + skip, false);
    const value = doubleLongInto(opcode, a, b, lane(vd(insn), size + 1, n), size);
    result(size + 1, n, value);
  }
  return finish(vd(insn));
}

/** One lane of a long or wide operation. */
export function long(opcode: u32, a: u64, b: u64, d: u64, u: bool): u64 {
  const less = u ? a < b : <i64>a < <i64>b;
  switch (opcode) {
    case 0:
    case 1:
      return a + b;
    case 2:
    case 3:
      return a - b;
    case 5:
      return d + (less ? b - a : a - b);
    case 7:
      return less ? b - a : a - b;
    case 8:
      return d + a * b;
    case 10:
      return d - a * b;
    case 12:
      return a * b;
    default:
      return polynomial(a & 0xff, b & 0xff);
  }
}

/** ADDHN, SUBHN, RADDHN, RSUBHN: the upper half of each lane. */
function narrowing(insn: u32, size: u32, opcode: u32, rounds: bool): bool {
  const count: u32 = 8 >>> size;
  const bitsOf: u64 = 8 << size;
  const extra: u64 = rounds ? (<u64>1) << (bitsOf - 1) : 0;
  const upper = (insn & 0x40000000) != 0;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    const a = lane(vn(insn), size + 1, n);
    const b = lane(vm(insn), size + 1, n);
    const sum = (opcode == 4 ? a + b : a - b) + extra;
    result(size, upper ? n + count : n, (sum & maskOf(size + 1)) >> bitsOf);
  }
  return keepLower(insn, upper);
}

/** Narrowing operations with Q set write the upper half and keep the lower. */
export function keepLower(insn: u32, upper: bool): bool {
  if (upper) {
    const low = load<u64>(vd(insn));
    finish(vd(insn));
    store<u64>(vd(insn), low);
    return true;
  }
  return finish(vd(insn));
}
