/** Addition and subtraction (Arm ARM C4.1: add/subtract immediate, shifted, extended, with carry). */
import { FC } from './layout.ts';
import { getW, getX, orSp, ra, rd, rm, rn, setFlags, setX, setXsp } from './fields.ts';

/** @inline 12 bits, shifted left by 12 when sh is set. */
function imm12(insn: u32): u64 {
  const imm: u64 = (insn >>> 10) & 0xfff;
  return insn & 0x400000 ? imm << 12 : imm;
}

/** @inline */
export function addX(a: u64, b: u64): u64 {
  const result = a + b;
  setFlags(result, u32(result < a), (a ^ result) & (b ^ result));
  return result;
}

/** @inline */
export function subX(a: u64, b: u64): u64 {
  const result = a - b;
  setFlags(result, u32(a >= b), (a ^ b) & (a ^ result));
  return result;
}

/** @inline */
export function addW(a: u32, b: u32): u64 {
  const result = a + b;
  setFlags(<i64>(<i32>result), u32(result < a), <i64>(<i32>((a ^ result) & (b ^ result))));
  return <u64>result;
}

/** @inline */
export function subW(a: u32, b: u32): u64 {
  const result = a - b;
  setFlags(<i64>(<i32>result), u32(a >= b), <i64>(<i32>((a ^ b) & (a ^ result))));
  return <u64>result;
}

/** @inline */
export function addImmX(insn: u32): void {
  setXsp(orSp(rd(insn)), getX(orSp(rn(insn))) + imm12(insn));
}

/** @inline */
export function subImmX(insn: u32): void {
  setXsp(orSp(rd(insn)), getX(orSp(rn(insn))) - imm12(insn));
}

/** @inline */
export function addImmW(insn: u32): void {
  setXsp(orSp(rd(insn)), <u64>(getW(orSp(rn(insn))) + <u32>imm12(insn)));
}

/** @inline */
export function subImmW(insn: u32): void {
  setXsp(orSp(rd(insn)), <u64>(getW(orSp(rn(insn))) - <u32>imm12(insn)));
}

/** @inline */
export function addsImmX(insn: u32): void {
  setX(rd(insn), addX(getX(orSp(rn(insn))), imm12(insn)));
}

/** @inline */
export function subsImmX(insn: u32): void {
  setX(rd(insn), subX(getX(orSp(rn(insn))), imm12(insn)));
}

/** @inline */
export function addsImmW(insn: u32): void {
  setX(rd(insn), addW(getW(orSp(rn(insn))), <u32>imm12(insn)));
}

/** @inline */
export function subsImmW(insn: u32): void {
  setX(rd(insn), subW(getW(orSp(rn(insn))), <u32>imm12(insn)));
}

/** @inline Shift type and amount, 64 bits. */
export function shiftedX(insn: u32): u64 {
  const value = getX(rm(insn));
  // Type and amount together: nearly always LSL #0.
  if ((insn & 0xc0fc00) == 0) return value;
  return shiftX(value, (insn >>> 22) & 3, (insn >>> 10) & 63);
}

/** @inline Shift type and amount, 32 bits; an amount above 31 is for the caller to refuse. */
export function shiftedW(insn: u32): u32 {
  const value = getW(rm(insn));
  if ((insn & 0xc0fc00) == 0) return value;
  return shiftW(value, (insn >>> 22) & 3, (insn >>> 10) & 31);
}

function shiftX(value: u64, type: u32, amount: u64): u64 {
  if (type == 0) return value << amount;
  if (type == 1) return value >> amount;
  if (type == 2) return <u64>((<i64>value) >> amount);
  return rotr<u64>(value, amount);
}

function shiftW(value: u32, type: u32, amount: u32): u32 {
  if (type == 0) return value << amount;
  if (type == 1) return value >> amount;
  if (type == 2) return <u32>((<i32>value) >> amount);
  return rotr<u32>(value, amount);
}

/** @inline */
export function addShiftX(insn: u32): void {
  setX(rd(insn), getX(rn(insn)) + shiftedX(insn));
}

/** @inline */
export function subShiftX(insn: u32): void {
  setX(rd(insn), getX(rn(insn)) - shiftedX(insn));
}

/** @inline */
export function addShiftW(insn: u32): void {
  setX(rd(insn), <u64>(getW(rn(insn)) + shiftedW(insn)));
}

/** @inline */
export function subShiftW(insn: u32): void {
  setX(rd(insn), <u64>(getW(rn(insn)) - shiftedW(insn)));
}

/** @inline */
export function addsShiftX(insn: u32): void {
  setX(rd(insn), addX(getX(rn(insn)), shiftedX(insn)));
}

/** @inline */
export function subsShiftX(insn: u32): void {
  setX(rd(insn), subX(getX(rn(insn)), shiftedX(insn)));
}

