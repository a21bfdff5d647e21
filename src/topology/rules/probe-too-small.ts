import type { Facts, Finding, Rule } from '../facts.ts';
import type { Doorbell, Endpoint, Model } from '../model.ts';
import { hostRegions } from '../passthrough.ts';
import { probeRegionsOf } from './support/doorbells.ts';
import { linux } from './support/text.ts';

/** A RESV_MEM property: 4 bytes of header and 20 of body (VIRTIO 1.3, PROBE properties). */
const RESV_MEM_BYTES = 24;

/** The reserved doorbell of an endpoint's host, which PROBE reports as a region too. */
function reservedDoorbell(model: Model, endpoint: Endpoint): Doorbell | undefined {
  const { location } = endpoint;
  if (location.kind !== 'pci') return undefined;
  const host = model.hosts.find((it) => it.id === location.host);
  return model.doorbells.find((it) => it.id === host?.doorbell && it.delivery === 'reserved');
}

export const probeTooSmall: Rule = {
  id: 'probe-too-small',
  summary: 'The PROBE reply of a vIOMMU has room for the regions of each endpoint.',
  severity: 'error',
  effect: 'The guest does not learn of the regions.',
  cure: 'Offer PROBE, with 24 bytes of probe-size for each region.',
  *check(facts: Facts): Iterable<Finding> {
    const { model } = facts;
    if (model === undefined) return;
    const viommus = new Map(model.viommus.map((it) => [it.id, it]));
    const said = new Set<string>();
    for (const endpoint of model.endpoints) {
      const viommu = viommus.get(endpoint.viommu ?? '');
      if (viommu === undefined || said.has(viommu.id)) continue;
      const list = probeRegionsOf(model, endpoint);
      const doorbell = reservedDoorbell(model, endpoint);
      const listed = list.some(
        (it) => doorbell !== undefined && it.range.start === doorbell.window.start,
      );
      const own = list.length + (doorbell !== undefined && !listed ? 1 : 0);
      const count = own + hostRegions(model, endpoint).length;
      const offered = viommu.features.includes('PROBE');
      const need = count * RESV_MEM_BYTES;
      if (count === 0 || (offered && need <= viommu.probeSize)) continue;
      said.add(viommu.id);
      const first = list[0];
      const what = `${count} reserved region${count === 1 ? '' : 's'} of ${endpoint.id}`;
      yield {
        place: viommu.places[offered ? 'probe-size' : 'features'] ?? viommu.place,
        message: offered
          ? `${what} need ${need} bytes of a PROBE reply, probe-size of ${viommu.id} is ${viommu.probeSize}`
          : `PROBE is to report ${what}, but ${viommu.id} does not offer it`,
        effect: `${linux(facts)} does not learn of them: it maps there, and what the addresses really are answers.`,
        related:
          first === undefined ? [] : [{ place: first.place, message: `${first.id} is here` }],
      };
    }
  },
};
