import { IommuDebug } from '../iommu/index.ts';
import type { Machine } from '../machine/index.ts';
import { ACCESS_READ, ACCESS_WRITE } from '../memory/index.ts';
import { VIRTIO_IOMMU_S_IOERR, VIRTIO_IOMMU_T_MAP } from '../spec/virtio-iommu.ts';
import { endpointOf, type NamedEndpoint } from './places.ts';
import { DEBUG_ERRORS, DebugError, json, type Json, type Params } from './protocol.ts';

/** MAP requests of one endpoint's domain that are to be refused. */
interface Refusal {
  readonly endpoint: number;
  readonly status: number;
  left: number;
}

/** Faults on purpose: accesses and MAPs that fail, records of accesses that never were. */
export class Injections {
  readonly #machine: Machine;
  /** By vIOMMU. */
  readonly #refusals = new Map<string, Refusal[]>();

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** @throws DebugError */
  inject(params: Params<'fault'>): Json {
    const target = endpointOf(this.#machine, params.endpoint, params.viommu);
    switch (params.kind) {
      case 'access':
        return this.#access(target, params);
      case 'map':
        return this.#map(target, params);
      case 'record':
        return this.#record(target, params);
      default:
        return params.kind satisfies never;
    }
  }

  /** What was injected and did not happen yet never happens. */
  end(): void {
    for (const { device } of this.#machine.viommus.values()) {
      device.state.refuse = undefined;
      for (const endpoint of device.state.endpoints.values()) endpoint.injected = 0;
    }
    this.#refusals.clear();
  }

  #access({ id, device, endpoint }: NamedEndpoint, { count = 1 }: Params<'fault'>): Json {
    new IommuDebug(device).failAccesses(endpoint, count);
    return json({ kind: 'access', viommu: id, endpoint, count });
  }

  #map({ id, device, endpoint }: NamedEndpoint, params: Params<'fault'>): Json {
    const { count = 1, status = VIRTIO_IOMMU_S_IOERR } = params;
    const refusals = this.#refusals.get(id) ?? [];
    this.#refusals.set(id, [
      ...refusals.filter((one) => one.endpoint !== endpoint),
      { endpoint, status, left: count },
    ]);
    device.state.refuse = (type, { domain }): number | undefined => {
      if (type.type !== VIRTIO_IOMMU_T_MAP) return undefined;
      const members = device.state.domains.get(domain)?.endpoints ?? new Set();
      const hit = this.#refusals
        .get(id)
        ?.find((one) => one.left > 0 && [...members].some((member) => member.id === one.endpoint));
      if (hit === undefined) return undefined;
      hit.left--;
      return hit.status;
    };
    return json({ kind: 'map', viommu: id, endpoint, count, status });
  }

  #record({ id, device, endpoint }: NamedEndpoint, params: Params<'fault'>): Json {
    const { address, reason = 'mapping', access } = params;
    if (address === undefined) {
      throw new DebugError(DEBUG_ERRORS.invalidParams, 'fault: address: a record has one');
    }
    const bits =
      access === undefined ? {} : { access: access === 'write' ? ACCESS_WRITE : ACCESS_READ };
    const queued = new IommuDebug(device).fault({ reason, endpoint, address, ...bits });
    return json({ kind: 'record', viommu: id, endpoint, address, reason, queued });
  }
}