/** @inline */
export function addsShiftW(insn: u32): void {
  setX(rd(insn), addW(getW(rn(insn)), shiftedW(insn)));
}

/** @inline */
export function subsShiftW(insn: u32): void {
  setX(rd(insn), subW(getW(rn(insn)), shiftedW(insn)));
}

/** ExtendReg without the shift: UXTB UXTH UXTW UXTX SXTB SXTH SXTW SXTX. */
export function extend(value: u64, option: u32): u64 {
  switch (option) {
    case 0:
      return value & 0xff;
    case 1:
      return value & 0xffff;
    case 2:
      return value & 0xffffffff;
    case 4:
      return <u64>(<i64>(<i8>value));
    case 5:
      return <u64>(<i64>(<i16>value));
    case 6:
      return <u64>(<i64>(<i32>value));
    default:
      return value;
  }
}

/** False for the unallocated shifts above 4. */
export function addSubExtended(insn: u32): bool {
  const shift = (insn >>> 10) & 7;
  if (shift > 4) return false;
  const b = extend(getX(rm(insn)), (insn >>> 13) & 7) << shift;
  const a = getX(orSp(rn(insn)));
  const is64 = (insn & 0x80000000) != 0;
  const subtract = (insn & 0x40000000) != 0;
  if (insn & 0x20000000) {
    let result: u64;
    if (is64) result = subtract ? subX(a, b) : addX(a, b);
    else result = subtract ? subW(<u32>a, <u32>b) : addW(<u32>a, <u32>b);
    setX(rd(insn), result);
    return true;
  }
  const result = subtract ? a - b : a + b;
  setXsp(orSp(rd(insn)), is64 ? result : result & 0xffffffff);
  return true;
}

/** ADC, ADCS, SBC, SBCS; false when bits 15 to 10, the opcode, are not zero. */
export function addWithCarry(insn: u32): bool {
  if (insn & 0xfc00) return false;
  const carry = load<u32>(FC);
  if (insn & 0x80000000) {
    const a = getX(rn(insn));
    const b = insn & 0x40000000 ? ~getX(rm(insn)) : getX(rm(insn));
    const sum = a + b;
    const result = sum + carry;
    const carryOut = u32(sum < a) | u32(result < sum);
    if (insn & 0x20000000) setFlags(result, carryOut, (a ^ result) & (b ^ result));
    setX(rd(insn), result);
    return true;
  }
  const a = getW(rn(insn));
  const b = insn & 0x40000000 ? ~getW(rm(insn)) : getW(rm(insn));
  const sum: u64 = <u64>a + b + carry;
  const result = <u32>sum;
  if (insn & 0x20000000) {
    const overflow = (a ^ result) & (b ^ result);
    setFlags(<i64>(<i32>result), <u32>(sum >> 32), <i64>(<i32>overflow));
  }
  setX(rd(insn), <u64>result);
  return true;
}

/** MADD and MSUB, 64 bits. */
export function multiplyAddX(insn: u32): void {
  const product = getX(rn(insn)) * getX(rm(insn));
  const addend = getX(ra(insn));
  setX(rd(insn), insn & 0x8000 ? addend - product : addend + product);
}

/** MADD and MSUB, 32 bits. */
export function multiplyAddW(insn: u32): void {
  const product = getW(rn(insn)) * getW(rm(insn));
  const addend = getW(ra(insn));
  setX(rd(insn), <u64>(insn & 0x8000 ? addend - product : addend + product));
}

/** SMADDL, SMSUBL, UMADDL, UMSUBL. */
export function multiplyAddLong(insn: u32): void {
  const n = getW(rn(insn));
  const m = getW(rm(insn));
  const product = insn & 0x800000 ? <u64>n * <u64>m : <u64>(<i64>(<i32>n) * <i64>(<i32>m));
  const addend = getX(ra(insn));
  setX(rd(insn), insn & 0x8000 ? addend - product : addend + product);
}

/** SMULH and UMULH; false when Ra is not 31 or o0 is set, which is unallocated. */
export function multiplyHigh(insn: u32): bool {
  if ((insn & 0x8000) != 0) return false;
  const a = getX(rn(insn));
  const b = getX(rm(insn));
  const aLow = a & 0xffffffff;
  const bLow = b & 0xffffffff;
  const aHigh = a >> 32;
  const bHigh = b >> 32;
  const middle = aHigh * bLow + ((aLow * bLow) >> 32);
  const other = aLow * bHigh + (middle & 0xffffffff);
  let high = aHigh * bHigh + (middle >> 32) + (other >> 32);
  if ((insn & 0x800000) == 0) {
    if (<i64>a < 0) high -= b;
    if (<i64>b < 0) high -= a;
  }
  setX(rd(insn), high);
  return true;
}
