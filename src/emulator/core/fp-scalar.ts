/** Scalar floating point (Arm ARM C4.1, Scalar floating-point). Half precision is only converted. */
import { getW, getX, holds, rd, rn, setNzcv, setX } from './fields.ts';
import { fusedMultiplyAdd } from './fp-fused.ts';
import { fromHalf, toHalf } from './fp-half.ts';
import {
  absolute,
  convertSize,
  fp2,
  fromInteger,
  isNan,
  negate,
  powerOf2,
  ROUND_AWAY,
  ROUND_NEAREST,
  ROUND_ZERO,
  rounded,
  roundToIntegral,
  squareRoot,
  toInteger,
  wide,
} from './fp-math.ts';
import { lane, setScalar, vd, vm, vn, vreg } from './lanes.ts';
import { expandDouble, expandSingle } from './simd-copy.ts';

/** 2 or 3 for the type of bits 23 and 22; 0 for half precision. */
function sizeOf(insn: u32): u32 {
  const type = (insn >>> 22) & 3;
  return type == 0 ? 2 : type == 1 ? 3 : 0;
}

/** False for what is not in the set. */
export function fpScalar(insn: u32): bool {
  if ((insn & 0x200000) == 0) return fixedPoint(insn);
  if ((insn & 0xfc00) == 0) return integer(insn);
  if (insn & 0x80000000) return false;
  const size = sizeOf(insn);
  if (size == 0) return fromHalfScalar(insn);
  switch ((insn >>> 10) & 3) {
    case 1:
      return conditionalCompare(insn, size);
    case 2:
      return twoSource(insn, size);
    case 3:
      return setScalar(
        vd(insn),
        size,
        lane(holds((insn >>> 12) & 15) ? vn(insn) : vm(insn), size, 0),
      );
    default:
      if (insn & 0x1000) return immediate(insn, size);
      if (insn & 0x2000) return compare(insn, size);
      return (insn & 0x4000) != 0 && oneSource(insn, size);
  }
}

/** FCVT of half precision, the only instruction for it. */
function fromHalfScalar(insn: u32): bool {
  const kind = insn & 0xfffffc00;
  if (kind != 0x1ee24000 && kind != 0x1ee2c000) return false;
  const to: u32 = kind == 0x1ee24000 ? 2 : 3;
  return setScalar(vd(insn), to, fromHalf(to, lane(vn(insn), 1, 0)));
}

function immediate(insn: u32, size: u32): bool {
  if (insn & 0x3e0) return false;
  const imm8 = (insn >>> 13) & 0xff;
  return setScalar(vd(insn), size, size == 2 ? expandSingle(imm8) : expandDouble(imm8));
}

function setCompare(size: u32, a: u64, b: u64): void {
  const x = wide(size, a);
  const y = wide(size, b);
  if (x == y) setNzcv(0x60000000);
  else if (x < y) setNzcv(0x80000000);
  else if (x > y) setNzcv(0x20000000);
  else setNzcv(0x30000000);
}

/** FCMP, FCMPE: they differ in FPSR only. */
function compare(insn: u32, size: u32): bool {
  if (insn & 0xc007) return false;
  const withZero = (insn & 8) != 0;
  setCompare(size, lane(vn(insn), size, 0), withZero ? 0 : lane(vm(insn), size, 0));
  return true;
}

function conditionalCompare(insn: u32, size: u32): bool {
  if (holds((insn >>> 12) & 15)) setCompare(size, lane(vn(insn), size, 0), lane(vm(insn), size, 0));
  else setNzcv((insn & 15) << 28);
  return true;
}

/** FMUL FDIV FADD FSUB FMAX FMIN FMAXNM FMINNM FNMUL, as FP_* numbers in opcode order. */
const TWO_SOURCE: u64 = 0x876541032;

function twoSource(insn: u32, size: u32): bool {
  const opcode: u64 = (insn >>> 12) & 15;
  if (opcode > 8) return false;
  const kind = (<u32>(TWO_SOURCE >> (opcode << 2))) & 15;
  const a = lane(vn(insn), size, 0);
  return setScalar(vd(insn), size, fp2(kind, size, a, lane(vm(insn), size, 0)));
}

/** Rounding modes of FRINTN P M Z A - X I; the last two as FPCR says, which is to nearest. */
export function frintMode(kind: u32): u32 {
  return kind <= ROUND_AWAY ? kind : ROUND_NEAREST;
}

