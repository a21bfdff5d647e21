/** Where branches go, and the instructions that make exceptions (Arm ARM C4.1, Branches). */
import {
  EL,
  EVENT,
  EVENT_STOP,
  PC,
  PC_OFFSET,
  REGS,
  RUN_END,
  SLICE_END,
  STOP_HVC,
  STOP_UNSUPPORTED,
} from './layout.ts';
import {
  EC_BRK,
  EC_SVC,
  exceptionReturn,
  pcBefore,
  refuse,
  stopAt,
  takeException,
  undefined_,
} from './exception.ts';
import { getX, rn } from './fields.ts';

const LINK: u32 = 240;

/** @inline Signed 26-bit offset in bytes. */
export function offset26(insn: u32): u32 {
  return <u32>((<i32>(insn << 6)) >> 4);
}

/** @inline Signed 19-bit offset in bytes. */
export function offset19(insn: u32): u32 {
  return <u32>(((<i32>(insn << 8)) >> 13) << 2);
}

/** @inline Signed 14-bit offset in bytes. */
export function offset14(insn: u32): u32 {
  return <u32>(((<i32>(insn << 13)) >> 18) << 2);
}

/** @inline The tested bit of Rt, 0 or 1. */
export function testedBit(insn: u32): u64 {
  const bit: u64 = ((insn >>> 26) & 32) | ((insn >>> 19) & 31);
  return (load<u64>((insn & 31) << 3, REGS) >> bit) & 1;
}

/** @inline */
export function setLink(address: u64): void {
  store<u64>(LINK, address, REGS);
}

/** @inline Whether a place lies in the code page of the instruction before `ip`. */
export function isNear(place: u32, ip: u32): bool {
  return ((place ^ (ip - 4)) & 0xfffff000) == 0;
}

/**
 * @inline The run of instructions goes on at a place with a rest of the slice, in bytes; it ends with
 * the page or the slice.
 */
export function startRun(place: u32, rest: u32): void {
  store<u32>(SLICE_END, place + rest);
  store<u32>(RUN_END, place + min<u32>(rest, 4096 - (place & 4095)));
}

/** @inline A branch within the page; answers the place. */
export function hop(place: u32, ip: u32): u32 {
  startRun(place, load<u32>(SLICE_END) - ip);
  return place;
}

/** @inline The address of a direct branch to another page. */
export function farTarget(place: u32, ip: u32): u64 {
  return pcBefore(ip) + <u64>(<i64>(<i32>(place - (ip - 4))));
}

/** @inline What BR, BLR, RET or ERET is, from opc, op2, op3 and op4; the forms with PAC are not here. */
export function isPlainRegisterBranch(insn: u32): bool {
  return (insn & 0xff9ffc1f) == 0xd61f0000 && (insn & 0x600000) != 0x600000;
}

/** @inline Rn of a register branch. */
export function branchRegister(insn: u32): u64 {
  return getX(rn(insn));
}

/** ERET, and what else is no BR, BLR, RET: leaves the loop. */
export function otherBranch(insn: u32, ip: u32): void {
  if (insn != 0xd69f03e0) refuse(insn, ip);
  else if (load<u32>(EL) == 0) undefined_(ip);
  else if (!exceptionReturn()) stopAt(STOP_UNSUPPORTED, insn, ip);
}

/** SVC, HVC, BRK, and what is UNDEFINED without EL2, EL3 and debug state. Leaves the loop. */
export function exceptionGenerating(insn: u32, ip: u32): void {
  const imm = (insn >>> 5) & 0xffff;
  const kind = insn & 0xffe0001f;
  if (kind == 0xd4000001) takeException(EC_SVC, imm, load<u64>(PC_OFFSET) + ip);
  else if (kind == 0xd4200000) takeException(EC_BRK, imm, pcBefore(ip));
  else if (kind == 0xd4000002 && load<u32>(EL) == 1) {
    // The host answers as the hypervisor would.
    stopAt(STOP_HVC, insn, ip);
    store<u64>(PC, load<u64>(PC_OFFSET) + ip);
    store<u32>(EVENT, EVENT_STOP);
  } else undefined_(ip);
}

/** @inline The 21-bit offset of ADR and ADRP, signed. */
export function adrOffset(insn: u32): u64 {
  return <u64>(<i64>((((<i32>(insn << 8)) >> 13) << 2) | ((insn >>> 29) & 3)));
}
