import { recordOf, type EndpointRecord, type Tally } from '../device-record.ts';
import type { Capability } from '../events.ts';
import { expectedEndpoints, guestDevice, type ExpectedEndpoint } from '../expected.ts';
import type { Observation } from '../observation.ts';
import { fromEvent, judged, unseen, type Item, type Promised } from '../promise.ts';
import type { Model } from '../../topology/index.ts';

/** An endpoint that is behind a vIOMMU, and what its vIOMMU saw of it. */
interface Followed {
  readonly expected: ExpectedEndpoint;
  readonly endpointId: number;
  readonly record: EndpointRecord | undefined;
}

function followed(model: Model, { device }: Observation): Followed[] {
  return expectedEndpoints(model).flatMap((expected) => {
    const { translated, viommu, endpointId } = expected;
    if (!translated || viommu === undefined || endpointId === undefined) return [];
    return [{ expected, endpointId, record: recordOf(device, viommu, endpointId) }];
  });
}

function times(tally: Tally | undefined): string {
  const count = tally?.count ?? 0;
  if (count === 0) return 'never';
  return count === 1 ? 'once' : `${count} times`;
}

/** Promises of one kind of request: the vIOMMU saw it for each endpoint. */
function requestSeen(options: {
  readonly id: string;
  readonly title: string;
  readonly explanation: string;
  readonly verb: string;
  readonly column: 'probe' | 'attach' | 'map';
  readonly applies: (one: Followed, observation: Observation) => boolean;
  /** Why a missing request says nothing; undefined: it does. */
  readonly blind: (observation: Observation) => string | undefined;
}): Promised {
  const { id, title, explanation, verb, column } = options;
  return {
    id,
    title,
    explanation,
    judge: (model, observation) =>
      followed(model, observation)
        .filter((one) => options.applies(one, observation))
        .map((one): Item => {
          const parts = {
            subject: one.expected.label,
            endpoint: one.expected.id,
            expected: `${verb} of endpoint ${one.endpointId}`,
          };
          const tally = one.record?.[column];
          const reason = options.blind(observation);
          if (reason !== undefined && (tally?.count ?? 0) === 0) {
            return unseen({ ...parts, seen: reason });
          }
          return judged((tally?.count ?? 0) > 0, {
            ...parts,
            seen: times(tally),
            evidence: fromEvent(tally?.first),
          });
        }),
  };
}

const BLIND = 'this backend does not show it';

function needs(capability: Capability): (observation: Observation) => string | undefined {
  return ({ capabilities }) => (capabilities.has(capability) ? undefined : BLIND);
}

/** Linux takes no notice of a device's IOMMU before a driver is there for it (before 6.15). */
function hasDriver({ expected }: Followed, observation: Observation): boolean {
  return expected.maps || guestDevice(observation, expected.endpoint)?.driver !== undefined;
}

export const probeSeen: Promised = requestSeen({
  id: 'probe-seen',
  title: 'the guest probes each endpoint behind a vIOMMU',
  explanation:
    'A PROBE request with the endpoint ID of the topology reached the vIOMMU. (QEMU traces a PROBE only by the reserved regions it answers with; an endpoint without any is not observable there.)',
  verb: 'PROBE',
  column: 'probe',
  applies: hasDriver,
  blind: ({ capabilities }) => {
    if (capabilities.has('probe')) return undefined;
    return capabilities.has('probe-regions')
      ? 'shown only when PROBE has regions to answer with'
      : BLIND;
  },
});

export const attachSeen: Promised = requestSeen({
  id: 'attach-seen',
  title: 'the guest attaches each endpoint behind a vIOMMU to a domain',
  explanation:
    'An ATTACH request with the endpoint ID of the topology reached the vIOMMU and was accepted.',
  verb: 'ATTACH',
  blind: needs('attach'),
  column: 'attach',
  applies: hasDriver,
});

export const mapSeen: Promised = requestSeen({
  id: 'map-seen',
  title: 'the guest maps buffers for each endpoint it uses',
  explanation:
    'At least one MAP in the domain the endpoint was attached to at that time. Endpoints without VIRTIO_F_ACCESS_PLATFORM, without a driver that does DMA, or in an identity domain map nothing and are left out.',
  verb: 'MAP in the domain',
  blind: needs('map'),
  column: 'map',
  applies: ({ expected }) => expected.maps,
});

export const mappedBeforeAccess: Promised = {
  id: 'mapped-before-access',
  title: 'no endpoint is accessed through the vIOMMU before ATTACH and MAP',
  explanation:
    "The first translated access of each endpoint comes after its first ATTACH and its domain's first MAP, in the order the vIOMMU saw them. A passed-through endpoint goes through its host's IOMMU instead, and is left out.",
  judge: (model, observation) =>
    followed(model, observation)
      .filter(({ expected }) => expected.maps && expected.endpoint.passthrough === undefined)
      .map(({ expected, record }) => judgeOrder(observation, expected, record)),
};

function judgeOrder(
  { capabilities }: Observation,
  expected: ExpectedEndpoint,
  record: EndpointRecord | undefined,
): Item {
  const parts = {
    subject: expected.label,
    endpoint: expected.id,
    expected: 'ATTACH, then MAP, then the first access',
  };
  if (!capabilities.has('access')) {
    return unseen({ ...parts, seen: 'this backend does not show accesses' });
  }
  const access = record?.translated.first;
  if (record === undefined || access === undefined) {
    return judged(false, { ...parts, seen: 'no access through the vIOMMU' });
  }
  const steps = [
    ['ATTACH', record.attach.first],
    ['MAP', record.map.first],
    ['access', access],
  ] as const;
  const order = steps
    .filter(([, event]) => event !== undefined)
    .toSorted(([, a], [, b]) => (a?.order ?? 0) - (b?.order ?? 0))
    .map(([name]) => name);
  const ok = order.join() === 'ATTACH,MAP,access';
  return judged(ok, {
    ...parts,
    seen: `${order.join(', then ')} (${times(record.translated)})`,
    evidence: steps.flatMap(([, event]) => fromEvent(event)),
  });
}

export const bypassNotTranslated: Promised = {
  id: 'bypass-not-translated',
  title: 'no bypassing endpoint goes through a vIOMMU',
  explanation:
    'The vIOMMUs saw no ATTACH and no translated access of an endpoint that the topology leaves outside. Its requester ID stands for its endpoint ID here.',
  judge: (model, observation) =>
    expectedEndpoints(model).flatMap((expected): Item[] => {
      const { location } = expected.endpoint;
      if (expected.translated || expected.viommu !== undefined || location.kind !== 'pci')
        return [];
      const parts = {
        subject: expected.label,
        endpoint: expected.id,
        expected: 'no request and no access',
      };
      if (!observation.capabilities.has('attach')) {
        return [unseen({ ...parts, seen: 'this backend shows no requests' })];
      }
      const id = ((location.segment << 16) | location.rids.start) >>> 0;
      const taken = model.endpoints.some(({ endpointId }) => endpointId === id);
      const record = taken
        ? undefined
        : observation.device.endpoints.find(({ endpoint }) => endpoint === id);
      const events = (record?.attach.count ?? 0) + (record?.translated.count ?? 0);
      return [
        judged(events === 0, {
          ...parts,
          seen:
            events === 0
              ? 'none'
              : `ATTACH ${times(record?.attach)}, access ${times(record?.translated)}`,
          evidence: fromEvent(record?.attach.first),
        }),
      ];
    }),
};
