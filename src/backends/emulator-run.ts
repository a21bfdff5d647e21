import type { Emulator, Outcome, RealTime } from '../emulator/index.ts';
import { BootAborted } from '../scenario/index.ts';
import type { Stop } from './emulator-ending.ts';

/** How long a guest may take. All of it is counted in instructions, so that a run ends the same. */
export interface RunLimits {
  /** Seconds of the guest's own time, sleeps included. */
  readonly guestSeconds: number;
  /** Instructions in all. */
  readonly instructions: number;
  /** Instructions without a line on the console. */
  readonly silence: number;
}

/** Instructions between two looks at the limits. */
const SLICE = 50_000_000;
/** The same for a run that is written down or compared. */
const SHORT_SLICE = 5_000_000;

/** Runs a machine until it stops, or one of the limits is passed. */
export async function runWithin(
  emulator: Emulator,
  limits: RunLimits,
  /** Instructions retired when the last line came. */
  lastLine: () => bigint,
  signal?: AbortSignal,
  realTime?: RealTime,
  /** Called between two instructions, now and then. */
  check?: () => void,
): Promise<Stop> {
  const slice = check === undefined ? SLICE : SHORT_SLICE;
  for (;;) {
    const left = limits.instructions - Number(emulator.core.retired);
    const budget = Math.max(1, Math.min(slice, left));
    const outcome = await emulator.run({
      budget,
      ...(signal === undefined ? {} : { signal }),
      ...(realTime === undefined ? {} : { realTime }),
    });
    if (outcome.kind === 'aborted') throw new BootAborted('the boot was ended');
    if (outcome.kind !== 'budget') return { kind: 'outcome', outcome };
    check?.();
    const passed = passedLimit(outcome, limits, lastLine());
    if (passed !== undefined) return passed;
  }
}

function passedLimit(outcome: Outcome, limits: RunLimits, lastLine: bigint): Stop | undefined {
  const { instructions, nanoseconds } = outcome;
  if (Number(instructions) >= limits.instructions) return { kind: 'outcome', outcome };
  if (Number(instructions - lastLine) >= limits.silence) {
    return { kind: 'silent', outcome, instructions: Number(instructions - lastLine) };
  }
  if (Number(nanoseconds) / 1e9 >= limits.guestSeconds) {
    return { kind: 'time-limit', outcome, seconds: limits.guestSeconds };
  }
  return undefined;
}
