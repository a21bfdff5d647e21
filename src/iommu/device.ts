import {
  VIRTIO_ID_IOMMU,
  VIRTIO_IOMMU_CONFIG,
  VIRTIO_IOMMU_EVENTQ,
  VIRTIO_IOMMU_F_BYPASS_CONFIG,
  VIRTIO_IOMMU_REQUESTQ,
} from '../spec/virtio-iommu.ts';
import type { Chain, DeviceQueue, PlainState, VirtioDevice, VirtioHost } from '../virtio/index.ts';
import { writeConfig, writtenBypass } from './config-space.ts';
import type { Endpoint, EndpointOptions } from './endpoint.ts';
import { RequestEngine } from './engine.ts';
import { sendReports } from './event-queue.ts';
import { settle, type IommuOptions } from './options.ts';
import type { PropertySource } from './properties.ts';
import { Registry } from './registry.ts';
import { Relay } from './relay.ts';
import type { RequestType } from './request.ts';
import { REQUEST_TYPES } from './requests/index.ts';
import { restoreState, saveState } from './snapshot.ts';
import { IommuState } from './state.ts';
import type { IommuStream } from './stream.ts';
import { Translation } from './translation.ts';

/** What a device knows beyond VIRTIO 1.3. */
export interface IommuExtensions {
  readonly requests?: readonly RequestType[];
  readonly properties?: readonly PropertySource[];
}

/** Of the device as a virtio device, beside what it offers to its driver. */
export interface IommuDeviceOptions extends IommuOptions {
  /** Largest sizes of request and event queue. Default 256 each. */
  readonly queueSizes?: readonly [request: number, event: number];
}

const nothing = (): undefined => undefined;

/** Before a transport is there. */
const NOBODY: VirtioHost = {
  features: 0n,
  live: false,
  hasFeature: () => false,
  queue: nothing,
  signal: nothing,
  configChanged: nothing,
  needsReset: nothing,
  kickLater: nothing,
};

/** A request that was applied and waits for accesses in flight before it is answered. */
interface Parked {
  readonly chain: Chain;
  readonly readable: number;
  readonly used: number;
}

/** VIRTIO 1.3, "IOMMU Device", behind any transport. */
export class IommuDevice implements VirtioDevice {
  readonly deviceId: number = VIRTIO_ID_IOMMU;
  readonly features: bigint;
  readonly queueSizes: readonly number[];
  readonly watched: readonly number[] = [VIRTIO_IOMMU_REQUESTQ];
  readonly config: Uint8Array = new Uint8Array(VIRTIO_IOMMU_CONFIG.size);
  readonly state: IommuState;
  readonly translation: Translation;
  readonly endpoints: Registry;

  readonly #relay: Relay;
  readonly #engine: RequestEngine;
  #host: VirtioHost = NOBODY;
  #parked: Parked | undefined;
  #suspended = false;
  /** Notifications to go on with after a suspension, and the requests already served of each. */
  readonly #owed: { readonly queue: number; readonly served: number }[] = [];