function oneSource(insn: u32, size: u32): bool {
  const opcode = (insn >>> 15) & 63;
  const a = lane(vn(insn), size, 0);
  let value: u64;
  let to = size;
  if (opcode == 0) value = a;
  else if (opcode == 1) value = absolute(size, a);
  else if (opcode == 2) value = negate(size, a);
  else if (opcode == 3) value = squareRoot(size, a);
  else if ((opcode == 4 && size == 3) || (opcode == 5 && size == 2)) {
    to = opcode == 4 ? 2 : 3;
    value = convertSize(size, a);
  } else if (opcode == 7) {
    to = 1;
    value = toHalf(size, a);
  } else if (opcode >= 8 && opcode <= 15 && opcode != 13) {
    value = roundToIntegral(size, a, frintMode(opcode - 8));
  } else return false;
  return setScalar(vd(insn), to, value);
}

/** FMADD, FMSUB, FNMADD, FNMSUB. */
export function fpThreeSource(insn: u32): bool {
  const size = sizeOf(insn);
  if (size == 0) return false;
  const negative = (insn & 0x200000) != 0;
  const subtract = (insn & 0x8000) != 0;
  let a = lane(vreg(insn >>> 10), size, 0);
  let n = lane(vn(insn), size, 0);
  if (negative) a = negate(size, a);
  if (negative != subtract) n = negate(size, n);
  return setScalar(vd(insn), size, fusedMultiplyAdd(size, a, n, lane(vm(insn), size, 0)));
}

/** Conversions between floating point and integers, and moves of bits. */
function integer(insn: u32): bool {
  const is64 = (insn & 0x80000000) != 0;
  const opcode = (insn >>> 16) & 7;
  const mode = (insn >>> 19) & 3;
  const type = (insn >>> 22) & 3;
  if (opcode >= 6) return move(insn, is64, opcode, mode, type);
  const size = sizeOf(insn);
  if (size == 0) return false;
  if (opcode == 2 || opcode == 3) {
    if (mode) return false;
    const unsigned = opcode == 3;
    let value = is64 ? getX(rn(insn)) : <u64>getW(rn(insn));
    if (!is64 && !unsigned) value = <u64>(<i64>(<i32>value));
    return setScalar(vd(insn), size, fromInteger(size, value, unsigned, 0));
  }
  if (opcode >= 4 && mode) return false;
  const direction = opcode >= 4 ? ROUND_AWAY : mode;
  const value = rounded(wide(size, lane(vn(insn), size, 0)), direction);
  setX(rd(insn), toInteger(value, (opcode & 1) != 0, is64));
  return true;
}

/** FMOV between general and vector registers. */
function move(insn: u32, is64: bool, opcode: u32, mode: u32, type: u32): bool {
  const toVector = opcode == 7;
  if (mode == 1 && type == 2 && is64) {
    // The upper half.
    if (toVector) store<u64>(vd(insn), getX(rn(insn)), 8);
    else setX(rd(insn), load<u64>(vn(insn), 8));
    return true;
  }
  if (mode || (is64 ? type != 1 : type != 0)) return false;
  const size: u32 = is64 ? 3 : 2;
  if (toVector) return setScalar(vd(insn), size, getX(rn(insn)));
  setX(rd(insn), lane(vn(insn), size, 0));
  return true;
}

/** Conversions between floating point and fixed point. */
function fixedPoint(insn: u32): bool {
  const is64 = (insn & 0x80000000) != 0;
  const size = sizeOf(insn);
  const fraction = <i32>(64 - ((insn >>> 10) & 63));
  if (size == 0 || (!is64 && fraction > 32)) return false;
  const opcode = (insn >>> 16) & 31;
  if (opcode == 2 || opcode == 3) {
    let value = is64 ? getX(rn(insn)) : <u64>getW(rn(insn));
    if (!is64 && opcode == 2) value = <u64>(<i64>(<i32>value));
    return setScalar(vd(insn), size, fromInteger(size, value, opcode == 3, fraction));
  }
  if (opcode != 24 && opcode != 25) return false;
  const bits = lane(vn(insn), size, 0);
  const value = isNan(size, bits) ? 0 : rounded(wide(size, bits) * powerOf2(fraction), ROUND_ZERO);
  setX(rd(insn), toInteger(value, opcode == 25, is64));
  return true;
}
