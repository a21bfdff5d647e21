/** Vector registers as lanes. A result is made in a buffer, since it may overwrite its sources. */
import { VRESULT, VREGS } from './layout.ts';

/** @inline Address of the vector register whose number is in the lower five bits. */
export function vreg(n: u32): u32 {
  return VREGS + ((n & 31) << 4);
}

/** @inline */
export function vd(insn: u32): u32 {
  return vreg(insn);
}

/** @inline */
export function vn(insn: u32): u32 {
  return vreg(insn >>> 5);
}

/** @inline */
export function vm(insn: u32): u32 {
  return vreg(insn >>> 16);
}

/** Lane `index` of 1 << size bytes, zero-extended. */
export function lane(at: u32, size: u32, index: u32): u64 {
  if (size == 0) return <u64>load<u8>(at + index);
  if (size == 1) return <u64>load<u16>(at + (index << 1));
  if (size == 2) return <u64>load<u32>(at + (index << 2));
  return load<u64>(at + (index << 3));
}

/** Lane `index`, sign-extended. */
export function laneS(at: u32, size: u32, index: u32): i64 {
  if (size == 0) return <i64>load<i8>(at + index);
  if (size == 1) return <i64>load<i16>(at + (index << 1));
  if (size == 2) return <i64>load<i32>(at + (index << 2));
  return load<i64>(at + (index << 3));
}

/** Lane `index`, extended as U (bit 29) says: set is unsigned. */
export function laneU(at: u32, size: u32, index: u32, unsigned: bool): u64 {
  return unsigned ? lane(at, size, index) : <u64>laneS(at, size, index);
}

export function setLane(at: u32, size: u32, index: u32, value: u64): void {
  if (size == 0) store<u8>(at + index, <u8>value);
  else if (size == 1) store<u16>(at + (index << 1), <u16>value);
  else if (size == 2) store<u32>(at + (index << 2), <u32>value);
  else store<u64>(at + (index << 3), value);
}

/** @inline Lane of the result. */
export function result(size: u32, index: u32, value: u64): void {
  setLane(VRESULT, size, index, value);
}

/** Empties the result. */
export function begin(): void {
  store<u64>(VRESULT, 0);
  store<u64>(VRESULT, 0, 8);
}

/** The result goes to a register; what was not set is zero. */
export function finish(to: u32): bool {
  store<u64>(to, load<u64>(VRESULT));
  store<u64>(to, load<u64>(VRESULT, 8), 8);
  return true;
}

/** A scalar result: the rest of the register is zero. */
export function setScalar(to: u32, size: u32, value: u64): bool {
  store<u64>(to, size == 3 ? value : value & (((<u64>1) << (8 << size)) - 1));
  store<u64>(to, 0, 8);
  return true;
}

/** All ones in a lane. */
export function maskOf(size: u32): u64 {
  return size == 3 ? -1 : ((<u64>1) << (8 << size)) - 1;
}
