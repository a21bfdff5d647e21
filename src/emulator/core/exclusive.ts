/**
 * Load-exclusive and store-exclusive, load-acquire and store-release (Arm ARM C4.1).
 *
 * One CPU, accesses in program order: acquire and release order nothing more. The monitor is a flag
 * and the place in memory; exceptions, ERET and CLREX clear it.
 */
import { EL, EVENT, MONITOR, MONITOR_AT, STOP_UNSUPPORTED } from './layout.ts';
import { aligned, faulted, hostFor, readSlow, writeSlow } from './access.ts';
import { getX, orSp, ra, rd, rm, rn, setX } from './fields.ts';
import { refuse, stopAt } from './exception.ts';

/** False when the loop must be left. */
export function exclusive(insn: u32, ip: u32): bool {
  const size: u32 = 1 << (insn >>> 30);
  const ordered = (insn & 0x800000) != 0;
  const isLoad = (insn & 0x400000) != 0;
  const isPair = (insn & 0x200000) != 0;
  const va = getX(orSp(rn(insn)));
  if (isPair) {
    // CAS and CASP (LSE) share this corner.
    if (ordered || size < 4) return refuse(insn, ip);
    return isLoad ? loadExclusivePair(insn, va, size, ip) : storeExclusivePair(insn, va, size, ip);
  }
  if (!ordered)
    return isLoad ? loadExclusive(insn, va, size, ip) : storeExclusive(insn, va, size, ip);
  // LDLAR and STLLR (bit 15 clear) are of FEAT_LOR.
  if ((insn & 0x8000) == 0) return refuse(insn, ip);
  if (!aligned(va, size, !isLoad, ip)) return false;
  if (!isLoad) return writeSlow(va, size, getX(rd(insn)), load<u32>(EL), ip);
  const value = readSlow(va, size, load<u32>(EL), ip);
  if (faulted()) return false;
  setX(rd(insn), value);
  return load<u32>(EVENT) == 0;
}

/** The place for an exclusive access; 0 when an exception was taken or the machine stopped. */
function place(insn: u32, va: u64, size: u32, isWrite: bool, ip: u32): u32 {
  if (!aligned(va, size, isWrite, ip)) return 0;
  const at = hostFor(va, size, isWrite, ip);
  if (at != 1) return at;
  // Exclusives to devices are IMPLEMENTATION DEFINED; no driver makes them.
  stopAt(STOP_UNSUPPORTED, insn, ip);
  return 0;
}

function loadExclusive(insn: u32, va: u64, size: u32, ip: u32): bool {
  const at = place(insn, va, size, false, ip);
  if (at == 0) return false;
  store<u32>(MONITOR, size);
  store<u32>(MONITOR_AT, at);
  if (size == 8) setX(rd(insn), load<u64>(at));
  else if (size == 4) setX(rd(insn), <u64>load<u32>(at));
  else if (size == 2) setX(rd(insn), <u64>load<u16>(at));
  else setX(rd(insn), <u64>load<u8>(at));
  return true;
}

/** Whether a store to that place may be made; the monitor is open afterwards either way. */
function monitorPasses(at: u32, size: u32): bool {
  const passes = load<u32>(MONITOR) == size && load<u32>(MONITOR_AT) == at;
  store<u32>(MONITOR, 0);
  return passes;
}

function storeExclusive(insn: u32, va: u64, size: u32, ip: u32): bool {
  const at = place(insn, va, size, true, ip);
  if (at == 0) return false;
  const passes = monitorPasses(at, size);
  if (passes) {
    const value = getX(rd(insn));
    if (size == 8) store<u64>(at, value);
    else if (size == 4) store<u32>(at, <u32>value);
    else if (size == 2) store<u16>(at, <u16>value);
    else store<u8>(at, <u8>value);
  }
  setX(rm(insn), passes ? 0 : 1);
  return true;
}

function loadExclusivePair(insn: u32, va: u64, size: u32, ip: u32): bool {
  const at = place(insn, va, 2 * size, false, ip);
  if (at == 0) return false;
  store<u32>(MONITOR, 2 * size);
  store<u32>(MONITOR_AT, at);
  const wide = size == 8;
  const second = wide ? load<u64>(at, 8) : <u64>load<u32>(at, 4);
  setX(rd(insn), wide ? load<u64>(at) : <u64>load<u32>(at));
  setX(ra(insn), second);
  return true;
}

function storeExclusivePair(insn: u32, va: u64, size: u32, ip: u32): bool {
  const at = place(insn, va, 2 * size, true, ip);
  if (at == 0) return false;
  const passes = monitorPasses(at, 2 * size);
  if (passes) {
    if (size == 8) {
      store<u64>(at, getX(rd(insn)));
      store<u64>(at, getX(ra(insn)), 8);
    } else {
      store<u32>(at, <u32>getX(rd(insn)));
      store<u32>(at, <u32>getX(ra(insn)), 4);
    }
  }
  setX(rm(insn), passes ? 0 : 1);
  return true;
}
