import {
  describeOutcome,
  describeWhereabouts,
  type Outcome,
  type SystemMap,
} from '../emulator/index.ts';
import type { GuestReport } from '../guest/index.ts';
import type { Ending, LogLine } from '../scenario/index.ts';

/** Why a run stopped: the machine's own end, or ours. */
export type Stop =
  | { readonly kind: 'outcome'; readonly outcome: Outcome }
  /** No line for that many instructions. */
  | { readonly kind: 'silent'; readonly outcome: Outcome; readonly instructions: number }
  /** Seconds of the guest's time. */
  | { readonly kind: 'time-limit'; readonly outcome: Outcome; readonly seconds: number };

/** How a run ended, from what its guest had said and where its CPU was. */
export function emulatorEnding(
  report: GuestReport,
  log: readonly LogLine[],
  stop: Stop,
  symbols?: SystemMap,
): Ending {
  const { tail } = report;
  if (report.complete) {
    return { kind: 'completed', detail: `report complete, ${report.lines} lines`, tail };
  }
  const panic = log.find(({ meaning }) => meaning?.code === 'panic');
  if (panic !== undefined) return { kind: 'panic', detail: panic.text, tail };
  const said = report.lines === 0 ? 'before its init script' : `after ${report.lines} report lines`;
  // A limit of ours may end a run anywhere: what stopped the CPU then says nothing.
  const where =
    stop.kind === 'outcome'
      ? describeOutcome(stop.outcome, symbols)
      : describeWhereabouts(stop.outcome, symbols);
  switch (stop.kind) {
    case 'silent': {
      const long = `not a word for ${Math.round(stop.instructions / 1e6)} M instructions`;
      return { kind: 'silent', detail: `${long}, ${said}: ${where}`, tail };
    }
    case 'time-limit':
      return {
        kind: 'time-limit',
        detail: `${stop.seconds} s of guest time, ${said}: ${where}`,
        tail,
      };
    case 'outcome':
      return { kind: kindOf(stop.outcome), detail: `${where}, ${said}`, tail };
    default:
      return stop satisfies never;
  }
}

function kindOf({ kind }: Outcome): Ending['kind'] {
  switch (kind) {
    case 'asleep':
      return 'silent';
    case 'budget':
      return 'time-limit';
    case 'off':
    case 'reset':
    case 'aborted':
    case 'unsupported':
      return 'machine-exited';
    default:
      return kind satisfies never;
  }
}
