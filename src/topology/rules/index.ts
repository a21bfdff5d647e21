export { checkFacts, FINDINGS_PER_RULE_MAX } from './check.ts';
export { rules } from './list.ts';
