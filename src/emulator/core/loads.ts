/** Loads and stores of one general register, three ways to the address (Arm ARM C4.1, Loads and stores). */
import { EL, EVENT, PC_OFFSET } from './layout.ts';
import { faulted, readSlow, tagOf, writeMemory, writeSlow } from './access.ts';
import { extend } from './add.ts';
import { getX, orSp, rd, rm, rn, setX, setXsp } from './fields.ts';
import { dataEntry } from './tlb.ts';

/** @inline An unsigned offset in units of the size. */
export function unsignedAddress(insn: u32, scale: u32): u64 {
  return getX(orSp(rn(insn))) + <u64>(((insn >>> 10) & 0xfff) << scale);
}

/** @inline The signed 9-bit offset. */
function imm9(insn: u32): u64 {
  return <u64>(<i64>((<i32>(insn << 11)) >> 23));
}

/** @inline imm9 before the access, unless the form is post-indexed (bits 11 and 10 are 01). */
export function indexedAddress(insn: u32): u64 {
  const base = getX(orSp(rn(insn)));
  return (insn & 0xc00) == 0x400 ? base : base + imm9(insn);
}

/** @inline Writes the base back: bit 10 is set in the indexed forms only. */
export function writeBack(insn: u32): void {
  if (insn & 0x400) setXsp(orSp(rn(insn)), getX(orSp(rn(insn))) + imm9(insn));
}

/** @inline Rm, extended and shifted by 0 or the scale. */
export function registerAddress(insn: u32, scale: u32): u64 {
  const base = getX(orSp(rn(insn)));
  const option = (insn >>> 13) & 7;
  const offset = option == 3 ? getX(rm(insn)) : extend(getX(rm(insn)), option);
  return base + (offset << (insn & 0x1000 ? scale : 0));
}

/** @inline Register offsets need bits 11, 10 to be 10 and an option of 32 or 64 bits. */
export function isRegisterOffset(insn: u32): bool {
  return (insn & 0x4c00) == 0x4800;
}

/**
 * @inline Loads T and extends it to R. False when the loop must be left.
 */
export function loadTo<T, R>(insn: u32, va: u64, ip: u32): bool {
  const entry = dataEntry(va);
  if (load<u64>(entry) == tagOf<T>(va)) {
    setX(rd(insn), <u64>(<R>load<T>(<u32>va + load<u32>(entry, 16))));
    return true;
  }
  return loadEnd(rd(insn), <u64>(<R>(<T>readSlow(va, sizeof<T>(), load<u32>(EL), ip))));
}

/** The value of a device is good, that of a fault is not. */
function loadEnd(offset: u32, value: u64): bool {
  if (!faulted()) setX(offset, value);
  return load<u32>(EVENT) == 0;
}

/** @inline Stores the lower bits of Rt. */
export function storeFrom<T>(insn: u32, va: u64, ip: u32): bool {
  return writeMemory<T>(va, <T>getX(rd(insn)), ip);
}

/** @inline Loads from base and register; false without EVENT for what is unallocated. */
export function loadRegister<T, R>(insn: u32, scale: u32, ip: u32): bool {
  if (!isRegisterOffset(insn)) return false;
  return loadTo<T, R>(insn, registerAddress(insn, scale), ip);
}

/** @inline Stores to base and register. */
export function storeRegister<T>(insn: u32, scale: u32, ip: u32): bool {
  if (!isRegisterOffset(insn)) return false;
  return storeFrom<T>(insn, registerAddress(insn, scale), ip);
}

/** @inline Loads with imm9: the base changes only when the access was made. */
export function loadIndexed<T, R>(insn: u32, ip: u32): bool {
  if ((insn & 0xc00) == 0x800) return loadUnprivileged(insn, ip);
  const base = indexedAddress(insn);
  const done = loadTo<T, R>(insn, base, ip);
  if (done || !faulted()) writeBack(insn);
  return done;
}

/** @inline Stores with imm9. */
export function storeIndexed<T>(insn: u32, ip: u32): bool {
  if ((insn & 0xc00) == 0x800) return storeUnprivileged(insn, ip);
  const done = storeFrom<T>(insn, indexedAddress(insn), ip);
  if (done || !faulted()) writeBack(insn);
  return done;
}

/** LDTR and its kin: as EL0 would load. */
function loadUnprivileged(insn: u32, ip: u32): bool {
  const size: u32 = insn >>> 30;
  const raw = readSlow(getX(orSp(rn(insn))) + imm9(insn), 1 << size, 0, ip);
  if (faulted()) return false;
  let value = raw;
  const opc = (insn >>> 22) & 3;
  if (opc > 1) {
    value = extend(raw, 4 + size);
    if (opc == 3) value &= 0xffffffff;
  }
  setX(rd(insn), value);
  return load<u32>(EVENT) == 0;
}

/** STTR and its kin. */
function storeUnprivileged(insn: u32, ip: u32): bool {
  const va = getX(orSp(rn(insn))) + imm9(insn);
  return writeSlow(va, 1 << (insn >>> 30), getX(rd(insn)), 0, ip);
}

/** LDR (literal), LDRSW (literal), PRFM (literal). */
export function loadLiteral(insn: u32, ip: u32): bool {
  const offset = <i64>(((<i32>(insn << 8)) >> 13) << 2);
  const va = load<u64>(PC_OFFSET) + <u64>(ip - 4) + <u64>offset;
  switch (insn >>> 30) {
    case 0:
      return loadTo<u32, u64>(insn, va, ip);
    case 1:
      return loadTo<u64, u64>(insn, va, ip);
    case 2:
      return loadTo<i32, i64>(insn, va, ip);
    default:
      return true;
  }
}
