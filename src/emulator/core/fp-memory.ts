/** Loads and stores of vector registers (Arm ARM C4.1, Loads and stores with V set). */
import { EVENT, PC_OFFSET, VSCRATCH } from './layout.ts';
import { faulted, readMemory, writeMemory } from './access.ts';
import { refuse } from './exception.ts';
import { getX, orSp, rm, rn, setXsp } from './fields.ts';
import { lane, setLane, vd, vreg } from './lanes.ts';
import {
  indexedAddress,
  isRegisterOffset,
  registerAddress,
  unsignedAddress,
  writeBack,
} from './loads.ts';
import { pairAddress, pairWriteBack } from './pairs.ts';

/** False when the loop must be left. */
export function fpMemory(insn: u32, ip: u32): bool {
  switch ((insn >>> 27) & 7) {
    case 1:
      return structures(insn, ip);
    case 3:
      return literal(insn, ip);
    case 5:
      return pair(insn, ip);
    case 7:
      return single(insn, ip);
    default:
      return refuse(insn, ip);
  }
}

/** Loads 1 << scale bytes into a buffer; false after a fault. */
function fetchTo(at: u32, va: u64, scale: u32, ip: u32): bool {
  let low: u64;
  if (scale >= 3) low = readMemory<u64>(va, ip);
  else if (scale == 2) low = <u64>readMemory<u32>(va, ip);
  else if (scale == 1) low = <u64>readMemory<u16>(va, ip);
  else low = <u64>readMemory<u8>(va, ip);
  if (faulted()) return false;
  const high: u64 = scale == 4 ? readMemory<u64>(va + 8, ip) : 0;
  if (faulted()) return false;
  store<u64>(at, low);
  store<u64>(at, high, 8);
  return true;
}

/** Stores 1 << scale bytes of a register; false after a fault. */
function storeTo(at: u32, va: u64, scale: u32, ip: u32): bool {
  if (scale >= 3) writeMemory<u64>(va, load<u64>(at), ip);
  else if (scale == 2) writeMemory<u32>(va, load<u32>(at), ip);
  else if (scale == 1) writeMemory<u16>(va, load<u16>(at), ip);
  else writeMemory<u8>(va, load<u8>(at), ip);
  if (faulted()) return false;
  if (scale == 4) writeMemory<u64>(va + 8, load<u64>(at, 8), ip);
  return !faulted();
}

function single(insn: u32, ip: u32): bool {
  const scale = (insn >>> 30) | ((insn >>> 21) & 4);
  if (scale > 4) return refuse(insn, ip);
  let va: u64;
  const indexed = (insn & 0x1200000) == 0;
  if (insn & 0x1000000) va = unsignedAddress(insn, scale);
  else if (indexed) {
    if ((insn & 0xc00) == 0x800) return refuse(insn, ip);
    va = indexedAddress(insn);
  } else {
    if (!isRegisterOffset(insn)) return refuse(insn, ip);
    va = registerAddress(insn, scale);
  }
  const done =
    insn & 0x400000 ? fetchTo(vd(insn), va, scale, ip) : storeTo(vd(insn), va, scale, ip);
  if (!done) return false;
  if (indexed) writeBack(insn);
  return load<u32>(EVENT) == 0;
}

function pair(insn: u32, ip: u32): bool {
  const scale = (insn >>> 30) + 2;
  if (scale > 4) return refuse(insn, ip);
  const va = pairAddress(insn, scale);
  const first = vd(insn);
  const second = vreg(insn >>> 10);
  if (insn & 0x400000) {
    if (!fetchTo(VSCRATCH, va, scale, ip)) return false;
    if (!fetchTo(second, va + (1 << scale), scale, ip)) return false;
    store<u64>(first, load<u64>(VSCRATCH));
    store<u64>(first, load<u64>(VSCRATCH, 8), 8);
  } else if (!storeTo(first, va, scale, ip) || !storeTo(second, va + (1 << scale), scale, ip)) {
    return false;
  }
  pairWriteBack(insn, scale);
  return load<u32>(EVENT) == 0;
}

function literal(insn: u32, ip: u32): bool {
  const scale = (insn >>> 30) + 2;
  if (scale > 4 || (insn & 0x1000000) != 0) return refuse(insn, ip);
  const offset = <u64>(<i64>(((<i32>(insn << 8)) >> 13) << 2));
  const va = load<u64>(PC_OFFSET) + <u64>(ip - 4) + offset;
  return fetchTo(vd(insn), va, scale, ip) && load<u32>(EVENT) == 0;
}

