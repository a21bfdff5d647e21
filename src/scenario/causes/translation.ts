import { hex } from '../../bytes/index.ts';
import { listed, type Case, type Cause, type CauseFinder, type Read } from '../cause.ts';
import { viommuLabel } from '../names.ts';
import { fromLog, type Evidence } from '../promise.ts';
import type { NoneReason, Reading } from '../firmware-reading/verdicts.ts';

type Translated = Extract<Reading, { kind: 'translated' }>;
type None = Extract<Reading, { kind: 'none' }>;

/** Ids of the causes, by what the firmware is. */
const IDS = {
  tree: {
    shared: 'iommu-map-shared-id',
    overlap: 'iommu-map-overlap',
    viommu: 'iommu-map-wrong-iommu',
    id: 'iommu-map-wrong-id',
    bypass: 'iommu-map-covers-bypass',
  },
  viot: {
    shared: 'viot-shared-id',
    overlap: 'viot-overlap',
    viommu: 'viot-wrong-iommu',
    id: 'viot-wrong-id',
    bypass: 'viot-covers-bypass',
  },
} as const;

const NONE_IDS: Record<Read['source'], Record<NoneReason, string>> = {
  tree: {
    'no-host': 'tree-host-missing',
    'no-map': 'iommu-map-missing',
    'bad-length': 'iommu-map-length',
    mask: 'iommu-map-mask',
    gap: 'iommu-map-gap',
    dangling: 'iommu-map-phandle',
  },
  viot: {
    'no-host': 'viot-gap',
    'no-map': 'viot-gap',
    'bad-length': 'viot-gap',
    mask: 'viot-gap',
    gap: 'viot-gap',
    dangling: 'viot-output',
  },
};

/** Endpoints of which the guest's firmware says something else than the topology. */
export const translation: CauseFinder = (facts) => {
  const masked = maskedIds(facts);
  const hidden = new Set(masked.flatMap((cause) => cause.endpoints));
  const shared = sharedIds(facts).filter(
    ({ endpoints }) => !endpoints.some((id) => hidden.has(id)),
  );
  const taken = new Set([...hidden, ...shared.flatMap((cause) => cause.endpoints)]);
  const causes: Cause[] = [...masked, ...shared];
  const nones = new Map<string, { read: Read; reading: None; endpoints: Read[] }>();
  for (const read of facts.reads) {
    const { reading, expected } = read;
    if (reading.kind === 'none') {
      if (expected.endpoint.viommu === undefined) continue;
      const key = `${read.source}/${reading.reason}/${reading.by}/${reading.detail}`;
      const group = nones.get(key) ?? { read, reading, endpoints: [] };
      group.endpoints.push(read);
      nones.set(key, group);
    } else if (!taken.has(expected.id)) {
      causes.push(...wrongTranslation(facts, read, reading));
    }
  }
  causes.push(...Array.from(nones.values(), (group) => untranslated(facts, group)));
  const concerns = (cause: Cause): number =>
    cause.endpoints.some((id) => facts.troubled.has(id)) ? 0 : 1;
  return causes.toSorted((a, b) => concerns(a) - concerns(b));
};

/** Requesters that a mask makes into others. */
function maskedIds(facts: Case): Cause[] {
  const wrong = facts.reads.flatMap(({ expected, reading }) => {
    if (reading.kind !== 'translated' || reading.masked === undefined) return [];
    const right =
      reading.viommu === expected.endpoint.viommu &&
      reading.endpointId === expected.endpoint.endpointId;
    return right ? [] : [{ expected, reading, masked: reading.masked }];
  });
  const [first] = wrong;
  if (first === undefined) return [];
  const { mask, rid, lookedUp } = first.masked;
  return [
    {
      id: NONE_IDS.tree.mask,
      message: `iommu-map-mask ${hex(mask)} makes requester ID ${hex(rid)} of ${first.expected.label} into ${hex(lookedUp)}, and ${first.reading.by} gives that endpoint ID ${hex(first.reading.endpointId)}${wrong.length === 1 ? '' : `; ${wrong.length - 1} more likewise`}`,
      endpoints: wrong.map(({ expected }) => expected.id),
      cure: 'leave iommu-map-mask out, or give it all bits of the requester IDs',
      evidence: mapLines(facts),
    },
  ];
}

/** Two requesters that a vIOMMU cannot tell apart. */
function sharedIds(facts: Case): Cause[] {
  const seen = new Map<string, Read & { reading: Translated }>();
  const causes: Cause[] = [];
  for (const read of facts.reads) {
    const { reading, expected, source } = read;
    if (reading.kind !== 'translated') continue;
    const key = `${source}/${reading.viommu ?? reading.target}/${reading.endpointId}`;
    const first = seen.get(key);
    if (first === undefined) {
      seen.set(key, { ...read, reading });
      continue;
    }
    if (sharesByDesign(first, read)) continue;
    const wrong = first.reading.endpointId === first.expected.endpointId ? read : first;
    const by = wrong.reading.kind === 'translated' ? wrong.reading.by : '';
    causes.push({
      id: IDS[source].shared,
      message: `${first.expected.label} and ${expected.label} are given the same endpoint ID ${hex(reading.endpointId)}; ${wrong.expected.label} ought to have ${hex(wrong.expected.endpointId ?? 0)} (${by})`,
      endpoints: [first.expected.id, expected.id],
      cure: 'give each requester an endpoint ID of its own',
      evidence: faultsOf(facts, [reading.endpointId]),
    });
  }
  return causes;
}

