import { hex } from '../../../bytes/index.ts';
import type { Facts, Finding } from '../../facts.ts';
import { disagreements, type Answer, type Disagreement } from './disagreement.ts';
import { showRids } from './text.ts';

/** Findings for disagreements of one kind: one per device, or one for IDs without any. */
export function* disagreementFindings(
  facts: Facts,
  applies: (it: Disagreement) => boolean,
  tell: (it: Disagreement, who: string) => Omit<Finding, 'place'>,
): Iterable<Finding> {
  for (const it of disagreements(facts)) {
    if (!applies(it)) continue;
    const at = it.got?.place ?? (it.host === undefined ? undefined : it.view.hostPlace(it.host));
    const related =
      at === undefined ? [] : [{ place: at, message: `what the ${it.view.name} says` }];
    const what = it.rids === undefined ? 'the platform device' : showRids(it.segment, it.rids);
    if (it.endpoints.length === 0) {
      const place = at ?? it.wanted?.place;
      if (place === undefined) continue;
      yield { severity: 'warning', place, ...tell(it, `${what} (no device yet)`) };
      continue;
    }
    for (const endpoint of it.endpoints) {
      yield { place: endpoint.place, related, ...tell(it, `${endpoint.id} (${what})`) };
    }
  }
}

/** `viommu0, endpoint ID 0x10`. */
export function showAnswer(answer: Answer | undefined): string {
  return answer === undefined ? 'no vIOMMU' : `${answer.iommu}, endpoint ID ${hex(answer.id)}`;
}

/** Whether the vIOMMU lets an endpoint that no domain holds access memory at boot. */
export function bootBypass(facts: Facts, id: string | undefined): boolean {
  return facts.model?.viommus.find((it) => it.id === id)?.bootBypass ?? true;
}
