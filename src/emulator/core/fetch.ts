/** From a PC to the place of the instruction in linear memory. */
import { EL, PC_OFFSET } from './layout.ts';
import { EC_INSTRUCTION_ABORT, EC_PC_ALIGNMENT, takeAbort } from './exception.ts';
import { codeEntry, enterCode, PAGE_MASK } from './tlb.ts';
import {
  FSC_EXTERNAL,
  FSC_PERMISSION,
  hostOf,
  isRam,
  MAY_EXECUTE,
  untagged,
  walk,
  walkedLevel,
  walkedMay,
  walkedTo,
} from './walk.ts';

/** The place, with PC_OFFSET set for its page; 0 when an exception was taken instead. */
export function fetchPlace(pc: u64): u32 {
  const entry = codeEntry(pc);
  let place: u32;
  // The tag has no bits below the page, so a PC that is not aligned must be kept out.
  if (load<u64>(entry) == (pc & (PAGE_MASK | 3))) place = <u32>pc + load<u32>(entry, 8);
  else place = fetchSlow(pc);
  store<u64>(PC_OFFSET, pc - place);
  return place;
}

function fetchSlow(pc: u64): u32 {
  if (pc & 3) {
    takeAbort(EC_PC_ALIGNMENT, 0, pc, pc);
    return 0;
  }
  const fault = walk(pc, load<u32>(EL));
  if (fault) return abort(fault & 0x3f, pc);
  if (!(walkedMay & MAY_EXECUTE)) return abort(FSC_PERMISSION + walkedLevel, pc);
  // Code in a device's registers: what is no RAM answers no fetches.
  if (!isRam(walkedTo & PAGE_MASK, 4096)) return abort(FSC_EXTERNAL, pc);
  const place = hostOf(walkedTo);
  if (untagged(pc) == pc) enterCode(pc);
  return place;
}

function abort(status: u32, pc: u64): u32 {
  takeAbort(EC_INSTRUCTION_ABORT, status, pc, pc);
  return 0;
}
