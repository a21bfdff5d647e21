import { hex } from '../../bytes/index.ts';
import type { Model } from '../../topology/index.ts';
import { expectedEndpoints, type ExpectedEndpoint } from '../expected.ts';
import { logFindings } from '../log-findings.ts';
import { isAt } from '../names.ts';
import type { FaultAim, FaultCheckObservation, Observation } from '../observation.ts';
import {
  failed,
  fromEvent,
  fromLog,
  judged,
  type Evidence,
  type Item,
  type Promised,
} from '../promise.ts';

/** Kinds of device that can be told where to send their DMA. */
const AIMABLE = new Set(['edu', 'dma-engine']);

function aimable(model: Model): ExpectedEndpoint[] {
  return expectedEndpoints(model).filter(
    ({ endpoint, translated, groupTypes }) =>
      translated &&
      endpoint.guestDriver === undefined &&
      !groupTypes.includes('identity') &&
      AIMABLE.has(endpoint.device?.kind ?? ''),
  );
}

export const faultReported: Promised = {
  id: 'fault-reported',
  title: 'DMA that no mapping allows faults, with the right endpoint and address',
  explanation:
    "The edu device is told to access where nothing is mapped; our DMA engine also a mapping that may only be read, a reserved region, and an address that only another endpoint's domain has. The vIOMMU's fault report must reach the guest's log with the endpoint ID of the topology and the address that was aimed at. Not judged for passed-through endpoints: what their host refuses no vIOMMU sees.",
  judge: (model, observation) =>
    aimable(model).flatMap((expected) => {
      if (expected.endpoint.passthrough !== undefined) return [];
      const checks = checksOf(observation, expected);
      const { endpointId = -1 } = expected;
      const subject = { subject: expected.label, endpoint: expected.id };
      if (checks.length === 0) {
        return [failed({ ...subject, expected: 'a fault', seen: 'no DMA was tried' })];
      }
      return checks.map((check) =>
        judgeReport(observation, endpointId, check, {
          ...subject,
          expected: `${AIMS[check.aim]}: fault of endpoint ${endpointId} at ${hex(check.address)} in the guest's log`,
        }),
      );
    }),
};

const AIMS: Readonly<Record<FaultAim, string>> = {
  unmapped: 'nothing is mapped',
  'read-only': 'write to a read-only mapping',
  reserved: 'reserved region',
  foreign: "mapped for another endpoint's domain",
};

function checksOf(
  { guest }: Observation,
  { endpoint }: ExpectedEndpoint,
): readonly FaultCheckObservation[] {
  return guest.faultChecks.filter(({ device }) => isAt(device, endpoint.location));
}

function judgeReport(
  observation: Observation,
  endpointId: number,
  check: FaultCheckObservation,
  parts: { subject: string; endpoint: string; expected: string },
): Item {
  if (!check.ran) return failed({ ...parts, seen: check.error ?? 'the DMA never ran' });
  const faults = logFindings(observation.guest.log).filter(({ fault }) => fault !== undefined);
  const right = faults.filter(
    ({ fault }) => fault?.endpoint === endpointId && fault.address === check.address,
  );
  const device = observation.device.faults.find(
    (fault) => fault.endpoint === endpointId && fault.address === check.address,
  );
  const evidence: Evidence[] = [
    ...(right.length > 0 ? right : faults).slice(0, 3).map(({ line }) => fromLog(line)),
    ...fromEvent(device),
  ];
  if (right.length > 0) return judged(true, { ...parts, seen: 'reported', evidence });
  const other = faults.length > 0 ? 'other faults only' : 'no fault in the log';
  const seen = device === undefined ? other : `${other}, though the vIOMMU saw it`;
  return judged(false, { ...parts, seen, evidence });
}

export const faultChangesNothing: Promised = {
  id: 'fault-changes-nothing',
  title: 'refused DMA changes no memory',
  explanation:
    'The memory a refused access was aimed at, and the buffer it would have filled, are as before.',
  judge: (model, observation) =>
    aimable(model).flatMap((expected) =>
      checksOf(observation, expected).flatMap((check): Item[] => {
        if (check.memoryUnchanged === undefined) return [];
        return [
          judged(check.memoryUnchanged, {
            subject: expected.label,
            endpoint: expected.id,
            expected: `${AIMS[check.aim]}: memory at ${hex(check.address)} unchanged`,
            seen: check.memoryUnchanged ? 'unchanged' : 'changed',
          }),
        ];
      }),
    ),
};
