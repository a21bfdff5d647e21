import { contains, hex } from '../../bytes/index.ts';
import { atLeast, showKernel } from '../diagnostic.ts';
import type { Facts } from '../facts.ts';
import type { Model, Viommu } from '../model.ts';
import { viommuOfTree, viommuOfViot } from '../rules/support/match.ts';
import { linux } from '../rules/support/text.ts';
import { viotIommus } from '../rules/support/viot-runs.ts';
import type { Asker, Conclusion, Found, Trail, Way } from './types.ts';

const PART = 'viommu';

/** Who really translates a requester, whatever firmware says; undefined: nobody, or not known. */
export function ownerOf(
  model: Model | undefined,
  { location, id }: Asker,
): { readonly viommu: Viommu; readonly endpointId: number } | undefined {
  if (model === undefined) return undefined;
  const named = (name: string | undefined): Viommu | undefined =>
    model.viommus.find((it) => it.id === name);
  if (location.kind === 'platform') {
    const endpoint = model.endpoints.find((it) => it.id === id);
    const viommu = named(endpoint?.viommu);
    return viommu === undefined ? undefined : { viommu, endpointId: endpoint?.endpointId ?? 0 };
  }
  const row = model.coverage.find(
    (it) => it.segment === location.segment && contains(it.rids, location.rid),
  );
  const viommu = named(row?.viommu);
  if (row === undefined || viommu === undefined) return undefined;
  return { viommu, endpointId: row.endpointId + (location.rid - row.rids.start) };
}

/** The vIOMMU of the topology that a description leads to. */
function viommuOf(facts: Facts, found: Found, source: Conclusion['source']): Viommu | undefined {
  if (source === 'device-tree') return viommuOfTree(facts, found.key);
  const node = facts.viot && viotIommus(facts.viot).get(found.key);
  return facts.model && node && viommuOfViot(facts.model, node);
}

/** From the way that firmware shows to what comes of it: the vIOMMU and its driver have a say. */
export function conclude(
  trail: Trail,
  facts: Facts,
  asker: Asker,
  way: Way,
  source: Conclusion['source'],
): Conclusion {
  const who = linux(facts);
  if ('fate' in way) {
    if (way.fate !== 'untranslated') {
      const text = `${who} defers ${asker.label}: ${way.why}`;
      return { source, fate: way.fate, text };
    }
    return untranslated(trail, facts, asker, way.why, source);
  }
  const { found } = way;
  const target = { target: found.target, endpointId: found.endpointId };
  const viommu = viommuOf(facts, found, source);
  if (facts.model === undefined) {
    trail.say(
      PART,
      'note',
      `whether the device knows endpoint ${hex(found.endpointId)} is not in any firmware: ${who} asks it with PROBE and leaves the endpoint untranslated when the answer is NOENT`,
    );
    const text = `${who} puts ${asker.label} behind ${found.target} as endpoint ${hex(found.endpointId)}, if the device there knows that endpoint`;
    return { source, fate: 'translated', text, ...target };
  }
  if (viommu === undefined) {
    const why = `nothing of the topology is the virtio-iommu at ${found.target}`;
    trail.say(
      PART,
      'stop',
      `${why}: the endpoint is deferred for 10 s ("deferred probe timeout, ignoring dependency"), then it goes on without`,
    );
    return untranslated(trail, facts, asker, why, source);
  }
  const known = { ...target, viommu: viommu.id };
  const refusal = driverRefuses(facts, viommu);
  if (refusal !== undefined) {
    trail.say(
      PART,
      'stop',
      `${refusal}: the endpoint is deferred for 10 s, then it goes on without`,
      viommu.place,
    );
    return { ...untranslated(trail, facts, asker, refusal, source), ...known };
  }
  trail.say(
    PART,
    'ok',
    `${viommu.id} is there, with what Linux's driver demands (MAP_UNMAP, VIRTIO_F_VERSION_1, a page size of at most ${hex(facts.guestPage)}); until that driver is bound, ${asker.label} is deferred (EPROBE_DEFER)`,
    viommu.place,
  );
  return probe(trail, facts, asker, found, viommu, source);
}

