/** Floating point and Advanced SIMD: whether they may be used, and where instructions go. */
import { EL, FEATURE_FP, FEATURES, SR_CPACR } from './layout.ts';
import { EC_FP_ACCESS, pcBefore, refuse, takeException } from './exception.ts';
import { fpMemory } from './fp-memory.ts';
import { fpScalar, fpThreeSource } from './fp-scalar.ts';
import { simdCopy, simdImmediate, simdPermute, simdTable, simdExtract } from './simd-copy.ts';
import { simdIndexed } from './simd-indexed.ts';
import { simdShift } from './simd-shift.ts';
import { threeDifferent, threeSame } from './simd-three.ts';
import { acrossLanes, pairwiseScalar } from './simd-across.ts';
import { twoMisc } from './simd-two.ts';
import { sysreg } from './walk.ts';

/** ISS of a trapped access: CV set, COND always. */
const FP_TRAP_ISS: u32 = 0x1e00000;

/** False when the instruction must not run: no FP, or CPACR_EL1.FPEN traps it. */
function allowed(insn: u32, ip: u32): bool {
  const el = load<u32>(EL);
  if (!(load<u32>(FEATURES) & FEATURE_FP)) {
    // At EL1 it is a kernel that did not look at ID_AA64PFR0_EL1.
    return refuse(insn, ip);
  }
  const enable = (<u32>(sysreg(SR_CPACR) >> 20)) & 3;
  if (enable == 3 || (enable == 1 && el == 1)) return true;
  takeException(EC_FP_ACCESS, FP_TRAP_ISS, pcBefore(ip));
  return false;
}

/** Loads and stores of vector registers. False when the loop must be left. */
export function fpLoadStore(insn: u32, ip: u32): bool {
  return allowed(insn, ip) && fpMemory(insn, ip);
}

/** Everything else. False when the loop must be left. */
export function fpData(insn: u32, ip: u32): bool {
  if (!allowed(insn, ip)) return false;
  return dispatch(insn) || refuse(insn, ip);
}

/** False for what is not in the set. */
function dispatch(insn: u32): bool {
  const top = insn >>> 24;
  if ((top & 0x7f) == 0x1e) return fpScalar(insn);
  if (top == 0x1f) return fpThreeSource(insn);
  const scalar = (top & 0xde) == 0x5e;
  if (!scalar && (top & 0x9e) != 0x0e) return false;
  if (top & 1) {
    if ((insn & 0x400) == 0) return simdIndexed(insn, scalar);
    if (insn & 0x800000) return false;
    if (insn & 0x780000) return simdShift(insn, scalar);
    return !scalar && simdImmediate(insn);
  }
  if (insn & 0x200000) {
    if (insn & 0x400) return threeSame(insn, scalar);
    if ((insn & 0x800) == 0) return threeDifferent(insn, scalar);
    const kind = (insn >>> 17) & 15;
    if (kind == 0) return twoMisc(insn, scalar);
    if (kind == 8) return scalar ? pairwiseScalar(insn) : acrossLanes(insn);
    return false;
  }
  if (insn & 0x8000) return false;
  if (insn & 0x400) return (insn & 0xc00000) == 0 && simdCopy(insn, scalar);
  if (scalar) return false;
  // EXT has an immediate in bits 14 to 11.
  if (insn & 0x20000000) return (insn & 0xc00000) == 0 && simdExtract(insn);
  if (insn & 0x800) return simdPermute(insn);
  return (insn & 0xc00000) == 0 && simdTable(insn);
}
