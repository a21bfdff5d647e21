import type { Model } from '../topology/index.ts';
import type { DeviceEvent, FaultEvent, HostFaultEvent, MapEvent } from './events.ts';

/** The mappings of one endpoint's domains over time, and what was refused to it. */
export interface TraceRecord {
  readonly viommu: string;
  readonly endpoint: number;
  /** MAP and UNMAP that were answered OK, MAPs that were not, and refused accesses, in order. */
  readonly events: readonly TracedEvent[];
  /** False: there were more than are kept. */
  readonly complete: boolean;
}

export type TracedEvent = DeviceEvent &
  (MapEvent | { readonly kind: 'unmap' } | FaultEvent | HostFaultEvent);

const KEPT = 8192;

/** Keeps the whole trace of the endpoints that a program in the guest's user space drives. */
export class RequestTrace {
  readonly #traces = new Map<string, { events: TracedEvent[]; complete: boolean }>();
  /** `viommu/endpoint` → `viommu/domain`. */
  readonly #attached = new Map<string, string>();

  constructor(model: Model) {
    for (const { viommu, endpointId, guestDriver } of model.endpoints) {
      if (guestDriver === undefined || viommu === undefined || endpointId === undefined) continue;
      this.#traces.set(`${viommu}/${endpointId}`, { events: [], complete: true });
    }
  }

  add(event: DeviceEvent): void {
    if (this.#traces.size === 0) return;
    const failed = event.status !== undefined && event.status !== 0;
    const viommu = event.viommu ?? '';
    switch (event.kind) {
      case 'attach':
        if (!failed) this.#attached.set(`${viommu}/${event.endpoint}`, `${viommu}/${event.domain}`);
        break;
      case 'detach':
        if (!failed) this.#attached.delete(`${viommu}/${event.endpoint}`);
        break;
      case 'map':
      case 'unmap':
        if (event.kind === 'unmap' && failed) break;
        for (const who of this.#traces.keys()) {
          if (this.#attached.get(who) === `${viommu}/${event.domain}`) this.#keep(who, event);
        }
        break;
      case 'fault':
      case 'host-fault':
        this.#keep(`${viommu}/${event.endpoint}`, event);
        break;
      default:
    }
  }

  finish(): readonly TraceRecord[] {
    return Array.from(this.#traces, ([key, trace]) => ({
      viommu: key.slice(0, key.lastIndexOf('/')),
      endpoint: Number(key.slice(key.lastIndexOf('/') + 1)),
      ...trace,
    }));
  }

  #keep(who: string, event: TracedEvent): void {
    const trace = this.#traces.get(who);
    if (trace === undefined) return;
    if (trace.events.length < KEPT) trace.events.push(event);
    else trace.complete = false;
  }
}
