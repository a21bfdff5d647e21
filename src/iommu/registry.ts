import { leave } from './attachment.ts';
import { Endpoint, type EndpointOptions } from './endpoint.ts';
import type { Pin } from './pins.ts';
import { propertiesOf } from './properties.ts';
import type { Relay } from './relay.ts';
import { boundsOf, granuleMask, type IommuState } from './state.ts';
import { less, lower, upper, LAST_ADDRESS } from './wide.ts';

/** The endpoints of a vIOMMU, and their accesses in flight. */
export class Registry {
  readonly #state: IommuState;
  readonly #relay: Relay;

  constructor(state: IommuState, relay: Relay) {
    this.#state = state;
    this.#relay = relay;
  }

  get(id: number): Endpoint | undefined {
    return this.#state.endpoints.get(id);
  }

  /**
   * Adds an endpoint. Before a driver is there, `page_size_mask` shrinks to what the host of a
   * passed-through endpoint can map; later such an endpoint cannot be attached.
   *
   * @throws RangeError when the ID is taken or no ID, its regions overlap, or do not fit in a PROBE reply
   */
  add(options: EndpointOptions, live: boolean): Endpoint {
    const state = this.#state;
    const endpoint = new Endpoint(options);
    if (state.endpoints.has(endpoint.id)) {
      throw new RangeError(`endpoint ${endpoint.id} exists already`);
    }
    const { probeSize, pageSizeMask } = state.settings;
    const needed = propertiesOf(endpoint, state.properties).length;
    if (needed > probeSize && probeSize > 0) {
      throw new RangeError(
        `endpoint ${endpoint.id}: properties take ${needed} bytes, probe_size is ${probeSize}`,
      );
    }
    if (endpoint.port && !live) {
      // Larger sizes are hints; only the granule binds.
      const narrowed = pageSizeMask & ~granuleMask(endpoint.port.pageSizeMask) & LAST_ADDRESS;
      if (narrowed === 0n) throw new RangeError(`endpoint ${endpoint.id}: no page size in common`);
      state.settings.pageSizeMask = narrowed;
      state.bounds = boundsOf(state.settings);
    }
    state.endpoints.set(endpoint.id, endpoint);
    state.epoch++;
    if (endpoint.port) this.#relay.synchronise();
    this.#tell(endpoint.id, true);
    return endpoint;
  }

  /** False when there is none. */
  remove(id: number): boolean {
    const state = this.#state;
    const endpoint = state.endpoints.get(id);
    if (endpoint === undefined) return false;
    leave(state, endpoint);
    state.endpoints.delete(id);
    this.#relay.remove(endpoint);
    state.epoch++;
    state.pins.releaseAll(endpoint);
    this.#tell(id, false);
    return true;
  }

  /**
   * Declares an access in flight, which UNMAP and DETACH then wait for. To be called after its
   * range was translated; undefined when there are too many, or no such endpoint.
   *
   * @param length 1 or more
   */
  pin(id: number, iova: bigint, length: bigint): Pin | undefined {
    const state = this.#state;
    const endpoint = state.endpoints.get(id);
    if (endpoint === undefined || state.pins.size >= state.settings.pins) return undefined;
    const last = iova + length - 1n;
    const end = last > LAST_ADDRESS ? LAST_ADDRESS : last;
    if (less(upper(end), lower(end), upper(iova), lower(iova))) return undefined;
    return state.pins.add(endpoint, upper(iova), lower(iova), upper(end), lower(end));
  }

  /** The access is over. A request that waited for it goes on. */
  release(pin: Pin): void {
    this.#state.pins.release(pin);
  }

  /** An access in flight of before a restore, for its holder to take up again. */
  pinById(id: number): Pin | undefined {
    return this.#state.pins.get(id);
  }

  #tell(endpoint: number, present: boolean): void {
    const { stream } = this.#state;
    if (stream.wants('endpoint')) stream.emit({ kind: 'endpoint', endpoint, present });
  }
}
