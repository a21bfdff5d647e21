/** Fields of an instruction and the registers they name. Offsets are bytes from REGS. */
import { FC, FN, FV, FZ, REGS, SP_SLOT, ZERO_SLOT } from './layout.ts';

/** @inline Offset of the register in bits 4 to 0. */
export function rd(insn: u32): u32 {
  return (insn & 31) << 3;
}

/** @inline Offset of the register in bits 9 to 5. */
export function rn(insn: u32): u32 {
  return (insn >>> 2) & ZERO_SLOT;
}

/** @inline Offset of the register in bits 20 to 16. */
export function rm(insn: u32): u32 {
  return (insn >>> 13) & ZERO_SLOT;
}

/** @inline Offset of the register in bits 14 to 10. */
export function ra(insn: u32): u32 {
  return (insn >>> 7) & ZERO_SLOT;
}

/** @inline Register 31 is the stack pointer where this is used: its slot follows the zero slot. */
export function orSp(offset: u32): u32 {
  return offset + (((offset + 8) >>> 5) & 8);
}

/** @inline */
export function getX(offset: u32): u64 {
  return load<u64>(offset, REGS);
}

/** @inline */
export function getW(offset: u32): u32 {
  return load<u32>(offset, REGS);
}

/** @inline Writes a register other than the stack pointer; XZR stays zero, without a branch. */
export function setX(offset: u32, value: u64): void {
  store<u64>(offset, value, REGS);
  store<u64>(ZERO_SLOT, 0, REGS);
}

/** @inline Writes a register, 31 being the stack pointer (`offset` from `orSp`). */
export function setXsp(offset: u32, value: u64): void {
  store<u64>(offset, value, REGS);
}

/** @inline */
export function getSp(): u64 {
  return load<u64>(SP_SLOT, REGS);
}

/** @inline N and Z follow from the result, sign-extended when it has 32 bits. */
export function setFlags(result: i64, carry: u32, overflowSign: i64): void {
  store<i64>(FN, result);
  store<i64>(FZ, result);
  store<u32>(FC, carry);
  store<i64>(FV, overflowSign);
}

/** All four flags from bits 31 to 28. */
export function setNzcv(bits: u32): void {
  store<i64>(FN, bits & 0x80000000 ? -1 : 0);
  store<i64>(FZ, bits & 0x40000000 ? 0 : 1);
  store<u32>(FC, (bits >>> 29) & 1);
  store<i64>(FV, bits & 0x10000000 ? -1 : 0);
}

/** The four flags in bits 31 to 28. */
export function getNzcv(): u32 {
  return (
    (u32(load<i64>(FN) < 0) << 31) |
    (u32(load<i64>(FZ) == 0) << 30) |
    (load<u32>(FC) << 29) |
    (u32(load<i64>(FV) < 0) << 28)
  );
}

/** @inline EQ and NE, which are most of all, without a call. */
export function holdsFast(cond: u32): bool {
  return cond < 2 ? (load<i64>(FZ) == 0) != (cond != 0) : holds(cond);
}

/** ConditionHolds: bits 3 to 1 name the condition, bit 0 inverts it, 1111 is always. */
export function holds(cond: u32): bool {
  let result: bool;
  switch (cond >>> 1) {
    case 0:
      result = load<i64>(FZ) == 0;
      break;
    case 1:
      result = load<u32>(FC) != 0;
      break;
    case 2:
      result = load<i64>(FN) < 0;
      break;
    case 3:
      result = load<i64>(FV) < 0;
      break;
    case 4:
      result = load<u32>(FC) != 0 && load<i64>(FZ) != 0;
      break;
    case 5:
      result = (load<i64>(FN) ^ load<i64>(FV)) >= 0;
      break;
    case 6:
      result = (load<i64>(FN) ^ load<i64>(FV)) >= 0 && load<i64>(FZ) != 0;
      break;
    default:
      return true;
  }
  return result != ((cond & 1) != 0);
}
