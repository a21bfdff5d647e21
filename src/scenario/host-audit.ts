import { overlaps, type Range } from '../bytes/index.ts';
import { VIRTIO_IOMMU_MAP_F_READ, VIRTIO_IOMMU_MAP_F_WRITE } from '../spec/virtio-iommu.ts';
import type { Model } from '../topology/index.ts';
import type { DeviceEvent, HostCallEvent, HostFaultEvent } from './events.ts';
import { clipped, insertAt, joined, removeFrom, sameMappings, type Piece } from './pieces.ts';

/** What the host of one passed-through endpoint was seen to do. */
export interface HostRecord {
  readonly viommu: string;
  readonly endpoint: number;
  /** Calls that succeeded. */
  readonly maps: number;
  readonly unmaps: number;
  /** Calls that failed, the first of them. */
  readonly refusals: readonly (DeviceEvent & HostCallEvent)[];
  readonly refusalCount: number;
  /** Requests after which host and domain differed, the first of them, and how. */
  readonly differences: readonly { readonly event: DeviceEvent; readonly why: string }[];
  readonly differenceCount: number;
  /** Accesses that the host refused, the first of them. */
  readonly faults: readonly (DeviceEvent & HostFaultEvent)[];
}

const KEPT = 200;
/** Mappings followed at once. */
const MAPPINGS_MAX = 262_144;

const BOTH = VIRTIO_IOMMU_MAP_F_READ | VIRTIO_IOMMU_MAP_F_WRITE;
const EVERYTHING: Range = { start: 0n, end: (1n << 64n) - 1n };

interface Host {
  readonly viommu: string;
  readonly endpoint: number;
  /** What its container holds, by its calls alone. */
  live: Piece[];
  domain: string | undefined;
  maps: number;
  unmaps: number;
  refusalCount: number;
  differenceCount: number;
  readonly refusals: (DeviceEvent & HostCallEvent)[];
  readonly differences: { event: DeviceEvent; why: string }[];
  readonly faults: (DeviceEvent & HostFaultEvent)[];
}

/**
 * Holds the host of each passed-through endpoint against the requests of the guest: after each of
 * them the container must hold what the domain does, with the same addresses and rights. It knows
 * the requests and the calls, and shares no code with the device that relays them.
 */
export class HostAudit {
  readonly #hosts = new Map<string, Host>();
  /** `viommu/domain` → its mappings. */
  readonly #domains = new Map<string, Piece[]>();
  /** `viommu/endpoint` → `viommu/domain`, of all endpoints: a domain ends with its last one. */
  readonly #attached = new Map<string, string>();
  #mappings = 0;

  constructor(model: Model) {
    for (const { viommu, endpointId, passthrough } of model.endpoints) {
      if (passthrough === undefined || viommu === undefined || endpointId === undefined) continue;
      this.#hosts.set(`${viommu}/${endpointId}`, {
        viommu,
        endpoint: endpointId,
        live: [],
        domain: undefined,
        maps: 0,
        unmaps: 0,
        refusalCount: 0,
        differenceCount: 0,
        refusals: [],
        differences: [],
        faults: [],
      });
    }
  }

  add(event: DeviceEvent): void {
    const { viommu } = event;
    if (viommu === undefined || this.#hosts.size === 0) return;
    switch (event.kind) {
      case 'host-call':
        this.#call(event);
        break;
      case 'host-fault': {
        const host = this.#hosts.get(`${viommu}/${event.endpoint}`);
        if (host !== undefined && host.faults.length < KEPT) host.faults.push(event);
        break;
      }
      case 'attach':
        if (!failed(event)) this.#attach(`${viommu}/${event.endpoint}`, event);
        break;
      case 'detach':
        if (!failed(event)) this.#leave(`${viommu}/${event.endpoint}`);
        break;
      case 'map':
      case 'unmap':
        this.#change(`${viommu}/${event.domain}`, event);
        break;
      default:
    }
  }

  finish(): readonly HostRecord[] {
    return Array.from(
      this.#hosts.values(),
      ({ live: _live, domain: _domain, ...record }) => record,
    );
  }

  #call(event: DeviceEvent & HostCallEvent): void {
    const host = this.#hosts.get(`${event.viommu ?? ''}/${event.endpoint}`);
    if (host === undefined) return;
    if (event.errno !== undefined) {
      host.refusalCount++;
      if (host.refusals.length < KEPT) host.refusals.push(event);
      return;
    }
    const { call, virt, phys = 0n, access = 0 } = event;
    if (call === 'map' && virt !== undefined) {
      host.maps++;
      if (host.live.length < MAPPINGS_MAX) insertAt(host.live, { virt, phys, access });
    } else if (call === 'unmap' && virt !== undefined) {
      host.unmaps++;
      removeFrom(host.live, virt);
    } else if (call === 'unmap-all') host.live = [];
  }

  #attach(who: string, event: DeviceEvent & { readonly kind: 'attach' }): void {
    const key = `${event.viommu ?? ''}/${event.domain}`;
    if (this.#attached.get(who) !== key) this.#leave(who);
    this.#attached.set(who, key);
    const host = this.#hosts.get(who);
    // In a domain that bypasses the host maps all memory, which no request tells of.
    if (event.bypass === true) return;
    const domain = this.#domains.get(key) ?? [];
    this.#domains.set(key, domain);
    if (host === undefined) return;
    host.domain = key;
    this.#compare(host, domain, EVERYTHING, event);
  }

  #leave(who: string): void {
    const key = this.#attached.get(who);
    this.#attached.delete(who);
    const host = this.#hosts.get(who);
    if (host !== undefined) host.domain = undefined;
    if (key === undefined || [...this.#attached.values()].includes(key)) return;
    this.#mappings -= this.#domains.get(key)?.length ?? 0;
    this.#domains.delete(key);
  }

  /** A MAP or UNMAP, whatever became of it: in its range host and domain are the same afterwards. */
  #change(key: string, event: DeviceEvent & { readonly kind: 'map' | 'unmap' }): void {
    const domain = this.#domains.get(key);
    if (domain === undefined) return;
    if (!failed(event)) {
      if (event.kind === 'unmap') this.#mappings -= removeFrom(domain, event.virt);
      else if (this.#mappings < MAPPINGS_MAX && (event.flags & ~BOTH) === 0) {
        insertAt(domain, { virt: event.virt, phys: event.phys, access: event.flags & BOTH });
        this.#mappings++;
      } else return;
    }
    for (const host of this.#hosts.values()) {
      if (host.domain === key) this.#compare(host, domain, event.virt, event);
    }
  }

  #compare(host: Host, domain: readonly Piece[], range: Range, event: DeviceEvent): void {
    const wanted = joined(clipped(domain, range).filter(({ access }) => access !== 0));
    const has = joined(clipped(host.live, range));
    if (sameMappings(wanted, has)) return;
    host.differenceCount++;
    if (host.differences.length >= KEPT) return;
    const more = has.find(({ virt }) => !wanted.some((one) => overlaps(one.virt, virt)));
    const why =
      has.length < wanted.length
        ? 'the host does not map all of it'
        : more === undefined
          ? 'the host maps it elsewhere, or with other rights'
          : 'the host maps what the guest does not';
    host.differences.push({ event, why });
  }
}

function failed({ status }: DeviceEvent): boolean {
  return status !== undefined && status !== 0;
}
