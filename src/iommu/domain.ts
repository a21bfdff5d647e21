import type { Endpoint } from './endpoint.ts';
import { MappingTree } from './mapping-tree.ts';
import type { Pin } from './pins.ts';
import type { PassthroughPort } from './port.ts';

/**
 * An address space that endpoints share: mappings, or, for a bypass domain, the identity.
 * It exists while an endpoint is attached (VIRTIO 1.3, "DETACH request").
 */
export class Domain {
  readonly id: number;
  readonly bypass: boolean;
  readonly mappings: MappingTree = new MappingTree();
  readonly endpoints: Set<Endpoint> = new Set();
  /** Ports of its endpoints, each once. */
  readonly ports: PassthroughPort[] = [];
  /** Endpoints that have reserved regions, so that MAP need not look at the others. */
  readonly restricted: Endpoint[] = [];
  /** Accesses in flight through it, of endpoints that may have left it meanwhile. */
  readonly pins: Set<Pin> = new Set();

  constructor(id: number, bypass: boolean) {
    this.id = id;
    this.bypass = bypass;
  }

  add(endpoint: Endpoint): void {
    this.endpoints.add(endpoint);
    endpoint.domain = this;
    this.#recount();
  }

  remove(endpoint: Endpoint): void {
    this.endpoints.delete(endpoint);
    endpoint.domain = undefined;
    this.#recount();
  }

  /** Whether it is the domain of its ID still: without endpoints it has ceased to exist. */
  get exists(): boolean {
    return this.endpoints.size > 0;
  }

  /** Whether the range has an address that some endpoint of the domain reserves. */
  isReserved(startHi: number, startLo: number, endHi: number, endLo: number): boolean {
    for (const endpoint of this.restricted) {
      if (endpoint.regions.meets(startHi, startLo, endHi, endLo)) return true;
    }
    return false;
  }

  #recount(): void {
    const all = [...this.endpoints];
    this.restricted.splice(0, Infinity, ...all.filter(({ regions }) => regions.size > 0));
    this.ports.splice(0, Infinity, ...new Set(all.flatMap(({ port }) => port ?? [])));
  }
}
