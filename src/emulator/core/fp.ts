/** Floating point and Advanced SIMD: the way in. */
import { STOP_UNSUPPORTED } from './layout.ts';
import { stopAt } from './exception.ts';

export function fpLoadStore(insn: u32, ip: u32): bool {
  stopAt(STOP_UNSUPPORTED, insn, ip);
  return false;
}

export function fpData(insn: u32, ip: u32): bool {
  stopAt(STOP_UNSUPPORTED, insn, ip);
  return false;
}
