import type { Facts, Rule } from '../facts.ts';
import { formFindings } from './support/form.ts';

/** Said by `iort-overlap`, with what Linux does about it. */
const ELSEWHERE = /^iort\/(mapping-overlap|id-count)$/;

export const iortDamaged: Rule = {
  id: 'iort-damaged',
  summary: 'The nodes and ID mappings of an IORT are right.',
  severity: 'error',
  effect:
    'Linux stops at the node, or ignores the mapping: its devices have no DeviceID, and no MSI.',
  cure: 'Correct the length, count or offset that the message names.',
  check: ({ iort }: Facts) => formFindings(iort?.formProblems ?? [], ELSEWHERE),
};
