import type { Diagnostic, Place, Related, Severity } from './diagnostic.ts';

/**
 * A mistake that is found while a topology is read and resolved, before there are facts to run
 * the rules of `rules/` on. Documented and tested as those are.
 */
export interface InputRule {
  /** Lower-case words joined by `-`; `topologies/invalid/<id>.yaml` has the mistake. */
  readonly id: string;
  /** One line: what must hold. */
  readonly summary: string;
  readonly severity: Severity;
  readonly effect: string;
  readonly cure: string;
}

/** What one finding says beyond its rule. */
export interface Details {
  readonly related?: readonly Related[];
  readonly effect?: string;
  readonly cure?: string;
}

/** A diagnostic of `rule` at `place`. */
export function finding(
  rule: InputRule,
  place: Place,
  message: string,
  details: Details = {},
): Diagnostic {
  return {
    rule: rule.id,
    severity: rule.severity,
    place,
    message,
    effect: details.effect ?? rule.effect,
    cure: details.cure ?? rule.cure,
    related: details.related ?? [],
  };
}