/** One element between memory and a lane; false after a fault. */
function element(insn: u32, at: u32, size: u32, index: u32, va: u64, ip: u32): bool {
  if ((insn & 0x400000) == 0) {
    const place = VSCRATCH;
    store<u64>(place, lane(at, size, index));
    return storeTo(place, va, size, ip);
  }
  if (!fetchTo(VSCRATCH, va, size, ip)) return false;
  setLane(at, size, index, load<u64>(VSCRATCH));
  return true;
}

/** LD1 to LD4, ST1 to ST4, LD1R to LD4R. */
function structures(insn: u32, ip: u32): bool {
  if (insn & 0x80000000) return refuse(insn, ip);
  const post = (insn & 0x800000) != 0;
  if (!post && (insn & 0x1f0000) != 0 && (insn & 0x1000000) == 0) return refuse(insn, ip);
  const va = getX(orSp(rn(insn)));
  const bytes = insn & 0x1000000 ? lanesOf(insn, va, ip) : registers(insn, va, ip);
  if (bytes == 0) return false;
  if (post) {
    const step = (insn & 0x1f0000) == 0x1f0000 ? <u64>bytes : getX(rm(insn));
    setXsp(orSp(rn(insn)), va + step);
  }
  return load<u32>(EVENT) == 0;
}

/** Multiple structures; the bytes accessed, 0 when the loop must be left. */
function registers(insn: u32, start: u64, ip: u32): u32 {
  let repeat: u32 = 1;
  let elements: u32 = 1;
  switch ((insn >>> 12) & 15) {
    case 0:
      elements = 4;
      break;
    case 2:
      repeat = 4;
      break;
    case 4:
      elements = 3;
      break;
    case 6:
      repeat = 3;
      break;
    case 7:
      break;
    case 8:
      elements = 2;
      break;
    case 10:
      repeat = 2;
      break;
    default:
      refuse(insn, ip);
      return 0;
  }
  // Without interleaving, elements of 8 bytes are as good as any.
  const size: u32 = elements == 1 ? 3 : (insn >>> 10) & 3;
  const wide = (insn & 0x40000000) != 0;
  if (elements > 1 && size == 3 && !wide) {
    refuse(insn, ip);
    return 0;
  }
  const count: u32 = (wide ? 16 : 8) >>> size;
  let va = start;
  for (let r: u32 = 0; r < repeat; r++)
    for (let e: u32 = 0; e < count; e++)
      for (let s: u32 = 0; s < elements; s++) {
        const at = vreg((insn & 31) + r + s);
        if (!element(insn, at, size, e, va, ip)) return 0;
        va += 1 << size;
      }
  if (insn & 0x400000 && !wide)
    for (let n: u32 = 0; n < repeat * elements; n++) store<u64>(vreg((insn & 31) + n), 0, 8);
  return <u32>(va - start);
}

/** Single structures: one lane of each register, or one element to all lanes. */
function lanesOf(insn: u32, start: u64, ip: u32): u32 {
  const opcode = (insn >>> 13) & 7;
  const elements = (((opcode & 1) << 1) | ((insn >>> 21) & 1)) + 1;
  const wide = (insn >>> 30) & 1;
  let size = opcode >>> 1;
  const low = (insn >>> 10) & 3;
  // Q:S:size, of which the bits that do not count lanes are cut off.
  let index = (wide << 3) | ((insn >>> 10) & 7);
  const replicate = size == 3;
  const flagS = (insn & 0x1000) != 0;
  const unallocated =
    size == 3
      ? (insn & 0x400000) == 0 || flagS
      : size == 1
        ? (low & 1) != 0
        : size == 2 && ((low & 2) != 0 || (low == 1 && flagS));
  if (unallocated) {
    refuse(insn, ip);
    return 0;
  }
  if (replicate) size = low;
  else if (size == 2 && low & 1) size = 3;
  index >>>= size;
  let va = start;
  for (let s: u32 = 0; s < elements; s++) {
    const at = vreg((insn & 31) + s);
    if (!element(insn, at, size, replicate ? 0 : index, va, ip)) return 0;
    if (replicate) {
      const value = lane(at, size, 0);
      const count: u32 = 16 >>> size;
      for (let n: u32 = 0; n < count; n++) setLane(at, size, n, value);
      if (!wide) store<u64>(at, 0, 8);
    }
    va += 1 << size;
  }
  return <u32>(va - start);
}
