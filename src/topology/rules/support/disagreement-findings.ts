import { hex } from '../../../bytes/index.ts';
import type { Facts, Finding } from '../../facts.ts';
import type { Endpoint } from '../../model.ts';
import { disagreements, type Disagreement } from './disagreement.ts';
import { groupBy } from './group.ts';
import type { Answer } from './pieces.ts';
import { showRids } from './text.ts';

type Tell = (it: Disagreement, who: string) => Omit<Finding, 'place'>;

/**
 * Findings for disagreements of one kind: one for each device; for a host on which no device is
 * concerned, one warning for all the requester IDs where nothing is plugged in (yet).
 */
export function* disagreementFindings(
  facts: Facts,
  applies: (it: Disagreement) => boolean,
  tell: Tell,
): Iterable<Finding> {
  const all = disagreements(facts).filter(applies);
  for (const list of groupBy(all, (it) => `${it.view.name} ${it.host?.id ?? ''}`).values()) {
    const devices = list.flatMap((it) => it.endpoints.map((endpoint) => narrow(it, endpoint)));
    for (const [it, endpoint] of devices) {
      const at = placeOf(it);
      const related =
        at === undefined ? [] : [{ place: at, message: `what the ${it.view.name} says` }];
      yield { place: endpoint.place, related, ...tell(it, `${endpoint.id} (${spot(it)})`) };
    }
    const first = list[0];
    const place = first && (placeOf(first) ?? first.wanted?.place);
    if (devices.length > 0 || first === undefined || place === undefined) continue;
    const more = list.length === 1 ? '' : `, like ${list.length - 1} other runs`;
    yield { severity: 'warning', place, ...tell(first, `${spot(first)} (no device yet${more})`) };
  }
}

/** Where the description says it, or where it should. */
function placeOf({ got, host, view }: Disagreement): Finding['place'] | undefined {
  return got?.place ?? (host === undefined ? undefined : view.hostPlace(host));
}

function spot({ rids, segment }: Disagreement): string {
  return rids === undefined ? 'a platform device' : showRids(segment, rids);
}

/** The part of a disagreement that is about one device. */
function narrow(it: Disagreement, endpoint: Endpoint): [Disagreement, Endpoint] {
  const { location } = endpoint;
  if (it.rids === undefined || location.kind !== 'pci') return [it, endpoint];
  const { start } = location.rids;
  const shift = start - it.rids.start;
  const { wanted, got } = it;
  const rids = { start, end: Math.min(location.rids.end, it.rids.end) };
  return [
    {
      ...it,
      rids,
      ...(wanted && { wanted: { ...wanted, id: wanted.id + shift } }),
      ...(got && { got: { ...got, id: got.id + shift } }),
    },
    endpoint,
  ];
}

/** `viommu0, endpoint ID 0x10`. */
export function showAnswer(answer: Answer | undefined): string {
  return answer === undefined ? 'no vIOMMU' : `${answer.iommu}, endpoint ID ${hex(answer.id)}`;
}

/** Whether the vIOMMU lets an endpoint that no domain holds access memory at boot. */
export function bootBypass(facts: Facts, id: string | undefined): boolean {
  return facts.model?.viommus.find((it) => it.id === id)?.bootBypass ?? true;
}
