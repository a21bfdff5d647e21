import { hex, type Range } from '../bytes/index.ts';
import {
  listDomains,
  listEndpoints,
  listMappings,
  showEvent,
  translateSpan,
  type IommuEvent,
} from '../iommu/index.ts';
import type { Machine, MachineEvent, MachineViommu, Unit } from '../machine/index.ts';
import { ACCESS_READ, ACCESS_WRITE, hiOf, loOf } from '../memory/index.ts';
import type {
  AccessAudit,
  LeftMapping,
  MachineRecord,
  StartRecord,
  Stray,
  UnbindRecord,
} from '../scenario/index.ts';
import { VIRTIO_IOMMU_S_OK } from '../spec/virtio-iommu.ts';

/** Of each list, what is kept. */
const KEPT = 20;
const STARTS_MAX = 64;
const UNBINDS_MAX = 1000;
/** Endpoints of one vIOMMU looked at when it starts: a topology may have 65,536 times four. */
const ENDPOINTS_MAX = 4096;
/** Addresses looked at after one UNMAP; of larger ones, both ends and what is between evenly. */
const ADDRESSES_MAX = 64n;

/** Looks into a machine of ours at the moments that matter, and keeps what it found. */
export class MachineWatch {
  readonly #machine: Machine;
  readonly #audit: AccessAudit;
  readonly #starts: StartRecord[] = [];
  readonly #unbinds: UnbindRecord[] = [];
  readonly #unbound = new Set<string>();
  readonly #left: Stray[] = [];
  #leftCount = 0;
  #unmaps = 0;
  #largest = 0;
  /** By vIOMMU: notifications counted when the last UNMAP came, ranges since, the address after. */
  readonly #batches = new Map<string, { kicks: number; unmaps: number; next: bigint }>();

  constructor(machine: Machine, audit: AccessAudit) {
    this.#machine = machine;
    this.#audit = audit;
  }

  /** Before the guest's first instruction. */
  started(moment: StartRecord['moment']): void {
    this.#unbound.clear();
    const at = this.#machine.model.memory[0]?.start ?? 0n;
    for (const [viommu, { device }] of this.#machine.viommus) {
      if (this.#starts.length >= STARTS_MAX) return;
      const { state, translation } = device;
      const endpoints = listEndpoints(state)
        .slice(0, ENDPOINTS_MAX)
        .map(({ id }) => id);
      const passing = endpoints.filter((id) => {
        const span = translateSpan(state, translation, id, at, 4n, ACCESS_WRITE);
        return 'pieces' in span && span.pieces[0]?.physical === at;
      });
      const domains = listDomains(state).length;
      this.#starts.push({ viommu, moment, endpoints, passing, domains });
    }
  }

  event(event: MachineEvent): void {
    if (event.source !== 'viommu' || event.event.kind !== 'request') return;
    const { name, status, fields } = event.event;
    if (name !== 'unmap' || status !== VIRTIO_IOMMU_S_OK) return;
    const { domain, virt } = fields;
    const viommu = this.#machine.viommus.get(event.viommu);
    if (viommu === undefined || domain === undefined || virt === undefined) return;
    this.#unmapped(viommu, domain, virt, event.order, event.event);
  }

  /** The guest says that it unbound the driver of this endpoint. */
  unbound(endpointId: string): void {
    const endpoint = this.#machine.model.endpoints.find(({ id }) => id === endpointId);
    const { viommu, endpointId: id } = endpoint ?? {};
    if (viommu === undefined || id === undefined) return;
    this.#unbound.add(`${viommu}/${id}`);
    const state = this.#machine.viommus.get(viommu)?.device.state;
    if (state === undefined || this.#unbinds.length >= UNBINDS_MAX) return;
    const domain = listDomains(state).find(({ endpoints }) => endpoints.includes(id));
    const mappings: LeftMapping[] = [];
    for (const { start, end, physical } of listMappings(state, domain?.id ?? -1)) {
      if (mappings.length >= KEPT) break;
      mappings.push({ virt: { start, end }, phys: physical });
    }
    this.#unbinds.push({
      viommu,
      endpoint: id,
      others: (domain?.endpoints ?? []).filter((one) => !this.#unbound.has(`${viommu}/${one}`)),
      mappings,
      count: domain?.mappings ?? 0,
      counted: this.#audit.mappings(viommu, id),
    });
  }

  /** The guest says that it bound a driver again. */
  bound(endpointId: string): void {
    const endpoint = this.#machine.model.endpoints.find(({ id }) => id === endpointId);
    this.#unbound.delete(`${endpoint?.viommu ?? ''}/${endpoint?.endpointId ?? ''}`);
  }

  finish(): MachineRecord {
    const { length } = this.#starts;
    return {
      starts: this.#starts.slice(0, length),
      unmaps: {
        count: this.#unmaps,
        largestBatch: this.#largest,
        left: this.#left,
        leftCount: this.#leftCount,
      },
      unbinds: this.#unbinds,
    };
  }

  #unmapped(
    { viommu, device }: MachineViommu,
    domain: number,
    virt: Range,
    order: number,
    event: IommuEvent,
  ): void {
    this.#unmaps++;
    this.#count(viommu.id, device.state.counters.kicks, virt);
    const why = this.#reachable({ viommu, device }, domain, virt);
    if (why === undefined) return;
    this.#leftCount++;
    if (this.#left.length >= KEPT) return;
    const told = { kind: 'unmap', order, domain, virt, text: showEvent(event) } as const;
    this.#left.push({ event: told, why });
  }

  /** Linux takes a range apart into sizes of pages: what continues the one before is one with it. */
  #count(viommu: string, kicks: number, { start, end }: Range): void {
    const batch = this.#batches.get(viommu) ?? { kicks: -1, unmaps: 0, next: -1n };
    if (batch.kicks !== kicks) batch.unmaps = 1;
    else if (batch.next !== start) batch.unmaps++;
    batch.kicks = kicks;
    batch.next = end + 1n;
    this.#batches.set(viommu, batch);
    this.#largest = Math.max(this.#largest, batch.unmaps);
  }

  /** What of a range that was unmapped can still be reached; undefined: nothing. */
  #reachable(
    { viommu, device }: Pick<MachineViommu, 'viommu' | 'device'>,
    domain: number,
    virt: Range,
  ): string | undefined {
    const { state, translation } = device;
    for (const { id } of state.domains.get(domain)?.endpoints ?? []) {
      const unit = this.#unitOf(viommu.id, id);
      for (const address of samples(virt, viommu.granule)) {
        for (const access of [ACCESS_READ, ACCESS_WRITE]) {
          const span = translateSpan(state, translation, id, address, 1n, access);
          if ('pieces' in span && span.pieces[0]?.how === 'memory') {
            return `endpoint ${id} still reaches ${hex(address)}`;
          }
        }
        if (unit?.dma?.keeps(hiOf(address), loOf(address)) === true) {
          return `endpoint ${id} has kept the translation of ${hex(address)}`;
        }
      }
    }
    return undefined;
  }

  #unitOf(viommu: string, endpoint: number): Unit | undefined {
    return this.#machine.units.find(
      ({ placed }) => placed?.viommu === viommu && placed.endpointId === endpoint,
    );
  }
}

/** Addresses of a range: each granule's first and the last of all, or as many as are looked at. */
function* samples({ start, end }: Range, granule: bigint): Generator<bigint> {
  const granules = (end - start) / granule + 1n;
  const step = granules <= ADDRESSES_MAX ? 1n : granules / ADDRESSES_MAX;
  for (let index = 0n; index < granules; index += step) yield start + index * granule;
  yield end;
}
