/**
 * What a virtio-iommu must do, said as plainly as possible: lists, bigint, no caches. Shares nothing
 * with the device.
 */
export interface ModelMapping {
  readonly start: bigint;
  readonly end: bigint;
  readonly phys: bigint;
  readonly flags: number;
}

interface ModelDomain {
  readonly bypass: boolean;
  readonly endpoints: Set<number>;
  mappings: ModelMapping[];
}

export interface ModelRegion {
  readonly start: bigint;
  readonly end: bigint;
  readonly msi: boolean;
}

export interface ModelEndpoint {
  readonly id: number;
  readonly regions: readonly ModelRegion[];
  readonly passed: boolean;
}

export interface ModelRequest {
  readonly op: 'attach' | 'detach' | 'map' | 'unmap';
  readonly domain: number;
  readonly endpoint: number;
  readonly start: bigint;
  readonly end: bigint;
  readonly phys: bigint;
  readonly flags: number;
  readonly reserved: boolean;
}

export interface ModelLimits {
  readonly granule: bigint;
  readonly domainEnd: number;
  readonly inputEnd: bigint;
  readonly domains: number;
  readonly mappingsPerDomain: number;
  readonly memorySize: bigint;
  readonly bootBypass: boolean;
}

const OK = 0;
const UNSUPP = 2;
const INVAL = 4;
const RANGE = 5;
const NOENT = 6;
const FAULT = 7;
const NOMEM = 8;
const SPACE = 1n << 64n;

export type Access =
  { readonly physical: bigint } | { readonly fault: 'domain' | 'mapping' } | { readonly msi: true };

export class Model {
  readonly limits: ModelLimits;
  readonly endpoints: ReadonlyMap<number, ModelEndpoint>;
  domains = new Map<number, ModelDomain>();
  bypass: boolean;

