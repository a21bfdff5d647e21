import { contains, hex, overlaps, showRange, type Range } from '../bytes/index.ts';
import { VIRTIO_IOMMU_MAP_F_READ, VIRTIO_IOMMU_MAP_F_WRITE } from '../spec/virtio-iommu.ts';
import type { Model } from '../topology/index.ts';
import type { AccessEvent, DeviceEvent, MapEvent } from './events.ts';
import { expectedRegions } from './expected.ts';

/** An access that should not have been, and why. */
export interface Stray {
  readonly event: DeviceEvent;
  readonly why: string;
}

/** What came of looking at every event of a run, one by one. */
export interface AuditRecord {
  /** Accesses through a vIOMMU that were looked at. */
  readonly accesses: number;
  /** Accesses that no live mapping of their endpoint's domain allows, the first of them. */
  readonly strays: readonly Stray[];
  readonly strayCount: number;
  /** Accesses inside a region that the endpoint must leave alone, the first of them. */
  readonly trespasses: readonly Stray[];
  readonly trespassCount: number;
  /** Where each endpoint's MSIs went, after translation: different addresses, ascending. */
  readonly doorbells: readonly {
    readonly viommu: string;
    readonly endpoint: number;
    readonly addresses: readonly bigint[];
  }[];
  /** False: the guest made more mappings than are followed, and later accesses were not judged. */
  readonly complete: boolean;
}

const KEPT = 20;
const ADDRESSES_MAX = 16;
/** Mappings followed at once: a stock guest has some thousands. */
const MAPPINGS_MAX = 262_144;

interface Mapping {
  readonly virt: Range;
  readonly phys: bigint;
  readonly flags: number;
}

/** A domain: its mappings by address, and who is in it. */
interface Domain {
  /** Ascending, disjoint. */
  readonly mappings: Mapping[];
  readonly members: Set<string>;
}

/**
 * Second bookkeeping beside the device's own: from the requests alone it knows which mappings live,
 * and holds every access and every MSI against them. It shares no code with the device.
 *
 * Needs a backend whose events are complete: `access`, `map`, `unmap`, `attach`, `detach`, `msi`,
 * `status` and `viommu`.
 */
export class AccessAudit {
  readonly #reserved = new Map<string, readonly Range[]>();
  readonly #domains = new Map<string, Domain>();
  /** `viommu/endpoint` → `viommu/domain`. */
  readonly #attached = new Map<string, string>();
  readonly #doorbells = new Map<string, Set<bigint>>();
  readonly #strays: Stray[] = [];
  readonly #trespasses: Stray[] = [];
  #accesses = 0;
  #strayCount = 0;
  #trespassCount = 0;
  #mappings = 0;
  #complete = true;

