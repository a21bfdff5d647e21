/** Loads and stores as one instruction makes them: the TLB first, then the slow way. */
import { BUS_ERROR, EL, EVENT, EVENT_BUS, EVENT_FAULT, PC, PC_OFFSET } from './layout.ts';
import { busRead, busWrite } from './host.ts';
import { EC_DATA_ABORT, pcBefore, takeAbort } from './exception.ts';
import { dataEntry, dataEntryOf, enterData, PAGE_MASK } from './tlb.ts';
import {
  FSC_ALIGNMENT,
  FSC_EXTERNAL,
  FSC_PERMISSION,
  hostOf,
  isRam,
  MAY_READ,
  MAY_WRITE,
  untagged,
  walk,
  walkedLevel,
  walkedMay,
  walkedTo,
} from './walk.ts';

const WRITE_NOT_READ: u32 = 1 << 6;

/** @inline What of an address must equal the tag: the page, and the bits that show misalignment. */
export function tagOf<T>(va: u64): u64 {
  return va & (PAGE_MASK | (sizeof<T>() - 1));
}

/**
 * @inline Reads memory for the instruction before `ip`. When EVENT is EVENT_FAULT afterwards, the
 * exception is taken and the value means nothing.
 */
export function readMemory<T>(va: u64, ip: u32): T {
  const entry = dataEntry(va);
  if (load<u64>(entry) == tagOf<T>(va)) return load<T>(<u32>va + load<u32>(entry, 16));
  return <T>readSlow(va, sizeof<T>(), load<u32>(EL), ip);
}

/** @inline Writes memory; false when EVENT is set: an exception was taken or the bus was used. */
export function writeMemory<T>(va: u64, value: T, ip: u32): bool {
  const entry = dataEntry(va);
  if (load<u64>(entry, 8) == tagOf<T>(va)) {
    store<T>(<u32>va + load<u32>(entry, 16), value);
    return true;
  }
  return writeSlow(va, sizeof<T>(), <u64>value, load<u32>(EL), ip);
}

function abort(status: u32, isWrite: bool, va: u64, ip: u32): void {
  takeAbort(EC_DATA_ABORT, (status & 0x3f) | (isWrite ? WRITE_NOT_READ : 0), va, pcBefore(ip));
}

/**
 * Physical address for an access that stays in one page; takes the exception and answers false when
 * it is not allowed. `walkedTo` has the answer.
 */
export function translate(va: u64, isWrite: bool, el: u32, ip: u32): bool {
  const fault = walk(va, el);
  if (fault) {
    abort(fault, isWrite, va, ip);
    return false;
  }
  if (!(walkedMay & (isWrite ? MAY_WRITE : MAY_READ))) {
    abort(FSC_PERMISSION + walkedLevel, isWrite, va, ip);
    return false;
  }
  if (untagged(va) == va) enterData(va, el);
  return true;
}

/**
 * @inline The place in linear memory when the TLB has the page, whatever the alignment; else 0. The access
 * must stay in the page.
 */
function cached(va: u64, isWrite: bool, el: u32): u32 {
  const entry = dataEntryOf(va, el);
  const tag = isWrite ? load<u64>(entry, 8) : load<u64>(entry);
  return tag == (va & PAGE_MASK) ? <u32>va + load<u32>(entry, 16) : 0;
}

/** The same, for the host: the place in linear memory, 0 when a fault was taken, 1 for no RAM. */
export function hostFor(va: u64, size: u32, isWrite: bool, ip: u32): u32 {
  const at = cached(va, isWrite, load<u32>(EL));
  if (at) return at;
  if (!translate(va, isWrite, load<u32>(EL), ip)) return 0;
  return isRam(walkedTo, size) ? hostOf(walkedTo) : 1;
}

function readHost(at: u32, size: u32): u64 {
  if (size == 8) return load<u64>(at);
  if (size == 4) return <u64>load<u32>(at);
  if (size == 2) return <u64>load<u16>(at);
  return <u64>load<u8>(at);
}

function writeHost(at: u32, size: u32, value: u64): void {
  if (size == 8) store<u64>(at, value);
  else if (size == 4) store<u32>(at, <u32>value);
  else if (size == 2) store<u16>(at, <u16>value);
  else store<u8>(at, <u8>value);
}

