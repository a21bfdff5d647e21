import type {
  IortDescription,
  McfgDescription,
  TreeDescription,
  ViotDescription,
} from './description.ts';
import type { Diagnostic, KernelVersion, Place, Related, Severity } from './diagnostic.ts';
import type { Model } from './model.ts';

/**
 * Everything a rule may look at.
 *
 * From a topology all of `model`, `tree`, `viot` … are there (each as far as the board uses it);
 * from foreign firmware only what was given. A rule that needs what is absent says nothing.
 */
export interface Facts {
  /** The machine itself: devices, features, doorbells. Only a topology knows it. */
  readonly model?: Model;
  readonly tree?: TreeDescription;
  readonly viot?: ViotDescription;
  readonly iort?: IortDescription;
  readonly mcfg?: McfgDescription;
  /** The kernel whose behaviour decides between error and warning. */
  readonly kernel: KernelVersion;
  /** Page size of the guest, in bytes. */
  readonly guestPage: bigint;
}

/** One finding, before the rule's id and default cure are added. */
export interface Finding {
  readonly severity?: Severity;
  readonly place: Place;
  readonly message: string;
  /** What a guest would do; the rule's own when absent. */
  readonly effect?: string;
  readonly cure?: string;
  readonly related?: readonly Related[];
}

/** One check. Its file is named as its id, and so is its bad topology under `topologies/invalid/`. */
export interface Rule {
  readonly id: string;
  /** Number in the catalogue of mistakes (docs/reference/errors.md), where it has one. */
  readonly catalogue?: readonly number[];
  /** One line: what must hold. */
  readonly summary: string;
  readonly severity: Severity;
  readonly effect: string;
  readonly cure: string;
  readonly check: (facts: Facts) => Iterable<Finding>;
}

/** Runs one rule; the order of findings is the rule's own. */
export function runRule(rule: Rule, facts: Facts): Diagnostic[] {
  return Array.from(rule.check(facts), (finding) => ({
    rule: rule.id,
    severity: finding.severity ?? rule.severity,
    place: finding.place,
    message: finding.message,
    effect: finding.effect ?? rule.effect,
    cure: finding.cure ?? rule.cure,
    related: finding.related ?? [],
  }));
}
