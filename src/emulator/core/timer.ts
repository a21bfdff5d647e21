/**
 * The generic timer: the virtual timer of EL1 (Arm ARM D11). Time is what the instructions say it is.
 */
import {
  SLICE_CLOCK,
  SLICE_END,
  SR_CNTV_CTL,
  SR_CNTV_CVAL,
  TICK_SHIFT,
  TIMER_LINE,
} from './layout.ts';
import { setSysreg } from './exception.ts';
import { timerLine } from './host.ts';
import { sysreg } from './walk.ts';

const CTL_ENABLE: u64 = 1;
const CTL_IMASK: u64 = 2;
const CTL_ISTATUS: u64 = 4;
export const NEVER: u64 = -1;

/** The counter, from a clock in instructions. */
export function ticks(clock: u64): u64 {
  return clock >> TICK_SHIFT;
}

/** When the timer's output rises, as a clock in instructions; NEVER when it is off or masked. */
export function deadline(): u64 {
  const ctl = sysreg(SR_CNTV_CTL);
  const at = sysreg(SR_CNTV_CVAL);
  if ((ctl & (CTL_ENABLE | CTL_IMASK)) != CTL_ENABLE || at >> (64 - TICK_SHIFT)) return NEVER;
  return at << TICK_SHIFT;
}

/** Tells the interrupt controller when the timer's output changed. */
export function updateTimer(clock: u64): void {
  const level = u32(clock >= deadline());
  if (level == load<u32>(TIMER_LINE)) return;
  store<u32>(TIMER_LINE, level);
  timerLine(level);
}

/** CNTV_CTL_EL0 with ISTATUS. */
export function readTimerControl(clock: u64): u64 {
  const ctl = sysreg(SR_CNTV_CTL) & (CTL_ENABLE | CTL_IMASK);
  const met = ticks(clock) >= sysreg(SR_CNTV_CVAL);
  return ctl & CTL_ENABLE && met ? ctl | CTL_ISTATUS : ctl;
}

/** CNTV_TVAL_EL0: what is left, 32 bits. */
export function readTimerValue(clock: u64): u64 {
  return (sysreg(SR_CNTV_CVAL) - ticks(clock)) & 0xffffffff;
}

export function writeTimerValue(clock: u64, value: u64): void {
  setSysreg(SR_CNTV_CVAL, ticks(clock) + <u64>(<i64>(<i32>value)));
}

/** Virtual time after the instruction before `ip`, within a slice. */
export function clockAt(ip: u32): u64 {
  return load<u64>(SLICE_CLOCK) - <u64>((load<u32>(SLICE_END) - ip) >>> 2);
}
