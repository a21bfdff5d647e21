import { covers, hex } from '../../bytes/index.ts';
import type { Model } from '../../topology/index.ts';
import { expectedEndpoints, guestDevice } from '../expected.ts';
import type { DeviceEvent } from '../events.ts';
import { logFindings, type FindingKind, type LogFinding } from '../log-findings.ts';
import type { Observation } from '../observation.ts';
import { provokedByUserspace, rangeOf } from '../userspace.ts';
import { few, fromEvent, fromLog, judged, unseen, type Item, type Promised } from '../promise.ts';

/** Endpoint IDs whose faults are provoked, with the addresses aimed at. */
function provoked(model: Model, observation: Observation): Map<number, Set<bigint>> {
  const aimed = new Map<number, Set<bigint>>();
  for (const expected of expectedEndpoints(model)) {
    const name = guestDevice(observation, expected.endpoint)?.name;
    for (const check of observation.guest.faultChecks) {
      if (check.device !== name || expected.endpointId === undefined) continue;
      const addresses = aimed.get(expected.endpointId) ?? new Set<bigint>();
      aimed.set(expected.endpointId, addresses.add(check.address));
    }
    for (const seen of observation.guest.userspace ?? []) {
      if (seen.device !== name || expected.endpointId === undefined) continue;
      const addresses = aimed.get(expected.endpointId) ?? new Set<bigint>();
      for (const { start } of provokedByUserspace(seen)) addresses.add(start);
      aimed.set(expected.endpointId, addresses);
    }
  }
  return aimed;
}

/** How far from the address it was aimed at a burst may fault. */
const BURST = 0x1000n;

export function isProvoked(
  aimed: ReadonlyMap<number, ReadonlySet<bigint>>,
  endpoint: number,
  address: bigint | undefined,
): boolean {
  const addresses = aimed.get(endpoint);
  if (addresses === undefined) return false;
  if (address === undefined) return true;
  return [...addresses].some((start) => start <= address && address < start + BURST);
}

export const noUnexpectedFault: Promised = {
  id: 'no-unexpected-fault',
  title: 'no endpoint faults unless it was made to',
  explanation:
    'Neither the vIOMMU nor the kernel log knows a fault other than those the fault checks provoke.',
  judge: (model, observation) => {
    const aimed = provoked(model, observation);
    const inDevice = observation.device.faults.filter(
      (fault) => !isProvoked(aimed, fault.endpoint, fault.address),
    );
    const inLog = logFindings(observation.guest.log).filter(
      ({ fault }) => fault !== undefined && !isProvoked(aimed, fault.endpoint, fault.address),
    );
    const endpoints = new Set([
      ...inDevice.map((fault) => fault.endpoint),
      ...inLog.flatMap(({ fault }) => (fault === undefined ? [] : [fault.endpoint])),
    ]);
    const visible = observation.capabilities.has('fault') || observation.guest.started;
    const expected = 'no fault';
    if (!visible)
      return [unseen({ subject: 'all endpoints', expected, seen: 'nothing was shown' })];
    if (endpoints.size === 0)
      return [judged(true, { subject: 'all endpoints', expected, seen: 'none' })];
    return Array.from(endpoints, (endpoint) => {
      const faults = inDevice.filter((fault) => fault.endpoint === endpoint);
      const lines = inLog.filter(({ fault }) => fault?.endpoint === endpoint);
      const owner = expectedEndpoints(model).find((one) => one.endpointId === endpoint);
      const at = faults[0]?.address ?? lines[0]?.fault?.address;
      return judged(false, {
        subject: owner?.label ?? `endpoint ${endpoint}`,
        ...(owner === undefined ? {} : { endpoint: owner.id }),
        expected,
        seen: `${faults.length || lines.length} fault(s)${at === undefined ? '' : `, first at ${hex(at)}`}`,
        evidence: [
          ...few(lines, ({ line }) => fromLog(line), 3),
          ...faults.slice(0, 2).flatMap((fault) => fromEvent(fault)),
        ],
      });
    });
  },
};

