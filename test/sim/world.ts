import { HostContainer, HOST_BASE, HostPort } from '../../src/host-iommu/index.ts';
import type { Canary, EndpointOptions } from '../../src/iommu/index.ts';
import { GuestMemory, hiOf, loOf, TranslatedDma } from '../../src/memory/index.ts';
import { Rig } from '../support/iommu-rig.ts';
import { Model, show, type ModelEndpoint, type ModelRegion } from './model.ts';

export const LAST = (1n << 64n) - 1n;
const MEMORY_SIZE = 1n << 20n;
const PENDING = 6;
const MSI: ModelRegion = { start: 0xfee0_0000n, end: 0xfeef_ffffn, msi: true };
const LOW: ModelRegion = { start: 0x3000n, end: 0x4fffn, msi: false };
/** What lies beyond the 48 bits of a host. */
const BEYOND: ModelRegion = { start: 1n << 48n, end: LAST, msi: false };

export const ENDPOINTS: readonly ModelEndpoint[] = [
  { id: 1, regions: [], passed: false },
  { id: 2, regions: [MSI], passed: false },
  { id: 3, regions: [LOW, MSI], passed: false },
  { id: 0x1_0001, regions: [], passed: false },
  { id: 7, regions: [BEYOND], passed: true },
  { id: 8, regions: [MSI, BEYOND], passed: true },
];

interface Expected {
  readonly reason: number;
  readonly flags: number;
  readonly endpoint: number;
  readonly address: bigint;
}

/** A vIOMMU with all around it, and beside it the model. */
export class World {
  readonly rig: Rig;
  readonly model: Model;
  readonly containers = new Map<number, HostContainer>();
  dma = new Map<number, TranslatedDma>();
  readonly canary: Canary | undefined;

  /** Reports that wait for a buffer, and those that must have arrived. */
  #pending: Expected[] = [];
  #arrived: Expected[] = [];
  #buffers = 0;
  #seen = false;
  readonly #last = new Map<number, { at: bigint; write: boolean }>();

  constructor(index: number, canary: Canary | undefined) {
    this.canary = canary;
    const memory = new GuestMemory();
    const endpoints: EndpointOptions[] = ENDPOINTS.map(({ id, regions, passed }) => {
      const own = regions.filter((region) => region !== BEYOND);
      const reserved = own.map(({ start, end, msi }) => ({
        range: { start, end },
        type: msi ? ('msi' as const) : ('reserved' as const),
      }));
      if (!passed) return { id, reserved };
      const container = new HostContainer();
      this.containers.set(id, container);
      return { id, reserved, port: new HostPort(container, memory) };
    });
    const bootBypass = index % 2 === 1;
    this.rig = new Rig({
      endpoints,
      memory,
      bootBypass,
      quiet: true,
      eventBuffers: [],
      domainRange: { start: 0, end: 6 },
      inputRange: { start: 0n, end: index % 3 === 2 ? LAST >> 8n : LAST },
      limits: { domains: 4, mappingsPerDomain: 12, pendingFaults: PENDING },
      ring: (1n << 32n) | (index % 2 === 0 ? 0n : 1n << 34n) | (1n << 28n),
    });
    this.model = new Model(
      {
        granule: 0x1000n,
        domainEnd: 6,
        inputEnd: index % 3 === 2 ? LAST >> 8n : LAST,
        domains: 4,
        mappingsPerDomain: 12,
        memorySize: MEMORY_SIZE,
        bootBypass,
      },
      ENDPOINTS,
    );
    this.#renew();
  }

  /** After each request. */
  seen(): void {
    this.#seen = true;
    this.#deliver();
  }

  expectFault(reason: number, endpoint: number, write: boolean, address: bigint): void {
    const report = { reason, flags: 0x100 | (write ? 2 : 1), endpoint, address };
    this.#deliver();
    if (this.#pending.length < PENDING) this.#pending.push(report);
    this.#deliver();
  }

  giveBuffer(kick: boolean): void {
    if (this.rig.event.free === 0) return;
    this.rig.giveEventBuffer(24, kick);
    this.#buffers++;
    if (kick) this.#deliver();
  }

  /** Compares the records in the event queue with those that must be there. */
  checkReports(): void {
    const got = this.rig.faults().map((bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      return `${bytes.length} ${view.getUint32(0, true)} ${view.getUint32(4, true)} ${view.getUint32(8, true)} ${view.getUint32(12, true)} ${view.getBigUint64(16, true)}`;
    });
    const want = this.#arrived.map(
      ({ reason, flags, endpoint, address }) => `24 ${reason} ${flags} ${endpoint} 0 ${address}`,
    );
    this.#arrived = [];
    same('fault reports', got, want);
  }