function sharesByDesign(a: Read, b: Read): boolean {
  return (
    a.expected.endpointId !== undefined &&
    a.expected.endpointId === b.expected.endpointId &&
    a.expected.viommu === b.expected.viommu
  );
}

function wrongTranslation(facts: Case, read: Read, reading: Translated): Cause[] {
  const { expected, source } = read;
  const { endpoint } = expected;
  const ids = IDS[source];
  const base = { endpoints: [expected.id], evidence: faultsOf(facts, [reading.endpointId]) };
  const loser = reading.overlapped === undefined ? '' : `, which wins over ${reading.overlapped}`;
  if (endpoint.viommu === undefined) {
    return [
      {
        ...base,
        id: ids.bypass,
        message: `${expected.label} bypasses, but ${reading.by} puts it behind ${reading.target} as endpoint ${hex(reading.endpointId)}`,
        cure: `leave ${expected.label} out of it`,
      },
    ];
  }
  const wanted = `${viommuLabel(facts.model, endpoint.viommu)} knows it as ${hex(endpoint.endpointId ?? 0)}`;
  if (reading.viommu !== endpoint.viommu) {
    return [
      {
        ...base,
        id: reading.overlapped === undefined ? ids.viommu : ids.overlap,
        message: `${reading.by} puts ${expected.label} behind ${reading.target}${loser}; it is behind ${viommuLabel(facts.model, endpoint.viommu)}`,
        cure: `point it at ${viommuLabel(facts.model, endpoint.viommu)}`,
      },
    ];
  }
  if (reading.endpointId === endpoint.endpointId) return [];
  return [
    {
      ...base,
      id: reading.overlapped === undefined ? ids.id : ids.overlap,
      message: `${reading.by}${loser === '' ? '' : `${loser},`} gives ${expected.label} endpoint ID ${hex(reading.endpointId)}; ${wanted}`,
      cure: `make it ${hex(endpoint.endpointId ?? 0)}`,
    },
  ];
}

function untranslated(
  facts: Case,
  group: { read: Read; reading: None; endpoints: readonly Read[] },
): Cause {
  const { read, reading } = group;
  const labels = listed(group.endpoints.map(({ expected }) => expected.label));
  return {
    id: NONE_IDS[read.source][reading.reason],
    message: sentence(labels, group.endpoints.length, reading),
    endpoints: group.endpoints.map(({ expected }) => expected.id),
    cure: cureOf(group.endpoints, reading),
    evidence: [
      ...mapLines(facts),
      ...faultsOf(
        facts,
        group.endpoints.flatMap(({ expected }) => expected.endpointId ?? []),
      ),
    ],
  };
}

function sentence(labels: string, count: number, reading: None): string {
  const are = count === 1 ? 'is' : 'are';
  switch (reading.reason) {
    case 'gap':
      return `${labels} ${are} missing from ${reading.by}: ${reading.detail}`;
    case 'no-host':
      return `no host bridge of the tree has ${labels} (${reading.detail})`;
    case 'no-map':
      return `nothing in ${reading.by} puts ${labels} behind an IOMMU: ${reading.detail}`;
    case 'bad-length':
    case 'mask':
      return `Linux throws away ${reading.by}, so ${labels} ${are} not translated: ${reading.detail}`;
    case 'dangling':
      return `${reading.by} leads ${labels} nowhere: ${reading.detail}`;
    default:
      return reading.reason satisfies never;
  }
}

function cureOf(endpoints: readonly Read[], { reason, by }: None): string {
  const ids = listed(
    endpoints.map(({ expected }) => `${expected.label} as ${hex(expected.endpointId ?? 0)}`),
  );
  switch (reason) {
    case 'gap':
    case 'no-map':
      return `describe ${ids}`;
    case 'no-host':
      return 'compare linux,pci-domain and bus-range of the host bridges with the topology';
    case 'bad-length':
      return `make ${by} whole rows of (requester ID, IOMMU, endpoint ID, length)`;
    case 'mask':
      return 'leave iommu-map-mask out, or give it all bits of the row bases';
    case 'dangling':
      return "point it at the vIOMMU's node";
    default:
      return reason satisfies never;
  }
}

function mapLines({ findings }: Case): Evidence[] {
  return findings
    .filter(({ kind }) => kind === 'iommu-map' || kind === 'viot')
    .slice(0, 3)
    .map(({ line }) => fromLog(line));
}

function faultsOf({ findings }: Case, endpoints: readonly number[]): Evidence[] {
  return findings
    .filter(({ fault }) => fault !== undefined && endpoints.includes(fault.endpoint))
    .slice(0, 2)
    .map(({ line }) => fromLog(line));
}
