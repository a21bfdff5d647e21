import type { Model } from '../topology/index.ts';
import { expectedEndpoints, type ExpectedEndpoint } from './expected.ts';
import { logFindings, type LogFinding } from './log-findings.ts';
import type { Observation } from './observation.ts';
import type { Evidence, PromiseResult } from './promise.ts';
import { readTree } from './firmware-reading/tree.ts';
import type { Reading } from './firmware-reading/verdicts.ts';
import { readViot } from './firmware-reading/viot.ts';

/** Why promises failed: the thing to change, named. */
export interface Cause {
  /** Lower-case words joined by `-`: `iommu-map-gap`. Listed in docs/reference/promises.md. */
  readonly id: string;
  /** One sentence that names endpoint, node and values. */
  readonly message: string;
  /** Endpoints it concerns; none: the whole machine. */
  readonly endpoints: readonly string[];
  readonly cure?: string;
  readonly evidence: readonly Evidence[];
}

/** An endpoint, and what the guest's firmware says of it. */
export interface Read {
  readonly expected: ExpectedEndpoint;
  readonly source: 'tree' | 'viot';
  readonly reading: Reading;
}

/** All that is known when the search for a cause starts. */
export interface Case {
  readonly model: Model;
  readonly observation: Observation;
  readonly failures: readonly PromiseResult[];
  /** Endpoints with a failed item; all of them when the guest did not come to its end. */
  readonly troubled: ReadonlySet<string>;
  readonly reads: readonly Read[];
  readonly findings: readonly LogFinding[];
}

export type CauseFinder = (facts: Case) => readonly Cause[];

export function openCase(
  model: Model,
  observation: Observation,
  failures: readonly PromiseResult[],
): Case {
  const all = expectedEndpoints(model);
  const troubled = new Set(
    observation.guest.completed
      ? failures.flatMap(({ items }) =>
          items.flatMap((item) =>
            item.outcome === 'fail' && item.endpoint !== undefined ? [item.endpoint] : [],
          ),
        )
      : all.map(({ id }) => id),
  );
  const { tree, viot } = observation.described;
  const reads = all.flatMap((expected): Read[] => [
    ...(tree === undefined
      ? []
      : [{ expected, source: 'tree' as const, reading: readTree(model, tree, expected.endpoint) }]),
    ...(viot === undefined
      ? []
      : [{ expected, source: 'viot' as const, reading: readViot(model, viot, expected.endpoint) }]),
  ]);
  return {
    model,
    observation,
    failures,
    troubled,
    reads,
    findings: logFindings(observation.guest.log),
  };
}

export function hasFailed({ failures }: Case, ...ids: readonly string[]): boolean {
  return failures.some(({ id }) => ids.includes(id));
}

/** `a`, `a and b`, `a, b and 3 more`. */
export function listed(names: readonly string[], most = 4): string {
  if (names.length <= 1) return names[0] ?? '';
  if (names.length <= most) return `${names.slice(0, -1).join(', ')} and ${names.at(-1) ?? ''}`;
  return `${names.slice(0, most - 1).join(', ')} and ${names.length - most + 1} more`;
}
