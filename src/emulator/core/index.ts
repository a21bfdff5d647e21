/** The core's exports. State is set and read in linear memory: see layout.ts. */
import {
  BUS_ERROR,
  CLOCK,
  DAIF,
  EL,
  EVENT,
  EVENT_STOP,
  HOLD,
  IRQ_LINE,
  RETIRED,
  STOP,
  STOP_BUDGET,
  STOP_HOLD,
} from './layout.ts';
import { slice } from './execute.ts';
import { initBitMasks } from './logic.ts';
import { deadline, updateTimer } from './timer.ts';
import { takeIrq } from './exception.ts';

import { flushAll, selectTlbs } from './tlb.ts';
import { hostOf, isRam, walk, walkedTo } from './walk.ts';

/** V8 optimises a function when it is entered anew: the loop must come back now and then. */
const SLICE_MAX: u64 = 1000000;
const IRQ_MASKED: u32 = 0x80;

/** Builds the tables; once for each instance. */
export function initialise(): void {
  initBitMasks();
  restored();
}

/** After the state was written from outside: the caches follow. */
export function restored(): void {
  selectTlbs(load<u32>(EL));
  flushAll();
}

/** Runs at most `budget` instructions (a whole number); the reason, STOP_*, why it came back. */
export function run(budget: f64): u32 {
  let rest = <u64>budget;
  store<u32>(STOP, STOP_BUDGET);
  store<u32>(BUS_ERROR, 0);
  while (rest > 0) {
    const clock = load<u64>(CLOCK);
    updateTimer(clock);
    if (load<u32>(IRQ_LINE) && !(load<u32>(DAIF) & IRQ_MASKED)) takeIrq();
    store<u32>(EVENT, 0);
    const due = deadline();
    let limit = min<u64>(rest, SLICE_MAX);
    if (due > clock) limit = min<u64>(limit, due - clock);
    const done: u64 = slice(<u32>limit);
    store<u64>(CLOCK, clock + done);
    store<u64>(RETIRED, load<u64>(RETIRED) + done);
    rest -= min<u64>(done, rest);
    if (load<u32>(EVENT) == EVENT_STOP) return load<u32>(STOP);
    // Only the bus can have set it, and every use of the bus ends a slice.
    if (load<u32>(HOLD)) return STOP_HOLD;
  }
  return STOP_BUDGET;
}

/** WFI's sleep: the clock moves to the timer's next interrupt. False when there is none. */
export function skipToDeadline(): bool {
  const due = deadline();
  if (due == <u64>-1) return false;
  const clock = load<u64>(CLOCK);
  if (due > clock) store<u64>(CLOCK, due);
  updateTimer(load<u64>(CLOCK));
  return true;
}

/** When the timer's output rises, as a clock in instructions; all ones when it is off or masked. */
export function timerDeadline(): u64 {
  return deadline();
}

/** For the host: where the code at an address lies in linear memory; 0 when nowhere. */
export function codeAt(pc: u64): u32 {
  if (pc & 3 || walk(pc, load<u32>(EL))) return 0;
  return isRam(walkedTo, 4) ? hostOf(walkedTo) : 0;
}
