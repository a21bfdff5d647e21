import {
  expectedEndpoints,
  expectedRegions,
  guestDevice,
  merged,
  type ExpectedEndpoint,
} from '../expected.ts';
import { showRange, type Range } from '../../bytes/index.ts';
import type { Model } from '../../topology/index.ts';
import type { GuestGroup, Observation } from '../observation.ts';
import { judged, type Item, type Promised } from '../promise.ts';

/** A group of the guest with the topology's endpoints in it. */
interface Seen {
  readonly group: GuestGroup;
  readonly members: readonly ExpectedEndpoint[];
}

function seenGroups(model: Model, observation: Observation): Seen[] {
  const members = new Map<number, ExpectedEndpoint[]>();
  for (const expected of expectedEndpoints(model)) {
    const group = guestDevice(observation, expected.endpoint)?.group;
    if (group === undefined || !expected.translated) continue;
    members.set(group, [...(members.get(group) ?? []), expected]);
  }
  return observation.guest.groups.flatMap((group) => {
    const own = members.get(group.id);
    return own === undefined ? [] : [{ group, members: own }];
  });
}

function subject({ group, members }: Seen): string {
  return `group ${group.id} (${members.map((member) => member.id).join(', ')})`;
}

export const groupComposition: Promised = {
  id: 'group-composition',
  title: 'endpoints share a group exactly where Linux cannot isolate them',
  explanation:
    'Functions of one slot without ACS, and devices below a bridge to conventional PCI, form one group; everything else has a group of its own.',
  judge: (model, observation) => {
    const all = expectedEndpoints(model).filter((expected) => expected.translated);
    return seenGroups(model, observation).map((seen) => {
      const keys = new Set(seen.members.map((member) => member.groupKey));
      const wanted = all.filter((expected) => keys.has(expected.groupKey));
      const present = new Set(seen.members.map((member) => member.id));
      const missing = wanted.filter((expected) => !present.has(expected.id));
      return judged(keys.size === 1 && missing.length === 0, {
        subject: subject(seen),
        ...(seen.members.length === 1 && seen.members[0] !== undefined
          ? { endpoint: seen.members[0].id }
          : {}),
        expected: groupings(wanted),
        seen: groupings(seen.members, true),
      });
    });
  },
};

/** `disk0 + nic0 | disk1`: groups apart, members joined. */
function groupings(endpoints: readonly ExpectedEndpoint[], one = false): string {
  if (one) return endpoints.map(({ id }) => id).join(' + ');
  const groups = new Map<string, string[]>();
  for (const { id, groupKey } of endpoints)
    groups.set(groupKey, [...(groups.get(groupKey) ?? []), id]);
  return Array.from(groups.values(), (ids) => ids.join(' + ')).join(' | ');
}

export const domainType: Promised = {
  id: 'domain-type',
  title: 'the default domain of each group translates',
  explanation:
    'The type of a group is DMA or DMA-FQ (with a flush queue) unless the topology expects another. `identity` would mean that the kernel was told to let the device pass.',
  judge: (model, observation) =>
    seenGroups(model, observation).map((seen) => {
      const types = seen.members[0]?.groupTypes ?? [];
      return judged(types.includes(seen.group.type), {
        subject: subject(seen),
        ...(seen.members[0] === undefined ? {} : { endpoint: seen.members[0].id }),
        expected: types.join(' or '),
        seen: seen.group.type,
      });
    }),
};

export const reservedRegions: Promised = {
  id: 'reserved-regions',
  title: 'the reserved regions of each group are those declared, and no others',
  explanation:
    'The exact set in /sys/kernel/iommu_groups/N/reserved_regions: MSI doorbells delivered as reserved regions, regions of PROBE (among them those of the host an endpoint is passed through from), regions of the device tree; and where no MSI region is given, the software MSI window that Linux adds by itself.',
  judge: (model, observation) =>
    seenGroups(model, observation).map((seen) => judgeRegions(model, seen)),
};

function judgeRegions(model: Model, seen: Seen): Item {
  const wanted = expectedRegions(
    model,
    seen.members.map((member) => member.endpoint),
  );
  const found = merged(seen.group.reserved);
  const has = (list: readonly Region[], region: Region): boolean =>
    list.some((other) => show(other) === show(region));
  const missing = wanted.filter((region) => !has(found, region));
  const extra = found.filter((region) => !has(wanted, region));
  const evidence = [
    ...missing.map((region) => `missing: ${show(region)} (${region.what})`),
    ...extra.map((region) => `not declared: ${show(region)}`),
  ].map((text) => ({ source: 'guest' as const, text }));
  return judged(missing.length === 0 && extra.length === 0, {
    subject: subject(seen),
    ...(seen.members[0] === undefined ? {} : { endpoint: seen.members[0].id }),
    expected: wanted.map(show).join(', ') || 'none',
    seen: found.map(show).join(', ') || 'none',
    evidence,
  });
}

interface Region {
  readonly range: Range;
  readonly type: string;
}

/** `direct-relaxable` is Linux's word for the same promise with an escape for VFIO. */
function show({ range, type }: Region): string {
  return `${showRange(range)} ${type === 'direct-relaxable' ? 'direct' : type}`;
}