  /** The device was reset: what waited is gone, and so are the buffers. */
  forget(): void {
    this.rig.faults();
    this.#pending = [];
    this.#arrived = [];
    this.#buffers = 0;
    this.#seen = false;
    this.model.reset();
  }

  reboot(system: boolean): void {
    for (const container of this.containers.values()) container.heal();
    if (system) {
      this.rig.core.systemReset();
      this.model.bypass = this.model.limits.bootBypass;
    }
    this.rig.boot();
    this.forget();
    this.#renewCanary();
  }

  /** A snapshot, restored in a new device with new containers. */
  migrate(): void {
    const before = JSON.stringify(this.rig.core.snapshot(), plain);
    for (const container of this.containers.values()) {
      container.heal();
      container.unmapAll();
    }
    this.rig.migrate();
    same('snapshot', JSON.stringify(this.rig.core.snapshot(), plain), before);
    this.#renew();
  }

  /** The hosts hold what the model says, and the domains are the same. */
  check(): void {
    for (const [id, container] of this.containers) {
      const held = container
        .list()
        .map(({ iova, vaddr }) => show(iova.start, iova.end, vaddr - HOST_BASE))
        .toSorted();
      same(`host of endpoint ${id}`, held, this.model.hostContent(id));
    }
    same('number of domains', this.rig.device.state.domains.size, this.model.domains.size);
  }

  /** Every mapping and attachment, compared: for now and then. */
  checkAll(): void {
    for (const [id, { mappings, endpoints }] of this.model.domains) {
      const domain = this.rig.device.state.domains.get(id);
      const got = [...(domain?.mappings.entries() ?? [])].map((m) =>
        show(m.start, m.end, m.physical),
      );
      const want = mappings
        .toSorted((a, b) => (a.start < b.start ? -1 : 1))
        .map((m) => show(m.start, m.end, m.phys));
      same(`mappings of domain ${id}`, got, want);
      const members = [...(domain?.endpoints ?? [])].map((endpoint) => endpoint.id);
      const ascending = (a: number, b: number): number => a - b;
      same(
        `endpoints of domain ${id}`,
        members.toSorted(ascending),
        [...endpoints].toSorted(ascending),
      );
    }
  }

  /** One byte through the vIOMMU, by an endpoint that keeps its translations. */
  access(id: number, at: bigint, write: boolean, value: number): void {
    this.#last.set(id, { at, write });
    const dma = this.dma.get(id);
    if (dma === undefined) throw new Error('no such endpoint');
    const want = this.model.access(id, at, write);
    const got = write ? dma.writeU8(hiOf(at), loOf(at), value) : dma.readU8(hiOf(at), loOf(at));
    if ('fault' in want) {
      same('access', got, write ? false : -1);
      this.expectFault(want.fault === 'domain' ? 1 : 2, id, write, at);
    } else if ('msi' in want || want.physical >= MEMORY_SIZE)
      same('access', got, write ? false : -1);
    else if (write) {
      same('write', got, true);
      same('byte written', this.rig.ram[Number(want.physical)], value);
    } else same('byte read', got, this.rig.ram[Number(want.physical)]);
  }

  /** The last access of that endpoint once more. */
  repeatAccess(id: number, value: number): void {
    const last = this.#last.get(id);
    if (last) this.access(id, last.at, last.write, value);
  }

  #deliver(): void {
    if (!this.#seen) return;
    while (this.#pending.length > 0 && this.#buffers > 0) {
      this.#buffers--;
      const first = this.#pending.shift();
      if (first) this.#arrived.push(first);
    }
  }

  #renew(): void {
    this.dma = new Map(ENDPOINTS.map(({ id }) => [id, this.rig.dma(id)]));
    this.#renewCanary();
  }

  #renewCanary(): void {
    this.rig.device.state.canary = this.canary;
  }
}

/** Calls to hosts are counted, and a restore makes new ones: `relayed` is left out. */
export function plain(key: string, value: unknown): unknown {
  if (key === 'relayed') return 0;
  if (typeof value === 'bigint') return `${value}n`;
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
}

export class Difference extends Error {}

export function same(what: string, got: unknown, want: unknown): void {
  if (got === want) return;
  const [a, b] = [JSON.stringify(got, plain), JSON.stringify(want, plain)];
  if (a !== b) throw new Difference(`${what}: device ${a}, model ${b}`);
}
