import type { IortDescription, IortMapping, McfgDescription } from '../description.ts';
import type { Model, PciHost } from '../model.ts';
import { deviceIdBase } from './keys.ts';
import { ridsOf } from './rid-map.ts';

/** IORT: for the DeviceIDs of MSIs only, one root complex for each segment. */
export function describeIort(model: Model): IortDescription | undefined {
  const its = new Set(model.doorbells.filter(({ kind }) => kind === 'its').map(({ id }) => id));
  const hosts = model.hosts.filter(({ doorbell }) => its.has(doorbell ?? ''));
  if (model.arch !== 'arm64' || hosts.length === 0) return undefined;
  const segments = [...new Set(hosts.map((host) => host.segment))];
  return {
    rootComplexes: segments.map((segment) => {
      const of = hosts.filter((host) => host.segment === segment);
      const mappings = of.map((host) => mapping(model, host));
      return { segment, mappings, place: of[0]?.place ?? model.place };
    }),
    formProblems: [],
    place: model.place,
  };
}

function mapping(model: Model, host: PciHost): IortMapping {
  const { start, end } = ridsOf(host);
  const overrides = model.firmware.overrides?.iort;
  return {
    input: { start, end: end + (overrides?.idCountDelta ?? 0) },
    outputBase: deviceIdBase(model, host) + start,
    target: 'its',
    place: overrides?.places['id-count-delta'] ?? host.place,
  };
}

/** MCFG: its base address is that of bus 0, whichever bus an entry begins with. */
export function describeMcfg(model: Model): McfgDescription {
  return {
    hosts: model.hosts.map(({ segment, buses, ecam, place }) => ({
      segment,
      buses,
      ecam: ecam.start - (BigInt(buses.start) << 20n),
      place,
    })),
    place: model.place,
  };
}