/** Why `viommu_probe` gives up; undefined: it does not. */
function driverRefuses(facts: Facts, viommu: Viommu): string | undefined {
  const { id, features, pageSizeMask, transport, granule, domainRange } = viommu;
  const kernel = `Linux ${showKernel(facts.kernel)}`;
  if (!atLeast(facts.kernel, 5, 3)) return `${kernel} has no virtio-iommu driver: 5.3 is the first`;
  if (transport.kind === 'mmio' && transport.legacy) {
    return `${id} is a legacy device (virtio-mmio version 1), which Linux's driver refuses`;
  }
  if (!features.includes('MAP_UNMAP'))
    return `${id} does not offer MAP_UNMAP (viommu_probe: ENODEV)`;
  if (pageSizeMask === 0n) return `${id} offers no page size (viommu_probe: EINVAL)`;
  if (granule > facts.guestPage) {
    return `the granule of ${id} is ${hex(granule)}, larger than the guest's page of ${hex(facts.guestPage)}`;
  }
  const kept = features.includes('BYPASS_CONFIG') && atLeast(facts.kernel, 6, 16) ? 1 : 0;
  if (features.includes('DOMAIN_RANGE') && domainRange.end - domainRange.start + 1 - kept < 1) {
    return `the domain range of ${id} leaves no ID for a DMA domain`;
  }
  return undefined;
}

/** PROBE and ATTACH: whether the device knows the ID, and whose it is. */
function probe(
  trail: Trail,
  facts: Facts,
  asker: Asker,
  found: Found,
  viommu: Viommu,
  source: Conclusion['source'],
): Conclusion {
  const owner = ownerOf(facts.model, asker);
  const id = hex(found.endpointId);
  const known = { target: found.target, endpointId: found.endpointId, viommu: viommu.id };
  if (owner?.viommu.id === viommu.id && owner.endpointId === found.endpointId) {
    trail.say(
      PART,
      'ok',
      `${viommu.id} knows it as endpoint ${id}: PROBE and ATTACH are answered with OK`,
      viommu.place,
    );
    bypass(trail, viommu);
    const text = `${linux(facts)} puts ${asker.label} behind ${viommu.id} as endpoint ${id}`;
    return { source, fate: 'translated', text, ...known };
  }
  const own =
    owner === undefined
      ? 'no vIOMMU translates its DMA'
      : `its DMA arrives at ${owner.viommu.id} as endpoint ${hex(owner.endpointId)}`;
  const other = facts.model && holderOf(facts.model, viommu, found.endpointId);
  if (other === undefined) {
    const why = `${viommu.id} knows no endpoint ${id} (${own})`;
    trail.say(
      PART,
      'stop',
      `${why}: PROBE is answered with NOENT, and Linux goes on without the IOMMU; nothing is logged`,
      viommu.place,
    );
    return { ...untranslated(trail, facts, asker, why, source), ...known };
  }
  const why = `endpoint ${id} of ${viommu.id} is ${other}, while ${own}`;
  trail.say(
    PART,
    'stop',
    `${why}: the wrong endpoint is attached, and mappings do not concern this one's DMA`,
    viommu.place,
  );
  const text = `${linux(facts)} puts ${asker.label} behind ${viommu.id} by an ID that is not its own: ${why}. Its DMA does not meet its mappings, and I/O hangs`;
  return { source, fate: 'mistaken', text, ...known };
}

/** The device that has an endpoint ID of a vIOMMU; an ID without a device is known to nobody. */
function holderOf(model: Model, { id }: Viommu, endpointId: number): string | undefined {
  return model.endpoints.find(
    (it) => it.device !== undefined && it.viommu === id && it.endpointId === endpointId,
  )?.id;
}

function bypass(trail: Trail, { id, bootBypass, features, places, place }: Viommu): void {
  const value = bootBypass ? 'on' : 'off';
  const effect = bootBypass
    ? 'until Linux attaches it, its DMA passes untranslated'
    : 'until Linux attaches it, its DMA is blocked and reported';
  const who = features.includes('BYPASS_CONFIG') ? 'config.bypass' : 'the feature BYPASS';
  trail.say(
    PART,
    'note',
    `boot-bypass of ${id} is ${value} (${who}): ${effect}`,
    places['boot-bypass'] ?? place,
  );
}

/** No IOMMU as far as Linux goes; what the device makes of the DMA is another matter. */
function untranslated(
  trail: Trail,
  facts: Facts,
  asker: Asker,
  why: string,
  source: Conclusion['source'],
): Conclusion {
  const owner = ownerOf(facts.model, asker);
  const label = `${linux(facts)} does not put ${asker.label} behind a vIOMMU: ${why}`;
  if (owner === undefined) return { source, fate: 'untranslated', text: label };
  const { viommu, endpointId } = owner;
  const its = `${viommu.id} translates its DMA as endpoint ${hex(endpointId)}`;
  bypass(trail, viommu);
  if (viommu.bootBypass) {
    const text = `${label}. ${its}, and lets it pass, since boot-bypass is on: the device works, untranslated`;
    return { source, fate: 'untranslated', text };
  }
  return {
    source,
    fate: 'blocked',
    text: `${label}. ${its}, and blocks it, since boot-bypass is off: I/O hangs`,
  };
}
