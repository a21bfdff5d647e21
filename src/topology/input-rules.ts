import type { InputRule } from './input-rule.ts';
import { RESOLVE_RULES } from './resolve/problems.ts';
import { SCHEMA_RULES } from './schema/problems.ts';
import { SOURCE_RULES } from './source/problems.ts';

/** Every mistake that is found before there are facts, in the order in which they are looked for. */
export const INPUT_RULES: readonly InputRule[] = [
  ...SOURCE_RULES,
  ...SCHEMA_RULES,
  ...RESOLVE_RULES,
];
