import { hex } from '../bytes/index.ts';
import type { Diagnostic } from '../topology/index.ts';
import type { Verdict } from '../scenario/index.ts';

/** Grows by one whenever a field changes its meaning or goes away; new fields do not count. */
export const VERDICT_SCHEMA = 1;
export const DIAGNOSTICS_SCHEMA = 1;

/** A verdict for programs: `schema` first, 64-bit values as `0x…` strings. */
export function verdictJson(verdict: Verdict): string {
  const { topology, outcome, summary, causes, promises, ending, environment } = verdict;
  return toJson({
    schema: VERDICT_SCHEMA,
    kind: 'viommu-topo/verdict',
    topology,
    outcome,
    summary,
    causes,
    promises,
    ending,
    environment,
  });
}

/** Diagnostics for programs. */
export function diagnosticsJson(diagnostics: readonly Diagnostic[]): string {
  const count = (severity: Diagnostic['severity']): number =>
    diagnostics.filter((diagnostic) => diagnostic.severity === severity).length;
  return toJson({
    schema: DIAGNOSTICS_SCHEMA,
    kind: 'viommu-topo/diagnostics',
    errors: count('error'),
    warnings: count('warning'),
    diagnostics,
  });
}

function toJson(value: unknown): string {
  const text = JSON.stringify(
    value,
    (_key, part: unknown) => (typeof part === 'bigint' ? hex(part) : part),
    2,
  );
  return `${text}\n`;
}
