/** Translation table walks: stage 1, 4 KiB granule, 48-bit addresses (Arm ARM D8). */
import {
  RAM_AT,
  RAM_BASE,
  RAM_SIZE,
  SR_SCTLR,
  SR_TCR,
  SR_TTBR0,
  SR_TTBR1,
  SYSREGS,
} from './layout.ts';

export const MAY_READ: u32 = 1;
export const MAY_WRITE: u32 = 2;
export const MAY_EXECUTE: u32 = 4;

/** Fault status codes without the level (Arm ARM, ISS encoding for a Data Abort). */
export const FSC_ADDRESS_SIZE: u32 = 0;
export const FSC_TRANSLATION: u32 = 4;
export const FSC_ACCESS_FLAG: u32 = 8;
export const FSC_PERMISSION: u32 = 12;
export const FSC_EXTERNAL: u32 = 16;
export const FSC_EXTERNAL_WALK: u32 = 20;
export const FSC_ALIGNMENT: u32 = 33;

const ADDRESS_MASK: u64 = 0x0000fffffffff000;

/** What the last successful walk found: physical address, MAY_ bits, level. */
export let walkedTo: u64 = 0;
export let walkedMay: u32 = 0;
export let walkedLevel: u32 = 3;
/** Of one ASID only. */
export let walkedLocal: bool = false;

/** @inline */
export function sysreg(slot: u32): u64 {
  return load<u64>(slot << 3, SYSREGS);
}

/** Whether addresses are translated at all. */
export function mmuOn(): bool {
  return (sysreg(SR_SCTLR) & 1) != 0;
}

/** @inline True when `size` bytes at a physical address are RAM. */
export function isRam(pa: u64, size: u64): bool {
  const offset = pa - load<u64>(RAM_BASE);
  return offset < load<u32>(RAM_SIZE) && offset + size <= load<u32>(RAM_SIZE);
}

/** @inline Where that RAM lies in linear memory. */
export function hostOf(pa: u64): u32 {
  return <u32>(pa - load<u64>(RAM_BASE)) + RAM_AT;
}

/** Drops the top byte where TCR says it is ignored. */
export function untagged(va: u64): u64 {
  const tcr = sysreg(SR_TCR);
  if ((va >> 55) & 1) return tcr & ((<u64>1) << 38) ? va | 0xff00000000000000 : va;
  return tcr & ((<u64>1) << 37) ? va & 0x00ffffffffffffff : va;
}

/**
 * Translates an address for EL0 or EL1. 0 when `walkedTo`, `walkedMay` and `walkedLevel` are set,
 * else the fault status code plus 0x100. Permissions are for the caller to judge.
 */
export function walk(address: u64, el: u32): u32 {
  if (!mmuOn()) {
    walkedTo = address;
    walkedMay = MAY_READ | MAY_WRITE | MAY_EXECUTE;
    walkedLevel = 3;
    walkedLocal = false;
    return address >> 48 ? 0x100 | FSC_ADDRESS_SIZE : 0;
  }
  const va = untagged(address);
  const tcr = sysreg(SR_TCR);
  const upper = ((va >> 55) & 1) != 0;
  const sizeBits: u32 = (<u32>(upper ? tcr >> 16 : tcr)) & 63;
  const disabled = (<u32>(tcr >> (upper ? 23 : 7))) & 1;
  // TnSZ below 16 would need 52-bit addresses, which ID_AA64MMFR2 denies: it counts as 16.
  const inputBits: u32 = 64 - max<u32>(sizeBits, 16);
  const sign = upper ? va ^ -1 : va;
  if (disabled || sign >> inputBits) return 0x100 | FSC_TRANSLATION;

  let table = sysreg(upper ? SR_TTBR1 : SR_TTBR0) & ADDRESS_MASK;
  let level: u32 = 4 - (inputBits - 12 + 8) / 9;
  const firstBits = inputBits - (39 - 9 * level);
  if (firstBits < 9) {
    // A small first table need only be aligned to its own size.
    table =
      sysreg(upper ? SR_TTBR1 : SR_TTBR0) & 0x0000fffffffffffe & ~(((<u64>8) << firstBits) - 1);
  }
  let tables: u64 = 0;
  let mask: u64 = ((<u64>1) << firstBits) - 1;
  while (true) {
    const shift: u32 = 39 - 9 * level;
    const at = table + (((va >> shift) & mask) << 3);
    if (!isRam(at, 8)) return 0x100 | (FSC_EXTERNAL_WALK + level);
    const entry = load<u64>(hostOf(at));
    if ((entry & 1) == 0 || (level == 3 && (entry & 2) == 0))
      return 0x100 | (FSC_TRANSLATION + level);
    if (level == 3 || (entry & 2) == 0) {
      if (level == 0) return 0x100 | FSC_TRANSLATION;
      return leaf(va, entry, tables, shift, level, el);
    }
    // APTable, UXNTable and PXNTable add up.
    tables |= entry;
    table = entry & ADDRESS_MASK;
    mask = 511;
    level++;
  }
}

function leaf(va: u64, entry: u64, tables: u64, shift: u32, level: u32, el: u32): u32 {
  if ((entry & 0x400) == 0) return 0x100 | (FSC_ACCESS_FLAG + level);
  const within: u64 = ((<u64>1) << shift) - 1;
  walkedTo = (entry & ADDRESS_MASK & ~within) | (va & within);
  walkedLevel = level;
  walkedLocal = (entry & 0x800) != 0;
  const userAccess = (entry & 0x40) != 0 && (tables & ((<u64>1) << 61)) == 0;
  const readOnly = (entry & 0x80) != 0 || (tables & ((<u64>1) << 62)) != 0;
  let may: u32;
  if (el == 0) {
    may = userAccess ? (readOnly ? MAY_READ : MAY_READ | MAY_WRITE) : 0;
    if (((entry >> 54) & 1) == 0 && ((tables >> 60) & 1) == 0) may |= MAY_EXECUTE;
  } else {
    may = readOnly ? MAY_READ : MAY_READ | MAY_WRITE;
    // What EL0 may write, EL1 must not execute.
    const neverExecute = ((entry >> 53) & 1) != 0 || ((tables >> 59) & 1) != 0;
    if (!neverExecute && !(userAccess && !readOnly)) may |= MAY_EXECUTE;
  }
  walkedMay = may;
  return 0;
}
