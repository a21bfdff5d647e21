import { contains, hex, showRange } from '../../bytes/index.ts';
import type { Model, Viommu } from '../../topology/index.ts';
import {
  doorbellOf,
  expectedEndpoints,
  expectedRegions,
  type ExpectedEndpoint,
} from '../expected.ts';
import type { LeftMapping, StartRecord, UnbindRecord } from '../machine-record.ts';
import { viommuLabel } from '../names.ts';
import { few, judged, unseen, type Evidence, type Item, type Promised } from '../promise.ts';

/** Promises that only a machine which can be looked into keeps or breaks. */

const fromDevice = (text: string): Evidence => ({ source: 'device', text });

export const startState: Promised = {
  id: 'start-state',
  title: 'a vIOMMU starts with no domain, and boot-bypass decides what passes',
  explanation:
    'At power-on and after each reset of the machine, before the guest does anything: no domain exists, and an access of each endpoint behind the vIOMMU would pass exactly if `boot-bypass` is on (and BYPASS_CONFIG offered). Judged on our own devices.',
  judge: (model, { device: { machine } }) =>
    (machine?.starts ?? []).flatMap((start): Item[] => {
      const viommu = model.viommus.find(({ id }) => id === start.viommu);
      return viommu === undefined ? [] : [judgeStart(model, viommu, start)];
    }),
};

function judgeStart(model: Model, viommu: Viommu, start: StartRecord): Item {
  const passes = viommu.bootBypass && viommu.features.includes('BYPASS_CONFIG');
  const { endpoints, passing, domains } = start;
  const right = passing.length === (passes ? endpoints.length : 0);
  return judged(right && domains === 0, {
    subject: `${viommuLabel(model, viommu.id)}, ${start.moment === 'reset' ? 'after a reset' : 'at power-on'}`,
    expected: `no domain, ${passes ? 'every' : 'no'} endpoint passes`,
    seen: `${domains === 0 ? 'no' : domains} domain${domains > 1 ? 's' : ''}, ${passing.length} of ${endpoints.length} endpoints pass`,
  });
}

export const unmapLeavesNothing: Promised = {
  id: 'unmap-leaves-nothing',
  title: 'after an UNMAP no endpoint of the domain reaches any address of it',
  explanation:
    "After each UNMAP that the vIOMMU answers, every endpoint of the domain is held against the device's own translation, and against the translations that the endpoint has kept from before. Judged on our own devices.",
  judge: (_model, { device: { machine } }) => {
    if (machine === undefined || machine.unmaps.count === 0) return [];
    const { count, left, leftCount } = machine.unmaps;
    return [
      judged(leftCount === 0, {
        subject: 'all endpoints',
        expected: 'nothing reachable',
        seen: leftCount === 0 ? `nothing, after ${count} UNMAPs` : `something, after ${leftCount}`,
        evidence: few(left, ({ event, why }) => fromDevice(`${event.text ?? 'unmap'}: ${why}`)),
      }),
    ];
  },
};

export const unbindLeavesNothing: Promised = {
  id: 'unbind-leaves-nothing',
  title: 'a driver that is unbound leaves no mapping behind',
  explanation:
    'With `guest.checks: [rebind]`. When the last driver of a domain is gone, the domain holds nothing but what the kernel keeps for the group: direct regions, and the doorbell that it maps by itself (Linux never unmaps that). By the device and by the requests, which must agree. Judged on our own devices.',
  judge: (model, { device: { machine } }) => {
    const known = expectedEndpoints(model);
    return (machine?.unbinds ?? []).flatMap((unbind): Item[] => {
      const expected = known.find(
        ({ viommu, endpointId }) => viommu === unbind.viommu && endpointId === unbind.endpoint,
      );
      const busy = known.some(
        ({ viommu, endpointId, maps }) =>
          maps && viommu === unbind.viommu && unbind.others.includes(endpointId ?? -1),
      );
      return expected === undefined || busy ? [] : [judgeUnbind(model, expected, unbind)];
    });
  },
};

function judgeUnbind(model: Model, expected: ExpectedEndpoint, unbind: UnbindRecord): Item {
  const bell = doorbellOf(model, expected.endpoint)?.window;
  const direct = expectedRegions(model, [expected.endpoint]).filter(
    ({ type }) => type === 'direct',
  );
  const kept = ({ virt, phys }: LeftMapping): boolean =>
    (bell !== undefined && contains(bell, phys)) ||
    direct.some(({ range }) => contains(range, virt.start) && contains(range, virt.end));
  const leaked = unbind.mappings.filter((mapping) => !kept(mapping));
  const agree = unbind.count === unbind.counted;
  const rest = unbind.count - leaked.length;
  return judged(leaked.length === 0 && agree, {
    subject: expected.label,
    endpoint: expected.id,
    expected: 'no mapping',
    seen:
      leaked.length > 0
        ? `${leaked.length} mappings`
        : `none${rest === 0 ? '' : `, but for ${rest} of the kernel's own`}${agree ? '' : `; by the requests there are ${unbind.counted}`}`,
    evidence: few(leaked, ({ virt, phys }) => fromDevice(`${showRange(virt)} -> ${hex(phys)}`)),
  });
}

export const unmapTiming: Promised = {
  id: 'unmap-timing',
  title: 'UNMAPs come one by one, or in batches, as the default domain says',
  explanation:
    'With `guest.default-domain: strict` each range that is unmapped has a notification of its own, before the memory is used again (it may take several UNMAPs, one for each size of page); with `lazy` Linux collects them, and ranges that have nothing to do with each other come with one. Judged on our own devices.',
  judge: (model, { device: { machine } }) => {
    const kind = model.guest.defaultDomain;
    if (kind === undefined || kind === 'identity') return [];
    if (!expectedEndpoints(model).some(({ maps }) => maps)) return [];
    const parts = {
      subject: 'all endpoints',
      expected: kind === 'strict' ? 'one range with each notification' : 'several with one',
    };
    const { count = 0, largestBatch } = machine?.unmaps ?? {};
    if (largestBatch === undefined) {
      return [unseen({ ...parts, seen: 'this backend does not show notifications' })];
    }
    return [
      judged(count > 0 && largestBatch > 1 === (kind === 'lazy'), {
        ...parts,
        seen: `${count} UNMAPs, at most ${largestBatch} range${largestBatch === 1 ? '' : 's'} with one`,
      }),
    ];
  },
};
