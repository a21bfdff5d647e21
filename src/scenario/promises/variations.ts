import { showRange } from '../../bytes/index.ts';
import { VIRTIO_IOMMU_S_INVAL } from '../../spec/virtio-iommu.ts';
import { isHotplugged, type GuestCheck, type Model } from '../../topology/index.ts';
import { recordOf } from '../device-record.ts';
import { expectedEndpoints, type ExpectedEndpoint } from '../expected.ts';
import { isAt, viommuLabel } from '../names.ts';
import type { Observation } from '../observation.ts';
import { failed, fromEvent, judged, passed, unseen, type Item, type Promised } from '../promise.ts';

const SKIPPED = 'this backend does not try it';

function asks(model: Model, check: GuestCheck): boolean {
  return model.guest.checks.includes(check);
}

/** The promise of one check, for each endpoint that it is about. */
function tried(
  check: GuestCheck,
  about: (model: Model) => readonly ExpectedEndpoint[],
  expected: string,
  look: (observation: Observation, one: ExpectedEndpoint) => { ok: boolean; seen: string },
): Promised['judge'] {
  return (model, observation) =>
    !asks(model, check)
      ? []
      : about(model).map((one) => {
          const parts = { subject: one.label, endpoint: one.id, expected };
          if (observation.skipped.includes(check)) return unseen({ ...parts, seen: SKIPPED });
          const { ok, seen } = look(observation, one);
          return judged(ok, { ...parts, seen });
        });
}

/** Endpoints whose drivers are unbound and bound again. */
export function rebindable(model: Model): ExpectedEndpoint[] {
  return asks(model, 'rebind') ? expectedEndpoints(model).filter(({ maps }) => maps) : [];
}

export const rebindWorks: Promised = {
  id: 'rebind-works',
  title: 'a driver that was unbound can be bound again, and works',
  explanation:
    'With `guest.checks: [rebind]`. The driver of each endpoint that maps is unbound and bound again; the traffic promises hold for what is done after that.',
  judge: tried('rebind', rebindable, 'unbound, and bound again', ({ guest }, { endpoint }) => {
    const one = guest.rebinds.find(({ device }) => isAt(device, endpoint.location));
    if (one === undefined) return { ok: false, seen: 'it was not tried' };
    if (one.error !== undefined) return { ok: false, seen: one.error };
    return { ok: one.driver !== undefined, seen: one.driver ?? 'no driver' };
  }),
};

export const hotplugWorks: Promised = {
  id: 'hotplug-works',
  title: 'a device that is plugged in gets its driver, behind its vIOMMU in a group',
  explanation:
    'With `guest.checks: [hotplug]`. Endpoints below a port with `hotplug: true` are not there when the guest boots. They are plugged in while it runs; the port tells the guest, which must find the device, put it into a group and bind its driver. The other promises hold for it as for every device.',
  judge: tried(
    'hotplug',
    (model) => expectedEndpoints(model).filter(({ endpoint }) => isHotplugged(model, endpoint)),
    'found, grouped and driven',
    ({ guest }, { endpoint, translated }) => {
      const one = guest.plugs.find(({ device }) => isAt(device, endpoint.location));
      if (one === undefined) return { ok: false, seen: 'it was not tried' };
      const { driver, group } = one;
      const inGroup = group === undefined ? 'in no group' : `in group ${group}`;
      return {
        ok: driver !== undefined && (group !== undefined) === translated,
        seen: driver === undefined ? 'the guest did not bind a driver' : `${driver}, ${inGroup}`,
      };
    },
  ),
};

export const reboots: Promised = {
  id: 'reboots',
  title: 'the guest reboots and comes up again on the same machine',
  explanation:
    'With `guest.checks: [reboot]`. At the end of its checks the guest resets the machine, firmware is handed over again and a second kernel does the same checks; every promise is judged for both boots.',
  judge: (model, { before, skipped, guest }) => {
    if (!asks(model, 'reboot')) return [];
    const parts = { subject: 'guest', expected: 'two boots' };
    if (skipped.includes('reboot')) return [unseen({ ...parts, seen: SKIPPED })];
    // Judged once, with the second boot.
    if (before === undefined) return [failed({ ...parts, seen: 'the machine was not reset' })];
    return [judged(guest.started, { ...parts, seen: guest.started ? 'two' : 'one' })];
  },
};

export const identityPasses: Promised = {
  id: 'identity-passes',
  title: 'identity domains are attached with bypass, and everything passes',
  explanation:
    'With `guest.default-domain: identity` (`iommu.passthrough=1`) and a vIOMMU that offers BYPASS_CONFIG: each ATTACH has the BYPASS flag, nothing is mapped, and each access passes untranslated.',
  judge: (model, { capabilities, device }) => {
    if (model.guest.defaultDomain !== 'identity') return [];
    return expectedEndpoints(model).flatMap((expected): Item[] => {
      const { viommu = '', endpointId = -1, translated, groupTypes, label, id } = expected;
      const offers = model.viommus
        .find((one) => one.id === viommu)
        ?.features.includes('BYPASS_CONFIG');
      if (!translated || offers !== true || !groupTypes.includes('identity')) return [];
      const parts = { subject: label, endpoint: id, expected: 'ATTACH with BYPASS, no MAP' };
      const record = recordOf(device, viommu, endpointId);
      const { last } = record?.attach ?? {};
      if (!capabilities.has('attach')) return [unseen({ ...parts, seen: 'no requests are shown' })];
      if (record === undefined || last?.kind !== 'attach') {
        // Linux takes no notice of a device without a driver (before 6.15).
        return [];
      }
      const { map, translated: through, bypassed } = record;
      const flagged = last.bypass;
      // QEMU's trace does not show flags.
      const right = flagged !== false && map.count === 0 && through.count === 0;
      return [
        judged(right, {
          ...parts,
          seen: `ATTACH ${flagged === false ? 'without' : 'with'} BYPASS in ${viommuLabel(model, viommu)}, ${map.count} MAPs, ${bypassed.count} accesses passed and ${through.count} were translated`,
          evidence: fromEvent(last),
        }),
      ];
    });
  },
};

export const overlapRefused: Promised = {
  id: 'overlap-refused',
  title: 'a MAP over a live mapping is refused',
  explanation:
    'The model guest maps a page for a device that can be aimed, and sends the same MAP once more, which no Linux does: INVAL is the answer (VIRTIO 1.3, MAP request). Judged where the guest is ours.',
  judge: (model, { guest }) =>
    expectedEndpoints(model).flatMap((expected): Item[] => {
      const one = guest.overlaps.find(({ device }) => isAt(device, expected.endpoint.location));
      if (one === undefined) return [];
      const parts = {
        subject: expected.label,
        endpoint: expected.id,
        expected: `INVAL for a second MAP of ${showRange(one.virt)}`,
        seen: `status ${one.status}`,
      };
      return [one.status === VIRTIO_IOMMU_S_INVAL ? passed(parts) : failed(parts)];
    }),
};