  /** @throws RangeError on options that describe no device */
  constructor(options: IommuDeviceOptions = {}, extensions: IommuExtensions = {}) {
    this.state = new IommuState(settle(options), extensions.properties);
    this.features = BigInt(this.state.settings.offered);
    this.queueSizes = options.queueSizes ?? [256, 256];
    this.#relay = new Relay(this.state);
    this.translation = new Translation(this.state);
    this.endpoints = new Registry(this.state, this.#relay);
    const types = [...REQUEST_TYPES, ...(extensions.requests ?? [])];
    this.#engine = new RequestEngine(this.state, this.#relay, types);
    this.state.onReport = () => this.#report();
    writeConfig(this.state, this.config);
  }

  get stream(): IommuStream {
    return this.state.stream;
  }

  /** Whether the request queue stands still until an access in flight is over. */
  get isWaiting(): boolean {
    return this.#parked !== undefined;
  }

  attach(host: VirtioHost): void {
    this.#host = host;
    // A host may have failed an endpoint that was added before.
    this.#checkHost();
  }

  /** Adds an endpoint, before the guest runs or later. @throws RangeError, see {@link Registry} */
  addEndpoint(options: EndpointOptions): Endpoint {
    // From FEATURES_OK on the driver may have read the page sizes.
    const endpoint = this.endpoints.add(options, this.#host.features !== 0n);
    writeConfig(this.state, this.config);
    this.#checkHost();
    return endpoint;
  }

  /** Removes an endpoint by surprise; its accesses in flight are over. False when there is none. */
  removeEndpoint(id: number): boolean {
    const done = this.endpoints.remove(id);
    if (done) this.translation.forget();
    this.#checkHost();
    return done;
  }

  configWrite(offset: number, size: number, value: number): void {
    const bypass = writtenBypass(offset, size, value);
    const allowed = this.#host.hasFeature(VIRTIO_IOMMU_F_BYPASS_CONFIG);
    if (bypass === undefined || !allowed) return;
    this.#setBypass(bypass, 'driver');
  }

  start(): void {
    this.state.negotiated = Number(this.#host.features & 0x7fn);
    // The legacy bit decides what unattached endpoints may do.
    this.state.epoch++;
    this.#relay.synchronise();
    this.#checkHost();
  }

  kick(queue: number): void {
    if (this.#suspended) {
      this.#owed.push({ queue, served: 0 });
      return;
    }
    if (queue === VIRTIO_IOMMU_REQUESTQ) {
      this.state.counters.kicks++;
      this.#serve(0);
      return;
    }
    this.#report();
  }

  /**
   * For a debugger, from within an event: no request is taken after the one in work, and no
   * interrupt raised for it, until `proceed`. A driver that does not run meanwhile sees no
   * difference. A snapshot does not know of it.
   */
  suspend(): void {
    this.#suspended = true;
  }

  /** Goes on exactly where `suspend` stopped. */
  proceed(): void {
    this.#suspended = false;
    for (let next = this.#owed.shift(); next !== undefined; next = this.#owed.shift()) {
      if (next.served > 0) this.#serve(next.served);
      else this.kick(next.queue);
      if (this.#suspended) return;
    }
  }

  queueReset(queue: number): void {
    // The answer of a waiting request has nowhere to go any more; what it did stands.
    if (queue === VIRTIO_IOMMU_REQUESTQ && this.#parked) {
      this.#forgetParked();
      this.state.pins.forgetWaiting();
    }
  }

  /** Device reset: no endpoint is attached afterwards, `bypass` keeps its value. */
  reset(): void {
    this.#forgetDriver();
    if (this.state.stream.wants('reset')) this.state.stream.emit({ kind: 'reset', system: false });
  }

  /** System reset, which follows `reset`: `bypass` is as the machine was started with. */
  systemReset(): void {
    const { settings, stream } = this.state;
    if (stream.wants('reset')) stream.emit({ kind: 'reset', system: true });
    const boots = settings.bootBypass && this.state.offers(VIRTIO_IOMMU_F_BYPASS_CONFIG);
    this.#setBypass(boots ? 1 : 0, 'system-reset');
  }

  snapshot(): PlainState {
    // A device that needs a reset will answer nothing any more.
    const parked = this.#host.live ? this.#parked : undefined;
    return {
      ...saveState(this.state, parked !== undefined),
      parked: parked && {
        used: parked.used,
        readable: parked.readable,
        request: this.#engine.bytes.slice(),
        reply: this.#engine.reply.slice(),
        status: this.#engine.status,
      },
    };
  }

  /**
   * Takes over a snapshot. The endpoints of that time must have been added, the queues restored.
   *
   * @throws FormatError when it is none, or names an endpoint that is not there
   */
  restore(saved: PlainState): void {
    const chain = this.#host.queue(VIRTIO_IOMMU_REQUESTQ)?.taken()[0];
    const room = chain && Math.min(chain.writableLength, this.#engine.reply.length);
    const parked = restoreState(this.state, saved, room);
    this.translation.forget();
    this.#parked = undefined;
    writeConfig(this.state, this.config);
    this.#relay.synchronise();
    if (parked && chain) {
      this.#engine.resume(parked);
      this.#park({ chain, readable: parked.readable, used: parked.used });
    }
    this.#checkHost();
  }

  /** What a notification of the request queue brings about; `served` requests of it are done. */
  #serve(served: number): void {
    const queue = this.#host.queue(VIRTIO_IOMMU_REQUESTQ);
    if (queue !== undefined && this.#parked === undefined) {
      const limit = this.state.settings.requestsPerKick;
      let done = served;
      while (done < limit && this.#parked === undefined && this.#host.live) {
        const chain = queue.pop();
        if (chain === undefined) break;
        this.#one(queue, chain);
        done++;
        if (this.#suspended) {
          this.#owed.unshift({ queue: VIRTIO_IOMMU_REQUESTQ, served: done });
          return;
        }
      }
      if (done > 0) this.#host.signal(VIRTIO_IOMMU_REQUESTQ);
      if (done === limit && this.#parked === undefined) {
        this.#host.kickLater(VIRTIO_IOMMU_REQUESTQ);
      }
    }
    this.#report();
  }

  #one(queue: DeviceQueue, chain: Chain): void {
    const { state } = this;
    const engine = this.#engine;
    state.requestSeen = true;
    state.counters.requests++;
    const size = engine.bytes.length;
    const wanted = chain.readableLength < size ? chain.readableLength : size;
    // A request in memory that cannot be read is one that cannot be parsed.
    const isRead = chain.reader.read(engine.bytes, 0, wanted) === wanted;
    const readable = isRead ? chain.readableLength : 0;
    const used = engine.execute(readable, chain.writableLength);
    if (state.pins.isWaiting) {
      state.counters.waited++;
      this.#park({ chain, readable, used });
      this.#checkHost();
      return;
    }
    this.#answer(queue, chain, readable, used);
  }

  #park(parked: Parked): void {
    this.#parked = parked;
    this.state.pins.onResume(() => this.#resume(parked));
  }

  /** The last access that a request waited for is over. */
  #resume(parked: Parked): void {
    const queue = this.#host.queue(VIRTIO_IOMMU_REQUESTQ);
    if (queue === undefined) {
      this.#forgetParked();
      return;
    }
    this.#parked = undefined;
    this.#answer(queue, parked.chain, parked.readable, parked.used);
    this.#host.signal(VIRTIO_IOMMU_REQUESTQ);
    // Not at once: whoever released the access is an endpoint in the middle of its work.
    this.#host.kickLater(VIRTIO_IOMMU_REQUESTQ);
  }

  /** The driver took the queue away: what the request did stands, and listeners are told of it. */
  #forgetParked(): void {
    if (this.#parked) this.#engine.tell(this.#parked.readable, 0);
    this.#parked = undefined;
  }

  #answer(queue: DeviceQueue, chain: Chain, readable: number, used: number): void {
    const engine = this.#engine;
    const written = used > 0 ? chain.writer.write(engine.reply, engine.replyAt, used) : 0;
    queue.push(chain, written);
    engine.tell(readable, written);
    if (this.state.broken !== undefined) this.#checkHost();
  }

  #report(): void {
    if (this.state.faults.size === 0) return;
    const queue = this.#host.queue(VIRTIO_IOMMU_EVENTQ);
    if (queue === undefined) return;
    const outcome = sendReports(this.state, queue);
    this.#host.signal(VIRTIO_IOMMU_EVENTQ);
    if (outcome === 'more') this.#host.kickLater(VIRTIO_IOMMU_EVENTQ);
  }

  #setBypass(value: 0 | 1, cause: 'driver' | 'system-reset'): void {
    if (this.state.bypass === value) return;
    this.state.bypass = value;
    this.state.epoch++;
    writeConfig(this.state, this.config);
    this.#relay.synchronise();
    this.#checkHost();
    if (this.stream.wants('bypass'))
      this.stream.emit({ kind: 'bypass', value: value === 1, cause });
  }

  #forgetDriver(): void {
    const { state } = this;
    this.#owed.splice(0);
    this.#forgetParked();
    state.counters.resets++;
    state.forgetDriver();
    this.#relay.synchronise();
    this.#checkHost();
  }

  /** Nobody knows what a host that failed us lets its endpoints reach. */
  #checkHost(): void {
    const why = this.state.broken;
    if (why === undefined || this.#host === NOBODY) return;
    this.state.broken = undefined;
    this.#host.needsReset(why);
  }
}
