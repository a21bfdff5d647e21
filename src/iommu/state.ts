import { VIRTIO_IOMMU_F_BYPASS, VIRTIO_IOMMU_F_BYPASS_CONFIG } from '../spec/virtio-iommu.ts';
import { newCounters, type Counters } from './counters.ts';
import type { Domain } from './domain.ts';
import type { Endpoint } from './endpoint.ts';
import { PendingFaults, reportOf, type FaultReason, type FaultReport } from './faults.ts';
import type { Settings } from './options.ts';
import { BASE_PROPERTIES, type PropertySource } from './properties.ts';
import { PinTable } from './pins.ts';
import type { Request, RequestType } from './request.ts';
import { IommuStream } from './stream.ts';
import { lower, upper, wide } from './wide.ts';

/** Everything a vIOMMU knows. Requests, translation and device are functions of it. */
export class IommuState {
  readonly settings: Settings;
  readonly endpoints: Map<number, Endpoint> = new Map();
  readonly domains: Map<number, Domain> = new Map();
  readonly pins: PinTable = new PinTable();
  readonly faults: PendingFaults;
  readonly counters: Counters = newCounters();
  readonly stream: IommuStream = new IommuStream();

  /** `config.bypass`: 0 or 1. */
  bypass: number;
  /** Negotiated device features, bits 0–6; 0 before DRIVER_OK. */
  negotiated = 0;
  /** Whether a request was seen since the last reset. */
  requestSeen = false;
  /** Grows whenever a translation given before may be void. */
  epoch = 1;
  /** Mappings of all domains. */
  mappings = 0;
  /** The host could not be brought back to a known state: the device must be reset. */
  broken: string | undefined;
  /** Told when a report was queued. */
  onReport: (() => void) | undefined;
  /**
   * Fault injection: the status that a request gets without being looked at; undefined: it is
   * treated as any other. Never set by anything but a debugger.
   */
  refuse: ((type: RequestType, request: Request) => number | undefined) | undefined;
  /** A bug to be switched on, which tests must catch; never set by product code. */
  canary: Canary | undefined;

  /** What PROBE reports. */
  readonly properties: readonly PropertySource[];

  /** Limits as halves. */
  bounds: Bounds;

  #lastDomain: Domain | undefined;

  constructor(settings: Settings, properties: readonly PropertySource[] = []) {
    this.settings = settings;
    this.properties = [...BASE_PROPERTIES, ...properties];
    this.bypass = settings.bootBypass && this.offers(VIRTIO_IOMMU_F_BYPASS_CONFIG) ? 1 : 0;
    this.faults = new PendingFaults(settings.pendingFaults);
    this.bounds = boundsOf(settings);
  }

  offers(bit: number): boolean {
    return (this.settings.offered & (1 << bit)) !== 0;
  }

  has(bit: number): boolean {
    return (this.negotiated & (1 << bit)) !== 0;
  }

  /** What an endpoint without a domain may do (VIRTIO 1.3, "Device operations", bypass). */
  get unattachedBypass(): boolean {
    if (this.offers(VIRTIO_IOMMU_F_BYPASS_CONFIG)) return this.bypass === 1;
    return this.has(VIRTIO_IOMMU_F_BYPASS);
  }

  /** The domain of that ID; drivers tend to ask for the same one again. */
  domain(id: number): Domain | undefined {
    const last = this.#lastDomain;
    if (last !== undefined && last.id === id) return last;
    const found = this.domains.get(id);
    if (found !== undefined) this.#lastDomain = found;
    return found;
  }

  addDomain(domain: Domain): void {
    this.domains.set(domain.id, domain);
  }

  /** The domain ceases to exist, and its mappings with it. */
  removeDomain(domain: Domain): void {
    this.mappings -= domain.mappings.size;
    this.counters.unmapped += domain.mappings.size;
    domain.mappings.clear();
    this.domains.delete(domain.id);
    this.#lastDomain = undefined;
  }

  /** Device reset ("Device operations"): no endpoint is attached, so no domain exists. */
  forgetDriver(): void {
    this.pins.cancelAll();
    for (const domain of this.domains.values()) {
      for (const endpoint of domain.endpoints) domain.remove(endpoint);
      this.counters.unmapped += domain.mappings.size;
    }
    this.domains.clear();
    this.#lastDomain = undefined;
    this.mappings = 0;
    this.faults.clear();
    this.negotiated = 0;
    this.requestSeen = false;
    this.epoch++;
  }

  /** An access was refused: counts it, tells listeners, and queues a record. */
  fault(reason: FaultReason, endpoint: number, access: number, hi: number, lo: number): void {
    if (reason === 'domain') this.counters.faultsDomain++;
    else if (reason === 'mapping') this.counters.faultsMapping++;
    else this.counters.faultsUnknown++;
    const report = this.report(reportOf(reason, endpoint, access, hi, lo));
    this.tellFault(reason, endpoint, access, hi, lo, report);
    if (report === 'queued') this.onReport?.();
  }

  /** Queues a record for the driver, if there is room. */
  report(report: FaultReport): 'queued' | 'dropped' {
    // The driver may have given buffers without a notification: those that wait go first.
    if (this.faults.isFull) this.onReport?.();
    if (this.faults.add(report)) return 'queued';
    this.counters.reportsDropped++;
    return 'dropped';
  }

  tellFault(
    reason: FaultReason,
    endpoint: number,
    access: number,
    hi: number,
    lo: number,
    report: 'queued' | 'dropped' | 'silent',
  ): void {
    if (!this.stream.wants('fault')) return;
    this.stream.emit({ kind: 'fault', reason, endpoint, access, address: wide(hi, lo), report });
  }
}

/** Bugs that a test can plant; each must be caught by the simulation. */
export type Canary =
  /** UNMAP leaves the last page of what it removes reachable. */
  | 'unmap-keeps-translation'
  /** DETACH forgets to end translations handed out before. */
  | 'detach-keeps-epoch'
  /** Writes pass read-only mappings. */
  | 'write-ignores-flags';

/** Ranges and granule of the settings, as halves. */
export interface Bounds {
  granuleHi: number;
  granuleLo: number;
  readonly inputStartHi: number;
  readonly inputStartLo: number;
  readonly inputEndHi: number;
  readonly inputEndLo: number;
  readonly physStartHi: number;
  readonly physStartLo: number;
  readonly physEndHi: number;
  readonly physEndLo: number;
}

/** Limits of the settings as halves. */
export function boundsOf({ pageSizeMask, inputRange, physicalRange }: Settings): Bounds {
  const within = granuleMask(pageSizeMask);
  return {
    granuleHi: upper(within),
    granuleLo: lower(within),
    inputStartHi: upper(inputRange.start),
    inputStartLo: lower(inputRange.start),
    inputEndHi: upper(inputRange.end),
    inputEndLo: lower(inputRange.end),
    physStartHi: upper(physicalRange.start),
    physStartLo: lower(physicalRange.start),
    physEndHi: upper(physicalRange.end),
    physEndLo: lower(physicalRange.end),
  };
}

/** Bits of an address inside the granule: the lowest set bit of the mask, less one. */
export function granuleMask(pageSizeMask: bigint): bigint {
  return (pageSizeMask & -pageSizeMask) - 1n;
}
