import {
  IommuDebug,
  listDomains,
  listEndpoints,
  listMappings,
  Translation,
  translateSpan,
} from '../iommu/index.ts';
import type { Machine } from '../machine/index.ts';
import { ACCESS_READ, ACCESS_WRITE } from '../memory/index.ts';
import { endpointOf, nameOf, oneViommu, viommusOf } from './places.ts';
import { DEBUG_ERRORS, DebugError, json, type Json, type Params } from './protocol.ts';

/** Mappings in an answer that does not say how many. */
const PAGE = 1000;
const LAST = (1n << 64n) - 1n;

/** The questions that change nothing. All state of the machine stays as it is. */
export function list(machine: Machine, { what, viommu }: Params<'list'>): Json {
  const viommus = viommusOf(machine, viommu);
  return json({
    ...(what === undefined || what === 'viommus' ? { viommus: viommus.map(viommuInfo) } : {}),
    ...(what === undefined || what === 'endpoints'
      ? {
          endpoints: viommus.flatMap(({ id, device }) =>
            listEndpoints(device.state).map(({ id: endpoint, ...info }) => ({
              viommu: id,
              endpoint,
              name: nameOf(machine, id, endpoint),
              ...info,
            })),
          ),
        }
      : {}),
    ...(what === undefined || what === 'domains'
      ? {
          domains: viommus.flatMap(({ id, device }) =>
            listDomains(device.state).map(({ id: domain, ...info }) => ({
              viommu: id,
              domain,
              ...info,
            })),
          ),
        }
      : {}),
  });
}

function viommuInfo({ id, device }: ReturnType<typeof viommusOf>[number]): object {
  const { state } = device;
  const { pageSizeMask, inputRange } = state.settings;
  return {
    viommu: id,
    endpoints: state.endpoints.size,
    domains: state.domains.size,
    mappings: state.mappings,
    bypass: state.bypass === 1,
    negotiated: state.negotiated,
    pageSizeMask,
    inputRange,
    pendingFaults: state.faults.size,
    waiting: device.isWaiting,
  };
}

/** Counters of each vIOMMU, and bytes that mappings take. */
export function stat(machine: Machine, { viommu }: Params<'stat'>): Json {
  return json(
    viommusOf(machine, viommu).map(({ id, device }) => ({
      viommu: id,
      ...new IommuDebug(device).stat(),
    })),
  );
}

/** The mappings of a domain, or of the domain that an endpoint is in. */
export function dump(machine: Machine, params: Params<'dump'>): Json {
  const { viommu, endpoint, domain, from = 0n, limit = PAGE } = params;
  if ((endpoint === undefined) === (domain === undefined)) {
    const message = 'dump: either an endpoint or a domain is wanted';
    throw new DebugError(DEBUG_ERRORS.invalidParams, message);
  }
  const { id, device, wanted } =
    endpoint === undefined
      ? { ...oneViommu(machine, viommu), wanted: domain }
      : domainOf(machine, endpoint, viommu);
  const info = listDomains(device.state).find((one) => one.id === wanted);
  if (info === undefined) {
    const who =
      endpoint === undefined ? `domain ${wanted ?? ''}` : `domain: ${endpoint} is not attached`;
    throw new DebugError(DEBUG_ERRORS.notFound, `${id} has no ${who}`);
  }
  const mappings = [];
  let next: bigint | undefined;
  for (const mapping of listMappings(device.state, info.id, { start: from, end: LAST })) {
    if (mappings.length === limit) {
      next = mapping.start;
      break;
    }
    mappings.push(mapping);
  }
  const { id: number, mappings: total, ...rest } = info;
  return json({ viommu: id, domain: number, ...rest, total, mappings, next });
}

function domainOf(
  machine: Machine,
  endpoint: string | number,
  viommu: string | undefined,
): ReturnType<typeof oneViommu> & { readonly wanted: number | undefined } {
  const found = endpointOf(machine, endpoint, viommu);
  const { id, device } = found;
  return { id, device, wanted: device.endpoints.get(found.endpoint)?.domain?.id };
}

/** Where an access would go now; nothing is counted or reported. */
export function translate(machine: Machine, params: Params<'translate'>): Json {
  const { iova, length = 1n, access = 'read' } = params;
  if (length === 0n)
    throw new DebugError(DEBUG_ERRORS.invalidParams, 'translate: length: 1 or more');
  const { id, device, endpoint } = endpointOf(machine, params.endpoint, params.viommu);
  const bits = access === 'write' ? ACCESS_WRITE : ACCESS_READ;
  // A translation of its own: an access may be in the middle of the device's.
  const translation = new Translation(device.state);
  const result = translateSpan(device.state, translation, endpoint, iova, length, bits);
  const { domain, path } = listEndpoints(device.state).find((one) => one.id === endpoint) ?? {};
  return json({ viommu: id, endpoint, domain, path, iova, length, access, ...result });
}
