import { hex } from '../bytes/index.ts';
import type { SystemMap } from './system-map.ts';

/** Where the CPU is when a run ends, and what it said last. */
export interface Whereabouts {
  readonly pc: bigint;
  readonly el: number;
  /** Instructions retired since reset. */
  readonly instructions: bigint;
  /** Virtual time since reset, in nanoseconds. */
  readonly nanoseconds: bigint;
  readonly lastLines: readonly string[];
}

/** How a run ended. */
export type Outcome = Whereabouts &
  (
    | { readonly kind: 'off' | 'reset' }
    /** Waits for an interrupt that nothing will ever raise. */
    | { readonly kind: 'asleep' }
    /** The budget of instructions is used up. */
    | { readonly kind: 'budget' }
    | { readonly kind: 'aborted' }
    /** An instruction or system register that the core does not have. */
    | {
        readonly kind: 'unsupported';
        readonly word: number;
        /** `instruction`, or the name of the system register. */
        readonly what: string;
        /** The code around it, disassembled. */
        readonly listing: readonly string[];
      }
  );

const WORDS: Record<Outcome['kind'], string> = {
  off: 'powered off',
  reset: 'reset',
  asleep: 'hung: asleep (WFI) with no interrupt that could wake it',
  budget: 'hung: the budget of instructions is used up',
  aborted: 'aborted',
  unsupported: 'stopped at what the core does not have',
};

/** One line for people: what happened, where (by name, if the kernel's are known), after how much. */
export function describeOutcome(outcome: Outcome, symbols?: SystemMap): string {
  const where = describeWhereabouts(outcome, symbols);
  if (outcome.kind !== 'unsupported') return `${WORDS[outcome.kind]} ${where}`;
  return `${WORDS.unsupported}: ${outcome.what}, word ${hex(outcome.word)}, ${where}`;
}

/** Where the CPU is, by name if the kernel's are known, and after how much. */
export function describeWhereabouts(
  { pc, el, instructions }: Whereabouts,
  symbols?: SystemMap,
): string {
  const name = el === 0 ? undefined : symbols?.at(pc);
  const place = name === undefined ? `EL${el}` : `${name}, EL${el}`;
  return `at ${hex(pc)} (${place}) after ${instructions} instructions`;
}
