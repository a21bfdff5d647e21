/** MSR, MRS, hints, barriers, cache and TLB maintenance (Arm ARM C5). */
import {
  DAIF,
  EL,
  EVENT,
  EVENT_BUS,
  FPCR,
  FPSR,
  IRQ_LINE,
  MONITOR,
  PC,
  PC_OFFSET,
  SP_BANK,
  SP_SLOT,
  REGS,
  SR_CNTV_CTL,
  SR_CNTV_CVAL,
  SR_CNTV_TVAL,
  SR_CNTVCT,
  SR_CURRENTEL,
  SR_DAIF,
  SR_FPCR,
  SR_FPSR,
  SR_HOST,
  SR_NZCV,
  SR_PAR,
  SR_PLAIN,
  SR_SCTLR,
  SPSEL,
  SR_SP_EL0,
  SR_SPSEL,
  SR_TCR,
  SR_TTBR0,
  SR_TTBR1,
  STOP_SYSREG,
  STOP_UNSUPPORTED,
  STOP_WFI,
  SYSREG_EL0,
  SYSREG_EL0_READ,
  SYSREG_MAP,
  SYSREG_READ_ONLY,
  SYSREG_SLOT_MASK,
} from './layout.ts';
import { enterLevel, refuse, setSysreg, spIndex, stopAt, undefined_ } from './exception.ts';
import { getNzcv, getX, rd, setNzcv, setX } from './fields.ts';
import { hostFor } from './access.ts';
import { sysregRead, sysregWrite } from './host.ts';
import { flushAll, flushLocal, flushPage } from './tlb.ts';
import { clockAt, readTimerControl, readTimerValue, ticks, writeTimerValue } from './timer.ts';
import {
  FSC_PERMISSION,
  MAY_READ,
  MAY_WRITE,
  sysreg,
  walk,
  walkedLevel,
  walkedMay,
  walkedTo,
} from './walk.ts';

/** SCTLR_EL1 bits that would change what this core does: WXN, E0E, EE, A. */
const SCTLR_UNSUPPORTED: u64 = (1 << 19) | (1 << 24) | (1 << 25) | (1 << 1);
const ZVA_BYTES: u32 = 64;
/** PAR_EL1 after a translation: normal memory, written back, inner shareable; bit 11 is RES1. */
const PAR_NORMAL: u64 = 0xff00000000000b80;
const PAR_FAILED: u64 = 0x801;

/**
 * System instructions: insn[31:22] is 1101010100.
 * @returns false when the loop must be left
 */
export function system(insn: u32, ip: u32): bool {
  const op0 = (insn >>> 19) & 3;
  if (op0 >= 2) return insn & 0x200000 ? mrs(insn, ip) : msr(insn, ip);
  if (insn & 0x200000) return refuse(insn, ip);
  if (op0 == 1) return maintenance(insn, ip);
  switch ((insn >>> 12) & 15) {
    case 2:
      return hint(insn, ip);
    case 3:
      // CLREX; DSB, DMB, ISB, SB order nothing here.
      if (((insn >>> 5) & 7) == 2) store<u32>(MONITOR, 0);
      return true;
    case 4:
      return msrImmediate(insn, ip);
    default:
      return refuse(insn, ip);
  }
}

/** Leaves the loop after this instruction, so that interrupts and the timer are looked at. */
function lookAround(ip: u32): bool {
  store<u64>(PC, load<u64>(PC_OFFSET) + ip);
  store<u32>(EVENT, EVENT_BUS);
  return false;
}

/** @inline A hint that does nothing: all but WFI. */
export function isIdleHint(insn: u32): bool {
  return (insn & 0xfffff01f) == 0xd503201f && insn != 0xd503207f;
}

/** NOP, YIELD, WFE, SEV, PACIASP, BTI and the rest of the hint space do nothing; WFI waits. */
function hint(insn: u32, ip: u32): bool {
  if (((insn >>> 5) & 0x7f) != 3 || load<u32>(IRQ_LINE)) return true;
  stopAt(STOP_WFI, insn, ip);
  store<u64>(PC, load<u64>(PC_OFFSET) + ip);
  return false;
}

