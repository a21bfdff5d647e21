/** Logical operations, moves, bitfields (Arm ARM C4.1, Data processing). */
import { BITMASKS } from './layout.ts';
import { getW, getX, orSp, rd, rm, rn, setFlags, setX, setXsp } from './fields.ts';
import { shiftedW, shiftedX } from './add.ts';

/** @inline DecodeBitMasks, from a table for N:immr:imms; 0 marks the reserved patterns. */
function bitMask(insn: u32): u64 {
  return load<u64>(((insn >>> 10) & 0x1fff) << 3, BITMASKS);
}

/** Fills the table of DecodeBitMasks (Arm ARM, shared pseudocode), the 64-bit replication. */
export function initBitMasks(): void {
  for (let key: u32 = 0; key < 0x2000; key++) {
    const immr = (key >>> 6) & 63;
    const imms = key & 63;
    const sizeBits = ((key >>> 12) << 6) | (~imms & 63);
    let mask: u64 = 0;
    if (sizeBits > 1) {
      const length: u32 = 31 - clz<u32>(sizeBits);
      const size: u32 = 1 << length;
      const ones = (imms & (size - 1)) + 1;
      const rotate = immr & (size - 1);
      if (ones < size) {
        const element: u64 = ((<u64>1) << ones) - 1;
        const limit: u64 = size == 64 ? -1 : ((<u64>1) << size) - 1;
        const turned =
          rotate == 0 ? element : ((element >> rotate) | (element << (size - rotate))) & limit;
        for (let at: u32 = 0; at < 64; at += size) mask |= turned << at;
      }
    }
    store<u64>(key << 3, mask, BITMASKS);
  }
}

/** @inline */
export function andImmX(insn: u32): bool {
  const mask = bitMask(insn);
  if (mask == 0) return false;
  setXsp(orSp(rd(insn)), getX(rn(insn)) & mask);
  return true;
}

/** @inline */
export function orrImmX(insn: u32): bool {
  const mask = bitMask(insn);
  if (mask == 0) return false;
  setXsp(orSp(rd(insn)), getX(rn(insn)) | mask);
  return true;
}

/** @inline */
export function eorImmX(insn: u32): bool {
  const mask = bitMask(insn);
  if (mask == 0) return false;
  setXsp(orSp(rd(insn)), getX(rn(insn)) ^ mask);
  return true;
}

/** @inline */
export function andsImmX(insn: u32): bool {
  const mask = bitMask(insn);
  if (mask == 0) return false;
  const result = getX(rn(insn)) & mask;
  setFlags(result, 0, 0);
  setX(rd(insn), result);
  return true;
}

/** @inline */
export function andImmW(insn: u32): bool {
  const mask = <u32>bitMask(insn);
  if (mask == 0) return false;
  setXsp(orSp(rd(insn)), <u64>(getW(rn(insn)) & mask));
  return true;
}

/** @inline */
export function orrImmW(insn: u32): bool {
  const mask = <u32>bitMask(insn);
  if (mask == 0) return false;
  setXsp(orSp(rd(insn)), <u64>(getW(rn(insn)) | mask));
  return true;
}

/** @inline */
export function eorImmW(insn: u32): bool {
  const mask = <u32>bitMask(insn);
  if (mask == 0) return false;
  setXsp(orSp(rd(insn)), <u64>(getW(rn(insn)) ^ mask));
  return true;
}

/** @inline */
export function andsImmW(insn: u32): bool {
  const mask = <u32>bitMask(insn);
  if (mask == 0) return false;
  const result = getW(rn(insn)) & mask;
  setFlags(<i64>(<i32>result), 0, 0);
  setX(rd(insn), <u64>result);
  return true;
}

/** @inline */
export function andShiftX(insn: u32): void {
  setX(rd(insn), getX(rn(insn)) & shiftedX(insn));
}

/** @inline */
export function orrShiftX(insn: u32): void {
  setX(rd(insn), getX(rn(insn)) | shiftedX(insn));
}

/** @inline */
export function eorShiftX(insn: u32): void {
  setX(rd(insn), getX(rn(insn)) ^ shiftedX(insn));
}

/** @inline */
export function andsShiftX(insn: u32): void {
  const result = getX(rn(insn)) & shiftedX(insn);
  setFlags(result, 0, 0);
  setX(rd(insn), result);
}

/** @inline A shift by more than 31 is unallocated: the caller has refused it. */
export function andShiftW(insn: u32): void {
  setX(rd(insn), <u64>(getW(rn(insn)) & shiftedW(insn)));
}

/** @inline */
export function orrShiftW(insn: u32): void {
  setX(rd(insn), <u64>(getW(rn(insn)) | shiftedW(insn)));
}

/** @inline */
export function eorShiftW(insn: u32): void {
  setX(rd(insn), <u64>(getW(rn(insn)) ^ shiftedW(insn)));
}

/** @inline */
export function andsShiftW(insn: u32): void {
  const result = getW(rn(insn)) & shiftedW(insn);
  setFlags(<i64>(<i32>result), 0, 0);
  setX(rd(insn), <u64>result);
}

/** BIC, ORN, EON, BICS: with the complement of a shifted register. */
export function complementX(insn: u32): void {
  const b = ~shiftedX(insn);
  const a = getX(rn(insn));
  const opc = (insn >>> 29) & 3;
  if (opc == 1) setX(rd(insn), a | b);
  else if (opc == 0) setX(rd(insn), a & b);
  else if (opc == 2) setX(rd(insn), a ^ b);
  else {
    setFlags(a & b, 0, 0);
    setX(rd(insn), a & b);
  }
}

