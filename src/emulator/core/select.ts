/** Conditional operations, and what takes one or two sources (Arm ARM C4.1, Data processing). */
import { addW, addX, subW, subX } from './add.ts';
import { getW, getX, holds, rd, rm, rn, setNzcv, setX } from './fields.ts';

/** CSEL, CSINC, CSINV, CSNEG, 64 bits; false for unallocated op2 and S. */
export function selectX(insn: u32): bool {
  if (insn & 0x20000800) return false;
  let value: u64;
  if (holds((insn >>> 12) & 15)) value = getX(rn(insn));
  else {
    value = getX(rm(insn));
    if (insn & 0x40000000) value = ~value;
    if (insn & 0x400) value++;
  }
  setX(rd(insn), value);
  return true;
}

/** The same with 32 bits. */
export function selectW(insn: u32): bool {
  if (insn & 0x20000800) return false;
  let value: u32;
  if (holds((insn >>> 12) & 15)) value = getW(rn(insn));
  else {
    value = getW(rm(insn));
    if (insn & 0x40000000) value = ~value;
    if (insn & 0x400) value++;
  }
  setX(rd(insn), <u64>value);
  return true;
}

/** CCMN and CCMP, register or immediate; false for unallocated o2, o3. */
export function conditionalCompare(insn: u32): bool {
  if (insn & 0x410) return false;
  if (!holds((insn >>> 12) & 15)) {
    setNzcv((insn & 15) << 28);
    return true;
  }
  const b: u64 = insn & 0x800 ? <u64>((insn >>> 16) & 31) : getX(rm(insn));
  const subtract = (insn & 0x40000000) != 0;
  if (insn & 0x80000000) {
    if (subtract) subX(getX(rn(insn)), b);
    else addX(getX(rn(insn)), b);
  } else if (subtract) subW(getW(rn(insn)), <u32>b);
  else addW(getW(rn(insn)), <u32>b);
  return true;
}

/** UDIV, SDIV, LSLV, LSRV, ASRV, RORV; false for the rest (CRC32, PAC, MTE). */
export function twoSource(insn: u32): bool {
  const opcode = (insn >>> 10) & 63;
  if (insn & 0x80000000) {
    const a = getX(rn(insn));
    const b = getX(rm(insn));
    if (opcode == 2) setX(rd(insn), b == 0 ? 0 : a / b);
    else if (opcode == 3) setX(rd(insn), divideX(<i64>a, <i64>b));
    else if (opcode == 8) setX(rd(insn), a << (b & 63));
    else if (opcode == 9) setX(rd(insn), a >> (b & 63));
    else if (opcode == 10) setX(rd(insn), <u64>((<i64>a) >> ((<i64>b) & 63)));
    else if (opcode == 11) setX(rd(insn), rotr<u64>(a, b & 63));
    else return false;
    return true;
  }
  const a = getW(rn(insn));
  const b = getW(rm(insn));
  if (opcode == 2) setX(rd(insn), b == 0 ? 0 : <u64>(a / b));
  else if (opcode == 3) setX(rd(insn), <u64>divideW(<i32>a, <i32>b));
  else if (opcode == 8) setX(rd(insn), <u64>(a << (b & 31)));
  else if (opcode == 9) setX(rd(insn), <u64>(a >> (b & 31)));
  else if (opcode == 10) setX(rd(insn), <u64>(<u32>((<i32>a) >> ((<i32>b) & 31))));
  else if (opcode == 11) setX(rd(insn), <u64>rotr<u32>(a, b & 31));
  else return false;
  return true;
}

/** By zero gives zero; the least number by -1 gives itself, where WebAssembly would trap. */
function divideX(a: i64, b: i64): u64 {
  if (b == 0) return 0;
  return b == -1 ? <u64>-a : <u64>(a / b);
}

function divideW(a: i32, b: i32): u32 {
  if (b == 0) return 0;
  return b == -1 ? <u32>-a : <u32>(a / b);
}

/** RBIT, REV16, REV32, REV, CLZ, CLS; false for the rest (PAC). */
export function oneSource(insn: u32): bool {
  if (insn & 0x201f0000) return false;
  const opcode = (insn >>> 10) & 63;
  if (insn & 0x80000000) {
    const a = getX(rn(insn));
    if (opcode == 0) setX(rd(insn), reverseBits(a));
    else if (opcode == 1) setX(rd(insn), swap16(a));
    else if (opcode == 2) setX(rd(insn), rotl<u64>(bswap<u64>(a), 32));
    else if (opcode == 3) setX(rd(insn), bswap<u64>(a));
    else if (opcode == 4) setX(rd(insn), clz<u64>(a));
    else if (opcode == 5) setX(rd(insn), clz<u64>(((<i64>a) >> 63) ^ a) - 1);
    else return false;
    return true;
  }
  const a = getW(rn(insn));
  if (opcode == 0) setX(rd(insn), reverseBits(<u64>a) >> 32);
  else if (opcode == 1) setX(rd(insn), swap16(<u64>a));
  else if (opcode == 2) setX(rd(insn), <u64>bswap<u32>(a));
  else if (opcode == 4) setX(rd(insn), <u64>clz<u32>(a));
  else if (opcode == 5) setX(rd(insn), <u64>(clz<u32>((<u32>((<i32>a) >> 31)) ^ a) - 1));
  else return false;
  return true;
}

function swap16(a: u64): u64 {
  return ((a & 0x00ff00ff00ff00ff) << 8) | ((a >> 8) & 0x00ff00ff00ff00ff);
}

function reverseBits(a: u64): u64 {
  let value = ((a >> 1) & 0x5555555555555555) | ((a & 0x5555555555555555) << 1);
  value = ((value >> 2) & 0x3333333333333333) | ((value & 0x3333333333333333) << 2);
  value = ((value >> 4) & 0x0f0f0f0f0f0f0f0f) | ((value & 0x0f0f0f0f0f0f0f0f) << 4);
  return bswap<u64>(value);
}
