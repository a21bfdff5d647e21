/** Moves between lanes and registers, immediates, permutations, table lookup. */
import { getX, rd, rn, setX } from './fields.ts';
import {
  begin,
  finish,
  lane,
  laneS,
  result,
  setLane,
  setScalar,
  vd,
  vm,
  vn,
  vreg,
} from './lanes.ts';

/** DUP, INS, UMOV, SMOV; scalar: DUP (element). */
export function simdCopy(insn: u32, scalar: bool): bool {
  const imm5 = (insn >>> 16) & 31;
  const size: u32 = ctz<u32>(imm5 | 32);
  if (size > 3) return false;
  const index = imm5 >>> (size + 1);
  const imm4 = (insn >>> 11) & 15;
  const wide = (insn & 0x40000000) != 0;
  if (scalar) return imm4 == 0 && setScalar(vd(insn), size, lane(vn(insn), size, index));
  if (insn & 0x20000000) {
    if (!wide) return false;
    setLane(vd(insn), size, index, lane(vn(insn), size, imm4 >>> size));
    return true;
  }
  switch (imm4) {
    case 0:
    case 1: {
      const value = imm4 == 0 ? lane(vn(insn), size, index) : getX(rn(insn));
      if (size == 3 && !wide) return false;
      begin();
      const count: u32 = (wide ? 16 : 8) >>> size;
      for (let n: u32 = 0; n < count; n++) result(size, n, value);
      return finish(vd(insn));
    }
    case 3:
      if (!wide) return false;
      setLane(vd(insn), size, index, getX(rn(insn)));
      return true;
    case 5: {
      if (size > (wide ? 2 : 1)) return false;
      const value = laneS(vn(insn), size, index);
      setX(rd(insn), wide ? <u64>value : (<u64>value) & 0xffffffff);
      return true;
    }
    case 7:
      if (wide != (size == 3)) return false;
      setX(rd(insn), lane(vn(insn), size, index));
      return true;
    default:
      return false;
  }
}

/** AdvSIMDExpandImm; the 16-bit floating-point form is not here. */
function expandImmediate(op: u32, cmode: u32, imm8: u64): u64 {
  const kind = cmode >>> 1;
  if (kind < 4) return (imm8 << (8 * kind)) * 0x0000000100000001;
  if (kind < 6) return (imm8 << (8 * (kind & 1))) * 0x0001000100010001;
  if (kind == 6) {
    const shifted = cmode & 1 ? (imm8 << 16) | 0xffff : (imm8 << 8) | 0xff;
    return shifted * 0x0000000100000001;
  }
  if ((cmode & 1) == 0) {
    if (op == 0) return imm8 * 0x0101010101010101;
    let value: u64 = 0;
    for (let n: u64 = 0; n < 8; n++) if ((imm8 >> n) & 1) value |= (<u64>0xff) << (8 * n);
    return value;
  }
  return op == 0 ? expandSingle(<u32>imm8) * 0x0000000100000001 : expandDouble(<u32>imm8);
}

/** VFPExpandImm, 32 bits. */
export function expandSingle(imm8: u32): u64 {
  const exponent: u32 = ((~imm8 & 0x40) << 1) | (imm8 & 0x40 ? 0x7c : 0) | ((imm8 >>> 4) & 3);
  return <u64>(((imm8 & 0x80) << 24) | (exponent << 23) | ((imm8 & 15) << 19));
}

/** VFPExpandImm, 64 bits. */
export function expandDouble(imm8: u32): u64 {
  const exponent: u64 = ((~imm8 & 0x40) << 4) | (imm8 & 0x40 ? 0x3fc : 0) | ((imm8 >>> 4) & 3);
  return ((<u64>(imm8 & 0x80)) << 56) | (exponent << 52) | ((<u64>(imm8 & 15)) << 48);
}

/** MOVI, MVNI, ORR, BIC, FMOV with an immediate. */
export function simdImmediate(insn: u32): bool {
  const cmode = (insn >>> 12) & 15;
  const op = (insn >>> 29) & 1;
  const imm8: u64 = ((insn >>> 11) & 0xe0) | ((insn >>> 5) & 31);
  const wide = (insn & 0x40000000) != 0;
  if (insn & 0x800 || (cmode == 15 && op == 1 && !wide)) return false;
  let value = expandImmediate(op, cmode, imm8);
  const to = vd(insn);
  // Below 1100, an odd cmode combines with the register.
  if (cmode < 12 && cmode & 1) {
    value = op ? load<u64>(to) & ~value : load<u64>(to) | value;
    const high = expandImmediate(op, cmode, imm8);
    if (wide) store<u64>(to, op ? load<u64>(to, 8) & ~high : load<u64>(to, 8) | high, 8);
    else store<u64>(to, 0, 8);
    store<u64>(to, value);
    return true;
  }
  if (op && cmode < 14) value = ~value;
  store<u64>(to, value);
  store<u64>(to, wide ? value : 0, 8);
  return true;
}

/** UZP1, TRN1, ZIP1, UZP2, TRN2, ZIP2. */
export function simdPermute(insn: u32): bool {
  const size = (insn >>> 22) & 3;
  const wide = (insn & 0x40000000) != 0;
  if (size == 3 && !wide) return false;
  const count: u32 = (wide ? 16 : 8) >>> size;
  const opcode = (insn >>> 12) & 7;
  const part = opcode >>> 2;
  const a = vn(insn);
  const b = vm(insn);
  const half = count >>> 1;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    let from: u32;
    let other: bool;
    switch (opcode & 3) {
      case 1:
        from = 2 * (n < half ? n : n - half) + part;
        other = n >= half;
        break;
      case 2:
        from = (n & ~1) + part;
        other = (n & 1) != 0;
        break;
      case 3:
        from = (n >>> 1) + part * half;
        other = (n & 1) != 0;
        break;
      default:
        return false;
    }
    result(size, n, lane(other ? b : a, size, from));
  }
  return finish(vd(insn));
}

/** EXT */
export function simdExtract(insn: u32): bool {
  const wide = (insn & 0x40000000) != 0;
  const start = (insn >>> 11) & 15;
  const count: u32 = wide ? 16 : 8;
  if (start >= count) return false;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    const at = start + n;
    result(0, n, at < count ? lane(vn(insn), 0, at) : lane(vm(insn), 0, at - count));
  }
  return finish(vd(insn));
}

/** TBL and TBX, one to four registers. */
export function simdTable(insn: u32): bool {
  const wide = (insn & 0x40000000) != 0;
  const bytes = (((insn >>> 13) & 3) + 1) << 4;
  const keeps = (insn & 0x1000) != 0;
  const count: u32 = wide ? 16 : 8;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    const index = <u32>lane(vm(insn), 0, n);
    let value: u64 = keeps ? lane(vd(insn), 0, n) : 0;
    if (index < bytes) value = lane(vreg((insn >>> 5) + (index >>> 4)), 0, index & 15);
    result(0, n, value);
  }
  return finish(vd(insn));
}
