/** Shifts by immediates and by registers (Arm ARM C4.1, Advanced SIMD shift by immediate). */
import { fromInteger, powerOf2, rounded, ROUND_ZERO, toInteger, wide, isNan } from './fp-math.ts';
import { begin, finish, lane, laneS, laneU, maskOf, result, setScalar, vd, vn } from './lanes.ts';
import { narrowSaturating, shiftSaturating, shiftToUnsigned } from './simd-saturate.ts';
import { keepLower } from './simd-three.ts';

/** SSHL, USHL, SRSHL, URSHL: left by the signed lowest byte of `by`; the lane is extended already. */
export function shiftBy(value: u64, by: u64, size: u32, unsigned: bool, rounds: bool): u64 {
  const count = <i32>(<i8>by);
  const bits = 8 << size;
  if (count >= 0) return count >= bits ? 0 : value << count;
  return shiftRight(value, <u32>-count, unsigned, rounds);
}

/** Right by 1 or more, of a value extended to 64 bits, exactly. */
export function shiftRight(value: u64, count: u32, unsigned: bool, rounds: bool): u64 {
  const extra: u64 = rounds && count <= 64 ? (value >> (count - 1)) & 1 : 0;
  if (count >= 64) {
    if (unsigned) return rounds && count == 64 ? extra : 0;
    // All sign, plus the rounding constant: a negative number rounds to zero.
    const sign = <u64>((<i64>value) >> 63);
    return rounds ? (count == 64 ? sign + extra : 0) : sign;
  }
  return (unsigned ? value >> count : <u64>((<i64>value) >> count)) + extra;
}

/** False for what is unallocated. */
export function simdShift(insn: u32, scalar: bool): bool {
  const immediate = (insn >>> 16) & 0x7f;
  const size: u32 = 31 - clz<u32>(immediate >>> 3);
  const bits: u32 = 8 << size;
  const opcode = (insn >>> 11) & 31;
  const u = (insn & 0x20000000) != 0;
  const right = 2 * bits - immediate;
  const left = immediate - bits;
  if (opcode >= 28) return scalesFloat(insn, scalar, size, right, opcode);
  if (opcode >= 16) {
    if (size == 3) return false;
    if (opcode == 18 || opcode == 19 || (u && opcode < 18))
      return narrowSaturated(insn, scalar, size, right, opcode, u);
    if (scalar) return false;
    if (opcode == 20) return lengthen(insn, size, left, u);
    if (!u && (opcode == 16 || opcode == 17)) return narrowBy(insn, size, right, opcode == 17);
    return false;
  }
  const saturates = opcode == 14 || (opcode == 12 && u);
  if (!saturates && (opcode & 1 || opcode > 10 || (opcode == 8 && !u))) return false;
  if (scalar)
    return (
      (size == 3 || saturates) &&
      setScalar(vd(insn), size, shiftLane(insn, opcode, size, 0, left, right, u))
    );
  const whole = (insn & 0x40000000) != 0;
  if (size == 3 && !whole) return false;
  const count: u32 = (whole ? 16 : 8) >>> size;
  begin();
  for (let n: u32 = 0; n < count; n++)
    result(size, n, shiftLane(insn, opcode, size, n, left, right, u));
  return finish(vd(insn));
}

/** One lane of SHR, SRA, RSHR, RSRA, SRI, SHL, SLI, SQSHLU, SQSHL. */
function shiftLane(insn: u32, opcode: u32, size: u32, n: u32, left: u32, right: u32, u: bool): u64 {
  const a = laneU(vn(insn), size, n, u);
  const d = lane(vd(insn), size, n);
  switch (opcode) {
    case 0:
      return shiftRight(a, right, u, false);
    case 2:
      return d + shiftRight(a, right, u, false);
    case 4:
      return shiftRight(a, right, u, true);
    case 6:
      return d + shiftRight(a, right, u, true);
    case 8: {
      const kept = right >= 64 ? 0 : maskOf(size) >> right;
      return (d & ~kept) | (right >= 64 ? 0 : a >> right);
    }
    case 12:
      return shiftToUnsigned(<u64>laneS(vn(insn), size, n), left, size);
    case 14:
      return shiftSaturating(a, left, size, u, false);
    default: {
      const shifted = a << left;
      return u ? (d & ~(maskOf(size) << left)) | shifted : shifted;
    }
  }
}

/** SSHLL, USHLL. */
function lengthen(insn: u32, size: u32, left: u32, u: bool): bool {
  const count: u32 = 8 >>> size;
  const skip: u32 = insn & 0x40000000 ? count : 0;
  begin();
  for (let n: u32 = 0; n < count; n++)
    result(size + 1, n, laneU(vn(insn), size, n + skip, u) << left);
  return finish(vd(insn));
}

/** SHRN, RSHRN. */
function narrowBy(insn: u32, size: u32, right: u32, rounds: bool): bool {
  const upper = (insn & 0x40000000) != 0;
  const count: u32 = 8 >>> size;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    const value = shiftRight(lane(vn(insn), size + 1, n), right, true, rounds);
    result(size, upper ? n + count : n, value);
  }
  return keepLower(insn, upper);
}

/** SQSHRUN, SQRSHRUN, SQSHRN, UQSHRN, SQRSHRN, UQRSHRN. */
function narrowSaturated(
  insn: u32,
  scalar: bool,
  size: u32,
  right: u32,
  opcode: u32,
  u: bool,
): bool {
  const upper = !scalar && (insn & 0x40000000) != 0;
  const count: u32 = scalar ? 1 : 8 >>> size;
  const fromUnsigned = u && opcode >= 18;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    const value = laneU(vn(insn), size + 1, n, fromUnsigned);
    const shifted = shiftRight(value, right, fromUnsigned, (opcode & 1) != 0);
    result(size, upper ? n + count : n, narrowSaturating(shifted, size, fromUnsigned, u));
  }
  return keepLower(insn, upper);
}

/** SCVTF, UCVTF, FCVTZS, FCVTZU with fraction bits. */
function scalesFloat(insn: u32, scalar: bool, size: u32, fraction: u32, opcode: u32): bool {
  const whole = (insn & 0x40000000) != 0;
  if (size < 2 || (opcode != 28 && opcode != 31) || (size == 3 && !scalar && !whole)) return false;
  const u = (insn & 0x20000000) != 0;
  const count: u32 = scalar ? 1 : (whole ? 16 : 8) >>> size;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    let value: u64;
    if (opcode == 28) value = fromInteger(size, laneU(vn(insn), size, n, u), u, <i32>fraction);
    else {
      const bits = lane(vn(insn), size, n);
      const scaled = wide(size, bits) * powerOf2(<i32>fraction);
      value = isNan(size, bits) ? 0 : toInteger(rounded(scaled, ROUND_ZERO), u, size == 3);
    }
    result(size, n, value);
  }
  return finish(vd(insn));
}
