/** Taking exceptions to EL1 and returning from them (Arm ARM D1.3, D1.4). */
import {
  DAIF,
  EL,
  EVENT,
  EVENT_FAULT,
  EVENT_STOP,
  MONITOR,
  PC,
  PC_OFFSET,
  REGS,
  SP_BANK,
  SP_SLOT,
  SPSEL,
  SR_ELR,
  SR_ESR,
  SR_FAR,
  SR_SPSR,
  SR_VBAR,
  STOP,
  STOP_UNSUPPORTED,
  STOP_WORD,
  SYSREGS,
} from './layout.ts';
import { getNzcv, setNzcv } from './fields.ts';
import { selectTlbs } from './tlb.ts';
import { sysreg } from './walk.ts';

export const EC_UNKNOWN: u32 = 0x00;
export const EC_FP_ACCESS: u32 = 0x07;
export const EC_ILLEGAL_STATE: u32 = 0x0e;
export const EC_SVC: u32 = 0x15;
export const EC_SYSREG: u32 = 0x18;
export const EC_INSTRUCTION_ABORT: u32 = 0x20;
export const EC_PC_ALIGNMENT: u32 = 0x22;
export const EC_DATA_ABORT: u32 = 0x24;
export const EC_BRK: u32 = 0x3c;

const ALL_MASKED: u32 = 0x3c0;

/** @inline */
export function setSysreg(slot: u32, value: u64): void {
  store<u64>(slot << 3, value, SYSREGS);
}

/** @inline The address of the instruction before `ip`, a place in linear memory. */
export function pcBefore(ip: u32): u64 {
  return load<u64>(PC_OFFSET) + <u64>(ip - 4);
}

/** Which of the two stack pointers SP is: 0 for SP_EL0. */
export function spIndex(): u32 {
  return load<u32>(EL) & load<u32>(SPSEL);
}

/** Changes exception level and SPSel, and with them the stack pointer in use. */
export function enterLevel(el: u32, spSel: u32): void {
  store<u64>(SP_BANK + (spIndex() << 3), load<u64>(SP_SLOT, REGS));
  store<u32>(SPSEL, spSel);
  selectTlbs(el);
  store<u64>(SP_SLOT, load<u64>(SP_BANK + (spIndex() << 3)), REGS);
}

/** PSTATE as SPSR_EL1 holds it. */
export function pstate(): u32 {
  return getNzcv() | load<u32>(DAIF) | (load<u32>(EL) << 2) | load<u32>(SPSEL);
}

/** @param kind offset in the vector: 0 synchronous, 0x80 IRQ; @param back the address to return to */
function take(kind: u32, back: u64): void {
  const el = load<u32>(EL);
  const vector: u64 = el == 0 ? 0x400 : load<u32>(SPSEL) ? 0x200 : 0;
  setSysreg(SR_SPSR, pstate());
  setSysreg(SR_ELR, back);
  store<u32>(DAIF, ALL_MASKED);
  store<u32>(MONITOR, 0);
  enterLevel(1, 1);
  store<u64>(PC, sysreg(SR_VBAR) + vector + kind);
}

/** An interrupt, between instructions. */
export function takeIrq(): void {
  take(0x80, load<u64>(PC));
}

/**
 * A synchronous exception; the loop must be left. The class of aborts is one more when they come
 * from EL1 itself.
 * @param back what ELR_EL1 becomes
 */
export function takeException(ec: u32, iss: u32, back: u64): void {
  const abort = ec == EC_INSTRUCTION_ABORT || ec == EC_DATA_ABORT;
  const esr = ((abort ? ec + load<u32>(EL) : ec) << 26) | (1 << 25) | iss;
  take(0, back);
  setSysreg(SR_ESR, esr);
  store<u32>(EVENT, EVENT_FAULT);
}

/** An abort: FAR_EL1 is the address accessed. */
export function takeAbort(ec: u32, iss: u32, address: u64, back: u64): void {
  takeException(ec, iss, back);
  setSysreg(SR_FAR, address);
}

/** UNDEFINED as the architecture means it, for an instruction before `ip`. */
export function undefined_(ip: u32): void {
  takeException(EC_UNKNOWN, 0, pcBefore(ip));
}

/** Ends `run`: the PC stays at the instruction before `ip`. */
export function stopAt(reason: u32, insn: u32, ip: u32): void {
  store<u64>(PC, pcBefore(ip));
  store<u32>(STOP, reason);
  store<u32>(STOP_WORD, insn);
  store<u32>(EVENT, EVENT_STOP);
}

/**
 * An instruction that is not in the set. Of a program it is UNDEFINED, as the ID registers announce
 * nothing beyond Armv8.0, and all of that is there. What a kernel executes stops the machine. Answers
 * false: the loop must be left.
 */
export function refuse(insn: u32, ip: u32): bool {
  if (load<u32>(EL) == 0) undefined_(ip);
  else stopAt(STOP_UNSUPPORTED, insn, ip);
  return false;
}

/** ERET. False for a return to a state this core does not have: AArch32, EL2, EL3. */
export function exceptionReturn(): bool {
  const spsr = <u32>sysreg(SR_SPSR);
  const mode = spsr & 0x1f;
  if (mode != 0 && mode != 4 && mode != 5) return false;
  store<u64>(PC, sysreg(SR_ELR));
  setNzcv(spsr);
  store<u32>(DAIF, spsr & ALL_MASKED);
  store<u32>(MONITOR, 0);
  enterLevel(mode >>> 2, mode & 1);
  store<u32>(EVENT, EVENT_FAULT);
  return true;
}
