/** Loads and stores of pairs: LDP, STP, LDPSW, LDNP, STNP. */
import { EVENT } from './layout.ts';
import { faulted, readMemory, tagOf, writeMemory } from './access.ts';
import { getX, orSp, ra, rd, rn, setX, setXsp } from './fields.ts';
import { dataEntry } from './tlb.ts';

/** @inline The signed 7-bit offset in units of the size. */
function imm7(insn: u32, scale: u32): u64 {
  return <u64>(<i64>(((<i32>(insn << 10)) >> 25) << scale));
}

/** @inline Post-indexed (bits 24, 23 are 01) forms access the base itself. */
export function pairAddress(insn: u32, scale: u32): u64 {
  const base = getX(orSp(rn(insn)));
  return (insn & 0x1800000) == 0x800000 ? base : base + imm7(insn, scale);
}

/** @inline Bit 23 is set in the indexed forms only. */
export function pairWriteBack(insn: u32, scale: u32): void {
  if (insn & 0x800000) setXsp(orSp(rn(insn)), getX(orSp(rn(insn))) + imm7(insn, scale));
}

/** @inline Whether one entry of the TLB holds both halves: they are aligned, and in one page. */
function inOnePage<T>(va: u64): bool {
  return ((<u32>va + sizeof<T>()) & 4095) != 0;
}

/** @inline T in memory, R what it is extended to. */
export function loadPair<T, R>(insn: u32, scale: u32, ip: u32): bool {
  const va = pairAddress(insn, scale);
  const entry = dataEntry(va);
  if (load<u64>(entry) == tagOf<T>(va) && inOnePage<T>(va)) {
    const at = <u32>va + load<u32>(entry, 16);
    pairWriteBack(insn, scale);
    setX(rd(insn), <u64>(<R>load<T>(at)));
    setX(ra(insn), <u64>(<R>load<T>(at, sizeof<T>())));
    return true;
  }
  return loadPairSlow<T, R>(insn, va, scale, ip);
}

function loadPairSlow<T, R>(insn: u32, va: u64, scale: u32, ip: u32): bool {
  const first = <u64>(<R>readMemory<T>(va, ip));
  if (faulted()) return false;
  const second = <u64>(<R>readMemory<T>(va + sizeof<T>(), ip));
  if (faulted()) return false;
  pairWriteBack(insn, scale);
  setX(rd(insn), first);
  setX(ra(insn), second);
  return load<u32>(EVENT) == 0;
}

/** @inline */
export function storePair<T>(insn: u32, scale: u32, ip: u32): bool {
  const va = pairAddress(insn, scale);
  const entry = dataEntry(va);
  if (load<u64>(entry, 8) == tagOf<T>(va) && inOnePage<T>(va)) {
    const at = <u32>va + load<u32>(entry, 16);
    store<T>(at, <T>getX(rd(insn)));
    store<T>(at, <T>getX(ra(insn)), sizeof<T>());
    pairWriteBack(insn, scale);
    return true;
  }
  return storePairSlow<T>(insn, va, scale, ip);
}

function storePairSlow<T>(insn: u32, va: u64, scale: u32, ip: u32): bool {
  const done = writeMemory<T>(va, <T>getX(rd(insn)), ip);
  if (!done && faulted()) return false;
  const also = writeMemory<T>(va + sizeof<T>(), <T>getX(ra(insn)), ip);
  if (!also && faulted()) return false;
  pairWriteBack(insn, scale);
  return done && also;
}
