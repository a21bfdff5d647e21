import type { Model } from '../../topology/index.ts';
import { openCase, type Cause, type CauseFinder } from '../cause.ts';
import type { Observation } from '../observation.ts';
import type { PromiseResult } from '../promise.ts';
import { delivery } from './delivery.ts';
import { device } from './device.ts';
import { doorbell, probeRegions } from './doorbell.ts';
import { guest, unexplained } from './guest.ts';
import { iommuHole, iommuNode } from './iommu-node.ts';
import { rules } from './rules.ts';
import { translation } from './translation.ts';
import { viotTable } from './viot-table.ts';

/**
 * In order of rank: what lies nearest to the root comes first. A table whose IOMMU is the wrong
 * device makes every endpoint's reading wrong too, so the table is asked before the endpoints.
 */
const FINDERS: readonly CauseFinder[] = [
  delivery,
  device,
  iommuNode,
  viotTable,
  translation,
  iommuHole,
  doorbell,
  rules,
  probeRegions,
  guest,
];

/** Causes printed; a broken table of thousands of rows has thousands. */
const CAUSES_MAX = 20;

/** Why the failed promises failed, the likeliest first. Empty only when none failed. */
export function findCauses(
  model: Model,
  observation: Observation,
  failures: readonly PromiseResult[],
): readonly Cause[] {
  if (failures.length === 0) return [];
  const facts = openCase(model, observation, failures);
  const causes = FINDERS.flatMap((finder) => finder(facts)).slice(0, CAUSES_MAX);
  return causes.length > 0 ? causes : unexplained(facts);
}