/** SPSel, DAIFSet, DAIFClr; PAN, UAO, DIT, SSBS are not in this CPU. */
function msrImmediate(insn: u32, ip: u32): bool {
  const key = ((insn >>> 13) & 0x38) | ((insn >>> 5) & 7);
  const imm = (insn >>> 8) & 15;
  if (load<u32>(EL) == 0) {
    // EL0 may not, as SCTLR_EL1.UMA is clear.
    undefined_(ip);
    return false;
  }
  if (key == 0o36) store<u32>(DAIF, load<u32>(DAIF) | (imm << 6));
  else if (key == 0o37) {
    store<u32>(DAIF, load<u32>(DAIF) & ~(imm << 6));
    return load<u32>(IRQ_LINE) ? lookAround(ip) : true;
  } else if (key == 0o05) enterLevel(load<u32>(EL), imm & 1);
  else return refuse(insn, ip);
  return true;
}

/** @inline op0[0]:op1:CRn:CRm:op2 */
function keyOf(insn: u32): u32 {
  return (insn >>> 5) & 0x7fff;
}

function mrs(insn: u32, ip: u32): bool {
  const entry: u32 = load<u16>(SYSREG_MAP + (keyOf(insn) << 1));
  if (load<u32>(EL) == 0 && !(entry & (SYSREG_EL0 | SYSREG_EL0_READ))) {
    undefined_(ip);
    return false;
  }
  const slot = entry & SYSREG_SLOT_MASK;
  if (slot == 0) {
    stopAt(STOP_SYSREG, insn, ip);
    return false;
  }
  if (slot == SR_HOST) {
    setX(rd(insn), <u64>sysregRead(keyOf(insn)));
    return lookAround(ip);
  }
  setX(rd(insn), slot >= <u32>SR_PLAIN ? sysreg(slot) : readSpecial(slot, clockAt(ip)));
  return true;
}

function readSpecial(slot: u32, clock: u64): u64 {
  switch (slot) {
    case SR_NZCV:
      return <u64>getNzcv();
    case SR_DAIF:
      return <u64>load<u32>(DAIF);
    case SR_CURRENTEL:
      return <u64>(load<u32>(EL) << 2);
    case SR_SPSEL:
      return <u64>load<u32>(SPSEL);
    case SR_SP_EL0:
      return spIndex() == 0 ? load<u64>(SP_SLOT, REGS) : load<u64>(SP_BANK);
    case SR_CNTVCT:
      return ticks(clock);
    case SR_CNTV_CTL:
      return readTimerControl(clock);
    case SR_CNTV_TVAL:
      return readTimerValue(clock);
    case SR_FPCR:
      return <u64>load<u32>(FPCR);
    case SR_FPSR:
      return <u64>load<u32>(FPSR);
    default:
      return sysreg(slot);
  }
}

function msr(insn: u32, ip: u32): bool {
  const entry: u32 = load<u16>(SYSREG_MAP + (keyOf(insn) << 1));
  if ((load<u32>(EL) == 0 && !(entry & SYSREG_EL0)) || entry & SYSREG_READ_ONLY) {
    undefined_(ip);
    return false;
  }
  const slot = entry & SYSREG_SLOT_MASK;
  const value = getX(rd(insn));
  if (slot >= <u32>SR_PLAIN) {
    setSysreg(slot, value);
    return true;
  }
  if (slot == 0 || !isSupported(slot, value)) {
    stopAt(STOP_SYSREG, insn, ip);
    return false;
  }
  return writeSpecial(insn, slot, value, ip);
}

/** FPCR: rounding to nearest, no flush to zero, the NaNs that come out; else 0. */
const FPCR_UNSUPPORTED: u64 = 0x7c80000;

/**
 * False for a value that would change what this core does. TCR_EL1.TG0 must be 00 and TG1 10: 4 KiB,
 * as ID_AA64MMFR0 says. Zero TG1 is that of reset.
 */
function isSupported(slot: u32, value: u64): bool {
  if (slot == SR_SCTLR) return (value & SCTLR_UNSUPPORTED) == 0;
  if (slot == SR_FPCR) return (value & FPCR_UNSUPPORTED) == 0;
  if (slot != SR_TCR) return true;
  const tg1 = (value >> 30) & 3;
  return ((value >> 14) & 3) == 0 && (tg1 == 2 || tg1 == 0);
}

