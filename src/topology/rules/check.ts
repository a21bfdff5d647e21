import type { Diagnostic } from '../diagnostic.ts';
import { runRule, type Facts, type Finding, type Rule } from '../facts.ts';
import { rules } from './list.ts';

/** A generated map can have one mistake in each of 262,144 rows: nobody reads them all. */
export const FINDINGS_PER_RULE_MAX = 100;

/** Runs every rule, in the order of the catalogue. */
export function checkFacts(facts: Facts): Diagnostic[] {
  return rules.flatMap((rule) => runRule({ ...rule, check: (it) => firstOf(rule, it) }, facts));
}

/** The findings of a rule, each once, up to the limit; then one that says there are more. */
function* firstOf(rule: Rule, facts: Facts): Generator<Finding> {
  let left = FINDINGS_PER_RULE_MAX;
  for (const finding of rule.check(facts)) {
    if (left-- === 0) {
      yield {
        severity: finding.severity ?? rule.severity,
        place: finding.place,
        message: `more than ${FINDINGS_PER_RULE_MAX} findings of this rule: the rest is not listed (the next: ${finding.message})`,
      };
      return;
    }
    yield finding;
  }
}