  constructor(limits: ModelLimits, endpoints: readonly ModelEndpoint[]) {
    this.limits = limits;
    this.endpoints = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]));
    this.bypass = limits.bootBypass;
  }

  reset(): void {
    this.domains.clear();
  }

  domainOf(endpoint: number): number | undefined {
    for (const [id, domain] of this.domains) if (domain.endpoints.has(endpoint)) return id;
    return undefined;
  }

  /** The status that the request must get, before anything is done. */
  judge(r: ModelRequest): number {
    switch (r.op) {
      case 'attach':
        return this.#judgeAttach(r);
      case 'detach':
        if (!this.endpoints.has(r.endpoint)) return NOENT;
        return this.domainOf(r.endpoint) === r.domain ? OK : INVAL;
      case 'map':
        return this.#judgeMap(r);
      default:
        return this.#judgeUnmap(r);
    }
  }

  #judgeAttach(r: ModelRequest): number {
    if ((r.flags & ~1) !== 0 || r.reserved) return INVAL;
    const endpoint = this.endpoints.get(r.endpoint);
    if (endpoint === undefined) return NOENT;
    if (r.domain > this.limits.domainEnd) return RANGE;
    const bypass = r.flags === 1;
    const target = this.domains.get(r.domain);
    const old = this.domainOf(r.endpoint);
    if (target && target.bypass !== bypass) return INVAL;
    if (target && old === r.domain) return OK;
    if (target?.mappings.some((m) => endpoint.regions.some((g) => meet(m, g)))) return UNSUPP;
    const dies = old !== undefined && this.domains.get(old)?.endpoints.size === 1 ? 1 : 0;
    if (!target && this.domains.size - dies >= this.limits.domains) return NOMEM;
    if (endpoint.passed && target && !target.mappings.every((m) => this.#hostTakes(m))) {
      return old === undefined ? RANGE : UNSUPP;
    }
    return OK;
  }

  #judgeMap(r: ModelRequest): number {
    if ((r.flags & ~7) !== 0) return INVAL;
    const target = this.domains.get(r.domain);
    if (target === undefined) return NOENT;
    if (target.bypass || r.end < r.start) return INVAL;
    const { granule, inputEnd } = this.limits;
    if ([r.start, r.end + 1n, r.phys].some((at) => at % granule !== 0n)) return RANGE;
    if (r.end > inputEnd) return RANGE;
    if (r.phys + (r.end - r.start) >= SPACE) return FAULT;
    const members = [...target.endpoints].map((id) => this.endpoints.get(id));
    if (members.some((e) => e?.regions.some((g) => meet(r, g)))) return INVAL;
    if (target.mappings.some((m) => meet(m, r))) return INVAL;
    if (target.mappings.length >= this.limits.mappingsPerDomain) return NOMEM;
    return members.some((e) => e?.passed) && !this.#hostTakes(r) ? RANGE : OK;
  }

  #judgeUnmap(r: ModelRequest): number {
    if (r.reserved) return INVAL;
    const target = this.domains.get(r.domain);
    if (target === undefined) return NOENT;
    if (target.bypass || r.end < r.start) return INVAL;
    const touched = target.mappings.filter((m) => meet(m, r));
    return touched.some((m) => m.start < r.start || m.end > r.end) ? RANGE : OK;
  }

  apply(r: ModelRequest): void {
    if (r.op === 'map') {
      const { start, end, phys, flags } = r;
      this.domains.get(r.domain)?.mappings.push({ start, end, phys, flags });
    } else if (r.op === 'unmap') {
      const domain = this.domains.get(r.domain);
      if (domain) domain.mappings = domain.mappings.filter((m) => !meet(m, r));
    } else if (r.op === 'detach') this.#leave(r.endpoint);
    else if (this.domainOf(r.endpoint) !== r.domain) {
      this.#leave(r.endpoint);
      const found = this.domains.get(r.domain);
      const domain = found ?? { bypass: r.flags === 1, endpoints: new Set(), mappings: [] };
      domain.endpoints.add(r.endpoint);
      this.domains.set(r.domain, domain);
    }
  }

  #leave(endpoint: number): void {
    for (const [id, domain] of this.domains) {
      if (domain.endpoints.delete(endpoint) && domain.endpoints.size === 0) this.domains.delete(id);
    }
  }

  access(id: number, at: bigint, write: boolean): Access {
    const own = this.domainOf(id);
    if (own === undefined) return this.bypass ? { physical: at } : { fault: 'domain' };
    const domain = this.domains.get(own);
    const region = this.endpoints.get(id)?.regions.find((g) => g.start <= at && at <= g.end);
    if (region) return region.msi && write ? { msi: true } : { fault: 'mapping' };
    if (domain?.bypass) return { physical: at };
    const m = domain?.mappings.find(({ start, end }) => start <= at && at <= end);
    if (m === undefined || (m.flags & (write ? 2 : 1)) === 0) return { fault: 'mapping' };
    return { physical: m.phys + (at - m.start) };
  }

  /** What the host of a passed-through endpoint must hold: `start:end:phys`, sorted. */
  hostContent(id: number): string[] {
    const own = this.domainOf(id);
    const bypassed = own === undefined ? this.bypass : this.domains.get(own)?.bypass;
    if (bypassed) return [show(0n, this.limits.memorySize - 1n, 0n)];
    const mappings = own === undefined ? [] : (this.domains.get(own)?.mappings ?? []);
    return mappings
      .filter(({ flags }) => isRelayed(flags))
      .map(({ start, end, phys }) => show(start, end, phys))
      .toSorted();
  }

  #hostTakes(m: { start: bigint; end: bigint; phys: bigint; flags: number }): boolean {
    return !isRelayed(m.flags) || m.phys + (m.end - m.start) < this.limits.memorySize;
  }
}

function isRelayed(flags: number): boolean {
  return (flags & 3) !== 0 && (flags & 4) === 0;
}

export function show(start: bigint, end: bigint, phys: bigint): string {
  return `${start.toString(16)}:${end.toString(16)}:${phys.toString(16)}`;
}

export function meet(
  a: { readonly start: bigint; readonly end: bigint },
  b: { readonly start: bigint; readonly end: bigint },
): boolean {
  return a.start <= b.end && b.start <= a.end;
}