/** 1 to 8 bytes, of any alignment, as seen from an exception level. */
export function readSlow(va: u64, size: u32, el: u32, ip: u32): u64 {
  const first: u32 = 4096 - ((<u32>va) & 4095);
  if (first < size) return readAcross(va, first, size, el, ip);
  const at = cached(va, false, el);
  if (at) return readHost(at, size);
  if (!translate(va, false, el, ip)) return 0;
  if (isRam(walkedTo, size)) return readHost(hostOf(walkedTo), size);
  return readBus(va, size, ip);
}

function readAcross(va: u64, first: u32, size: u32, el: u32, ip: u32): u64 {
  let value: u64 = 0;
  for (let at: u32 = 0; at < size; at++) {
    if ((at == 0 || at == first) && !translate(va + at, false, el, ip)) return 0;
    const pa = at < first ? walkedTo + at : walkedTo + (at - first);
    if (!isRam(pa, 1)) {
      abort(FSC_EXTERNAL, false, va + at, ip);
      return 0;
    }
    value |= (<u64>load<u8>(hostOf(pa))) << (at << 3);
  }
  return value;
}

function readBus(va: u64, size: u32, ip: u32): u64 {
  const pa = walkedTo;
  if (pa & (size - 1)) {
    abort(FSC_ALIGNMENT, false, va, ip);
    return 0;
  }
  store<u32>(BUS_ERROR, 0);
  store<u64>(PC, load<u64>(PC_OFFSET) + ip);
  let value: u64;
  if (size == 8) {
    value = <u64>busRead(<f64>pa, 4);
    value |= (<u64>busRead(<f64>(pa + 4), 4)) << 32;
  } else value = <u64>busRead(<f64>pa, size);
  if (load<u32>(BUS_ERROR)) abort(FSC_EXTERNAL, false, va, ip);
  else store<u32>(EVENT, EVENT_BUS);
  return value;
}

/** 1 to 8 bytes; false when EVENT is set. */
export function writeSlow(va: u64, size: u32, value: u64, el: u32, ip: u32): bool {
  const first: u32 = 4096 - ((<u32>va) & 4095);
  if (first < size) return writeAcross(va, first, size, value, el, ip);
  const at = cached(va, true, el);
  if (at) {
    writeHost(at, size, value);
    return true;
  }
  if (!translate(va, true, el, ip)) return false;
  if (isRam(walkedTo, size)) {
    writeHost(hostOf(walkedTo), size, value);
    return true;
  }
  return writeBus(va, size, value, ip);
}

function writeAcross(va: u64, first: u32, size: u32, value: u64, el: u32, ip: u32): bool {
  // Both pages are tried before either is written.
  if (!translate(va + first, true, el, ip)) return false;
  const second = walkedTo;
  if (!translate(va, true, el, ip)) return false;
  const start = walkedTo;
  if (!isRam(start, first) || !isRam(second, size - first)) {
    abort(FSC_EXTERNAL, true, va, ip);
    return false;
  }
  for (let at: u32 = 0; at < size; at++) {
    const pa = at < first ? start + at : second + (at - first);
    store<u8>(hostOf(pa), <u8>(value >> (at << 3)));
  }
  return true;
}

function writeBus(va: u64, size: u32, value: u64, ip: u32): bool {
  const pa = walkedTo;
  if (pa & (size - 1)) {
    abort(FSC_ALIGNMENT, true, va, ip);
    return false;
  }
  store<u32>(BUS_ERROR, 0);
  store<u64>(PC, load<u64>(PC_OFFSET) + ip);
  if (size == 8) {
    busWrite(<f64>pa, 4, <u32>value);
    busWrite(<f64>(pa + 4), 4, <u32>(value >> 32));
  } else busWrite(<f64>pa, size, <u32>value);
  if (load<u32>(BUS_ERROR)) abort(FSC_EXTERNAL, true, va, ip);
  else store<u32>(EVENT, EVENT_BUS);
  return false;
}

/** @inline Whether the instruction must not complete. */
export function faulted(): bool {
  return load<u32>(EVENT) == EVENT_FAULT;
}

/** True when the address has that alignment; else the alignment fault is taken. */
export function aligned(va: u64, size: u32, isWrite: bool, ip: u32): bool {
  if (((<u32>va) & (size - 1)) == 0) return true;
  abort(FSC_ALIGNMENT, isWrite, va, ip);
  return false;
}
