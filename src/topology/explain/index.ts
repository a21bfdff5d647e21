export { explain } from './explain.ts';
export { askerNames, findAskers } from './find.ts';
export type {
  AddressExplanation,
  Asker,
  Conclusion,
  Explanation,
  Fate,
  Step,
  StepMark,
  StepPart,
} from './types.ts';