  constructor(model: Model) {
    for (const endpoint of model.endpoints) {
      if (endpoint.viommu === undefined || endpoint.endpointId === undefined) continue;
      const regions = expectedRegions(model, [endpoint]).filter(({ type }) => type === 'reserved');
      this.#reserved.set(
        `${endpoint.viommu}/${endpoint.endpointId}`,
        regions.map(({ range }) => range),
      );
    }
  }

  add(event: DeviceEvent): void {
    const { viommu } = event;
    if (viommu === undefined || (event.status !== undefined && event.status !== 0)) return;
    switch (event.kind) {
      case 'attach':
        this.#attach(`${viommu}/${event.endpoint}`, `${viommu}/${event.domain}`);
        break;
      case 'detach':
        this.#leave(`${viommu}/${event.endpoint}`);
        break;
      case 'map':
        this.#map(`${viommu}/${event.domain}`, event);
        break;
      case 'unmap':
        this.#unmap(`${viommu}/${event.domain}`, event.virt);
        break;
      case 'access':
        if (event.how === 'translated') this.#judge(`${viommu}/${event.endpoint}`, event);
        break;
      case 'msi':
        this.#message(`${viommu}/${event.endpoint}`, event.address);
        break;
      default:
    }
  }

  /** Mappings alive in the domain that an endpoint is attached to. */
  mappings(viommu: string, endpoint: number): number {
    return (
      this.#domains.get(this.#attached.get(`${viommu}/${endpoint}`) ?? '')?.mappings.length ?? 0
    );
  }

  /** The machine was reset: nothing is attached any more. */
  reset(): void {
    this.#domains.clear();
    this.#attached.clear();
    this.#mappings = 0;
  }

  finish(): AuditRecord {
    return {
      accesses: this.#accesses,
      strays: this.#strays,
      strayCount: this.#strayCount,
      trespasses: this.#trespasses,
      trespassCount: this.#trespassCount,
      doorbells: Array.from(this.#doorbells, ([key, addresses]) => ({
        viommu: key.slice(0, key.lastIndexOf('/')),
        endpoint: Number(key.slice(key.lastIndexOf('/') + 1)),
        addresses: [...addresses].toSorted((a, b) => (a < b ? -1 : 1)),
      })),
      complete: this.#complete,
    };
  }

  /** ATTACH to another domain leaves the first; a domain without endpoints is gone, mappings too. */
  #attach(who: string, key: string): void {
    if (this.#attached.get(who) === key) return;
    this.#leave(who);
    const domain = this.#domains.get(key) ?? { mappings: [], members: new Set<string>() };
    domain.members.add(who);
    this.#domains.set(key, domain);
    this.#attached.set(who, key);
  }

  #leave(who: string): void {
    const key = this.#attached.get(who) ?? '';
    const domain = this.#domains.get(key);
    this.#attached.delete(who);
    domain?.members.delete(who);
    if (domain === undefined || domain.members.size > 0) return;
    this.#mappings -= domain.mappings.length;
    this.#domains.delete(key);
  }

  #map(key: string, { virt, phys, flags }: MapEvent): void {
    const domain = this.#domains.get(key);
    if (domain === undefined) return;
    if (this.#mappings >= MAPPINGS_MAX) {
      this.#complete = false;
      return;
    }
    domain.mappings.splice(firstAfter(domain.mappings, virt.start), 0, { virt, phys, flags });
    this.#mappings++;
  }

  #unmap(key: string, { start, end }: Range): void {
    const { mappings } = this.#domains.get(key) ?? { mappings: [] };
    let from = firstAfter(mappings, start);
    if ((mappings[from - 1]?.virt.end ?? -1n) >= start) from--;
    let until = from;
    while ((mappings[until]?.virt.start ?? end + 1n) <= end) until++;
    mappings.splice(from, until - from);
    this.#mappings -= until - from;
  }

  #judge(who: string, event: DeviceEvent & AccessEvent): void {
    if (!this.#complete) return;
    this.#accesses++;
    const { iova, length = 1, write } = event;
    const range = { start: iova, end: iova + BigInt(Math.max(length, 1)) - 1n };
    const why = this.#refusal(who, range, write);
    if (why !== undefined) {
      this.#strayCount++;
      if (this.#strays.length < KEPT) this.#strays.push({ event, why });
    }
    const region = this.#reserved.get(who)?.find((one) => overlaps(one, range));
    if (region === undefined) return;
    this.#trespassCount++;
    if (this.#trespasses.length < KEPT) {
      this.#trespasses.push({ event, why: `${showRange(range)} is in ${showRange(region)}` });
    }
  }

  /** Why an access should have faulted; undefined: it is covered. */
  #refusal(who: string, { start, end }: Range, write: boolean): string | undefined {
    const domain = this.#domains.get(this.#attached.get(who) ?? '');
    if (domain === undefined) return 'its endpoint is in no domain';
    const needed = write ? VIRTIO_IOMMU_MAP_F_WRITE : VIRTIO_IOMMU_MAP_F_READ;
    for (let at = start; at <= end;) {
      const mapping = domain.mappings[firstAfter(domain.mappings, at) - 1];
      if (mapping === undefined || !contains(mapping.virt, at)) {
        return `nothing is mapped at ${hex(at)}`;
      }
      if ((mapping.flags & needed) === 0) {
        return `the mapping ${showRange(mapping.virt)} may not be ${write ? 'written' : 'read'}`;
      }
      at = mapping.virt.end + 1n;
    }
    return undefined;
  }

  #message(who: string, iova: bigint): void {
    const domain = this.#domains.get(this.#attached.get(who) ?? '');
    const mapping = domain?.mappings[firstAfter(domain.mappings, iova) - 1];
    const mapped = mapping !== undefined && contains(mapping.virt, iova);
    const address = mapped ? mapping.phys + (iova - mapping.virt.start) : iova;
    const seen = this.#doorbells.get(who) ?? new Set<bigint>();
    if (seen.size < ADDRESSES_MAX) this.#doorbells.set(who, seen.add(address));
  }
}

/** Index of the first mapping that starts above an address. */
function firstAfter(mappings: readonly Mapping[], address: bigint): number {
  let low = 0;
  let high = mappings.length;
  while (low < high) {
    const mid = (low + high) >>> 1;
    if ((mappings[mid]?.virt.start ?? 0n) <= address) low = mid + 1;
    else high = mid;
  }
  return low;
}