function writeSpecial(insn: u32, slot: u32, value: u64, ip: u32): bool {
  switch (slot) {
    case SR_SCTLR:
    case SR_TCR:
    case SR_TTBR0:
    case SR_TTBR1:
      if (sysreg(slot) == value) return true;
      setSysreg(slot, value);
      if (slot == SR_TTBR0 || slot == SR_TTBR1) flushLocal();
      else flushAll();
      // The code page may be another one now.
      return lookAround(ip);
    case SR_NZCV:
      setNzcv(<u32>value);
      return true;
    case SR_DAIF:
      store<u32>(DAIF, (<u32>value) & 0x3c0);
      return lookAround(ip);
    case SR_SPSEL:
      enterLevel(load<u32>(EL), (<u32>value) & 1);
      return true;
    case SR_SP_EL0:
      if (spIndex() == 0) store<u64>(SP_SLOT, value, REGS);
      else store<u64>(SP_BANK, value);
      return true;
    case SR_CNTV_TVAL:
      writeTimerValue(clockAt(ip), value);
      return lookAround(ip);
    case SR_CNTV_CTL:
    case SR_CNTV_CVAL:
      setSysreg(slot, value);
      return lookAround(ip);
    case SR_HOST:
      sysregWrite(keyOf(insn), <u32>value);
      return lookAround(ip);
    case SR_FPCR:
      store<u32>(FPCR, <u32>value);
      return true;
    case SR_FPSR:
      store<u32>(FPSR, <u32>value);
      return true;
    default:
      return true;
  }
}

/** SYS: TLBI, DC, IC, AT. */
function maintenance(insn: u32, ip: u32): bool {
  const crn = (insn >>> 12) & 15;
  const crm = (insn >>> 8) & 15;
  const op2 = (insn >>> 5) & 7;
  const fromUser = ((insn >>> 16) & 7) == 3;
  if (load<u32>(EL) == 0 && !fromUser) {
    undefined_(ip);
    return false;
  }
  if (crn == 7) {
    if (crm == 4 && fromUser && op2 == 1) return zero(insn, ip);
    if (crm == 8 && ((insn >>> 16) & 7) == 0 && op2 < 4) {
      addressTranslate(getX(rd(insn)), op2);
      return true;
    }
    // IC IALLUIS, IALLU, IVAU; DC IVAC, ISW, CVAC, CSW, CVAU, CIVAC, CISW: memory is coherent.
    if (crm == 1 || crm == 5 || crm == 6 || crm == 10 || crm == 11 || crm == 14) return true;
    return refuse(insn, ip);
  }
  if (crn != 8 || (crm != 3 && crm != 7) || ((insn >>> 16) & 7) != 0) return refuse(insn, ip);
  // VAE1, VAAE1, VALE1, VAALE1; VMALLE1 and ASIDE1 are rare.
  if (op2 & 1) flushPage(getX(rd(insn)));
  else flushAll();
  return lookAround(ip);
}

/** AT S1E1R, S1E1W, S1E0R, S1E0W: PAR_EL1 says where an access would go, or why it would not. */
function addressTranslate(address: u64, op2: u32): void {
  const fault = walk(address, op2 & 2 ? 0 : 1);
  let status: u32 = fault & 63;
  if (!fault) {
    if (walkedMay & (op2 & 1 ? MAY_WRITE : MAY_READ)) {
      setSysreg(SR_PAR, PAR_NORMAL | (walkedTo & 0x0000fffffffff000));
      return;
    }
    status = FSC_PERMISSION + walkedLevel;
  }
  setSysreg(SR_PAR, PAR_FAILED | (status << 1));
}

/** DC ZVA */
function zero(insn: u32, ip: u32): bool {
  const start = getX(rd(insn)) & ~(<u64>(ZVA_BYTES - 1));
  const at = hostFor(start, ZVA_BYTES, true, ip);
  if (at == 0) return false;
  if (at == 1) {
    // Of a device's registers; no driver does it.
    stopAt(STOP_UNSUPPORTED, insn, ip);
    return false;
  }
  memory.fill(at, 0, ZVA_BYTES);
  return true;
}