/** The same with 32 bits; false for a shift by more than 31, which is unallocated. */
export function complementW(insn: u32): bool {
  if (insn & 0x8000) return false;
  const b = ~shiftedW(insn);
  const a = getW(rn(insn));
  const opc = (insn >>> 29) & 3;
  if (opc == 1) setX(rd(insn), <u64>(a | b));
  else if (opc == 0) setX(rd(insn), <u64>(a & b));
  else if (opc == 2) setX(rd(insn), <u64>(a ^ b));
  else {
    setFlags(<i64>(<i32>(a & b)), 0, 0);
    setX(rd(insn), <u64>(a & b));
  }
  return true;
}

/** @inline Zero-extended to the size of the register. */
function sized(insn: u32, value: u64): u64 {
  return insn & 0x80000000 ? value : value & 0xffffffff;
}

/** @inline hw * 16 */
function moveShift(insn: u32): u64 {
  return (insn >>> 17) & 48;
}

/** @inline */
export function movn(insn: u32): void {
  const imm: u64 = (insn >>> 5) & 0xffff;
  setX(rd(insn), sized(insn, ~(imm << moveShift(insn))));
}

/** @inline */
export function movz(insn: u32): void {
  const imm: u64 = (insn >>> 5) & 0xffff;
  setX(rd(insn), imm << moveShift(insn));
}

/** @inline */
export function movk(insn: u32): void {
  const imm: u64 = (insn >>> 5) & 0xffff;
  const shift = moveShift(insn);
  const mask: u64 = (<u64>0xffff) << shift;
  setX(rd(insn), sized(insn, (getX(rd(insn)) & ~mask) | (imm << shift)));
}

/** @inline */
export function ubfmX(insn: u32): void {
  const immr: u64 = (insn >>> 16) & 63;
  const imms: u64 = (insn >>> 10) & 63;
  const value = getX(rn(insn));
  // Bits imms..immr go to the bottom, or bits imms..0 up to 64 - immr.
  if (imms >= immr) setX(rd(insn), (value << (63 - imms)) >> (63 - imms + immr));
  else setX(rd(insn), (value << (63 - imms)) >> (immr - imms - 1));
}

/** @inline */
export function sbfmX(insn: u32): void {
  const immr: i64 = (insn >>> 16) & 63;
  const imms: i64 = (insn >>> 10) & 63;
  const value = (<i64>getX(rn(insn))) << (63 - imms);
  if (imms >= immr) setX(rd(insn), <u64>(value >> (63 - imms + immr)));
  else setX(rd(insn), <u64>(value >> (immr - imms - 1)));
}

/** False where bit 15, imms[5], is set: unallocated with 32 bits. */
export function ubfmW(insn: u32): bool {
  if (insn & 0x8000) return false;
  const immr = (insn >>> 16) & 31;
  const imms = (insn >>> 10) & 31;
  const value = getW(rn(insn)) << (31 - imms);
  if (imms >= immr) setX(rd(insn), <u64>(value >> (31 - imms + immr)));
  else setX(rd(insn), <u64>(value >> (immr - imms - 1)));
  return true;
}

/** As `ubfmW`. */
export function sbfmW(insn: u32): bool {
  if (insn & 0x8000) return false;
  const immr = (insn >>> 16) & 31;
  const imms = (insn >>> 10) & 31;
  const value = (<i32>getW(rn(insn))) << (31 - imms);
  const shift = imms >= immr ? 31 - imms + immr : immr - imms - 1;
  setX(rd(insn), <u64>(<u32>(value >> shift)));
  return true;
}

/** Inserts a bitfield, 64 bits. */
export function bfmX(insn: u32): void {
  const immr: u64 = (insn >>> 16) & 63;
  const imms: u64 = (insn >>> 10) & 63;
  const low = imms >= immr;
  const width = low ? imms - immr + 1 : imms + 1;
  const to: u64 = low ? 0 : 64 - immr;
  const field: u64 = width == 64 ? -1 : ((<u64>1) << width) - 1;
  const bits = (low ? getX(rn(insn)) >> immr : getX(rn(insn))) & field;
  setX(rd(insn), (getX(rd(insn)) & ~(field << to)) | (bits << to));
}

/** Inserts a bitfield, 32 bits; false as `ubfmW`. */
export function bfmW(insn: u32): bool {
  if (insn & 0x8000) return false;
  const immr = (insn >>> 16) & 31;
  const imms = (insn >>> 10) & 31;
  const low = imms >= immr;
  const width = low ? imms - immr + 1 : imms + 1;
  const to: u32 = low ? 0 : 32 - immr;
  const field: u32 = width == 32 ? -1 : ((<u32>1) << width) - 1;
  const bits = (low ? getW(rn(insn)) >> immr : getW(rn(insn))) & field;
  setX(rd(insn), <u64>((getW(rd(insn)) & ~(field << to)) | (bits << to)));
  return true;
}

/** @inline EXTR: the lower bits of Rn:Rm, shifted right. */
export function extract(insn: u32): bool {
  if (insn & 0x80000000) {
    const lsb: u64 = (insn >>> 10) & 63;
    const low = getX(rm(insn));
    setX(rd(insn), lsb == 0 ? low : (low >> lsb) | (getX(rn(insn)) << (64 - lsb)));
    return true;
  }
  if (insn & 0x8000) return false;
  // With 64 bits there is no shift by 32 to think of.
  const both = ((<u64>getW(rn(insn))) << 32) | (<u64>getW(rm(insn)));
  setX(rd(insn), (both >> ((insn >>> 10) & 31)) & 0xffffffff);
  return true;
}
