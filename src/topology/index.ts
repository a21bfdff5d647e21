export * from './diagnostic.ts';
export * from './model.ts';
export * from './description.ts';
export * from './facts.ts';
export {
  loadTopology,
  parseTopology,
  type LoadOptions,
  type Loaded,
  type SourceTexts,
} from './load.ts';
export {
  describe,
  bridgesTo,
  deviceIdBase,
  hostPath,
  type Descriptions,
} from './describe/index.ts';
export { hostRegions } from './passthrough.ts';
export { computeCoverage, isHotplugged, lookUpCoverage } from './resolve/index.ts';
export { checkFacts, rules } from './rules/index.ts';
export { INPUT_RULES } from './input-rules.ts';
export type { InputRule } from './input-rule.ts';
export { readNumber } from './schema/number.ts';
export { jsonSchema } from './schema/topology.ts';
export { TEMPLATES, templateNames } from './source/extend.ts';
export {
  STARTER_DEVICES_MAX,
  STARTER_MACHINES,
  starterTopology,
  type StarterMachine,
  type StarterWishes,
} from './starter.ts';
export { readBounded, type BoundedRead } from './source/read-bounded.ts';
export {
  askerNames,
  explain,
  findAskers,
  type AddressExplanation,
  type Asker,
  type Conclusion,
  type Explanation,
  type Fate,
  type Step,
  type StepMark,
  type StepPart,
} from './explain/index.ts';