export const noFailedRequest: Promised = {
  id: 'no-failed-request',
  title: 'the vIOMMU refuses no request',
  explanation:
    'Linux never hears of a failed MAP or UNMAP (both are sent without waiting from 6.8 on), so only the device side can tell.',
  judge: (_model, { capabilities, device, guest: { overlaps, userspace = [] } }) => {
    const parts = { subject: 'all vIOMMUs', expected: 'every request answered OK' };
    if (!capabilities.has('status')) {
      return [unseen({ ...parts, seen: 'this backend does not show the status of requests' })];
    }
    // What was sent in order to be refused is not counted.
    const many = userspace.flatMap(({ steps }) =>
      steps.filter(({ name }) => name === 'many').map(rangeOf),
    );
    const meant = (event: DeviceEvent): boolean =>
      event.kind === 'map' &&
      (many.some((range) => covers(range, event.virt)) ||
        overlaps.some(
          ({ virt }) => virt.start === event.virt.start && virt.end === event.virt.end,
        ));
    const failures = device.failures.filter((event) => !meant(event));
    const count = device.failureCount - (device.failures.length - failures.length);
    return [
      judged(count === 0, {
        ...parts,
        seen: count === 0 ? 'all OK' : `${count} refused`,
        evidence: few(failures, (event) => ({
          source: 'device',
          text: event.text ?? `${event.kind}: status ${event.status ?? '?'}`,
        })),
      }),
    ];
  },
};

const TROUBLE: readonly (readonly [FindingKind, string])[] = [
  ['panic', 'a panic'],
  ['oops', 'an oops'],
  ['warning', 'a warning with a stack trace'],
  ['hung', 'something that hangs'],
  ['deferred', 'a device deferred'],
  ['iommu-map', 'a map that Linux cannot use'],
  ['viot', 'a VIOT that Linux cannot use'],
  ['iommu-driver', 'trouble with the IOMMU'],
  ['probe-failed', 'a driver that gave up'],
  ['io-error', 'an I/O error'],
];

export const noKernelTrouble: Promised = {
  id: 'no-kernel-trouble',
  title: 'the kernel log has no oops, warning, deferred device or I/O error',
  explanation:
    'Lines that Linux prints when it stumbles over the firmware or over a device: oops, panic, WARN, hung task, deferred probe, unusable iommu-map or VIOT, virtio_iommu errors, I/O errors.',
  judge: (model, observation) => {
    const { guest } = observation;
    const parts = { subject: 'kernel log', expected: 'nothing of the kind' };
    if (guest.log.length === 0) return [unseen({ ...parts, seen: 'the guest printed no log' })];
    const excused = model.expect.log.present.map((pattern) => new RegExp(pattern, 'u'));
    const findings = logFindings(guest.log).filter(
      ({ line }) => !excused.some((pattern) => pattern.test(line.text)),
    );
    const items = TROUBLE.flatMap(([kind, words]): Item[] => {
      const lines = findings.filter((finding) => finding.kind === kind);
      if (lines.length === 0) return [];
      return [judged(false, { ...parts, seen: words, evidence: evidence(lines) })];
    });
    return items.length > 0 ? items : [judged(true, { ...parts, seen: 'nothing' })];
  },
};

function evidence(lines: readonly LogFinding[]): Item['evidence'] {
  return few(lines, ({ line }) => fromLog(line));
}

export const logExpectations: Promised = {
  id: 'log-expectations',
  title: 'the kernel log has the lines the topology asks for, and none it forbids',
  explanation:
    '`expect.log.present` and `expect.log.absent`, regular expressions against each line.',
  judge: (model, { guest }) => {
    const matching = (pattern: string): Item['evidence'] =>
      few(
        guest.log.filter((line) => new RegExp(pattern, 'u').test(line.text)),
        fromLog,
        3,
      );
    const one = (pattern: string, wanted: boolean): Item => {
      const found = matching(pattern);
      return judged(found.length > 0 === wanted, {
        subject: `/${pattern}/`,
        expected: wanted ? 'a line' : 'no line',
        seen: found.length > 0 ? 'a line' : 'no line',
        evidence: found,
      });
    };
    return [
      ...model.expect.log.present.map((pattern) => one(pattern, true)),
      ...model.expect.log.absent.map((pattern) => one(pattern, false)),
    ];
  },
};
