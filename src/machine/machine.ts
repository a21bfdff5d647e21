import { sizeOf } from '../bytes/index.ts';
import { GuestMemory } from '../memory/index.ts';
import type { Endpoint, Model, Viommu } from '../topology/index.ts';
import { MmioBus } from './bus.ts';
import { CoverageIndex } from './coverage.ts';
import { makeDoorbells } from './doorbells.ts';
import { emptySlots } from './empty-slot.ts';
import { Events } from './events.ts';
import { busOf, isConventional, makeHost, plugBridges, portAbove } from './hosts.ts';
import { InterruptLines, type InterruptSink } from './interrupts.ts';
import type { MachineOptions } from './options.ts';
import { Placer } from './placer.ts';
import { restoreMachine, saveMachine, type MachineState } from './snapshot.ts';
import type { ListenOptions, MachineListener } from './stream.ts';
import type { MachineHost, MachineViommu, Unit } from './unit.ts';
import { iommuCore, iommuFunction, makeIommu } from './viommus.ts';
import {
  bellSink,
  directDma,
  mmioPart,
  pciEndpoint,
  platformEndpoint,
  virtioOptions,
  type Workshop,
} from './workshop.ts';

/** Kicks that devices owe themselves, done in one call of `settle`: a guest could ask without end. */
const ROUNDS_MAX = 100_000;

/**
 * A topology made real: RAM, buses, interrupt controllers' inputs, vIOMMUs and endpoints, at the
 * addresses that its firmware names. It does no I/O and reads no clock; whatever a guest does to it
 * through `memory` and `bus` happens at once, and nothing a guest does makes it throw.
 */
export class Machine {
  readonly model: Model;
  readonly memory: GuestMemory;
  readonly bus: MmioBus = new MmioBus();
  readonly lines: InterruptLines;
  /** Told of each interrupt. */
  onInterrupt: InterruptSink;
  readonly #hosts: MachineHost[] = [];
  readonly #viommus = new Map<string, MachineViommu>();
  readonly #units: Unit[] = [];
  readonly #events = new Events();
  readonly #shop: Workshop;
  readonly #placer: Placer;
  #waiting = false;

  /** @throws RangeError for a device that this machine cannot have; see `unsupported` */
  constructor(model: Model, options: MachineOptions = {}) {
    this.model = model;
    this.memory = options.memory ?? ramOf(model);
    this.onInterrupt = options.onInterrupt ?? (() => undefined);
    const raise: InterruptSink = (interrupt) => this.onInterrupt(interrupt);
    this.lines = new InterruptLines(raise);
    const bells = makeDoorbells(model.doorbells, raise);
    const coverage = new CoverageIndex(model);
    this.#shop = {
      model,
      options,
      memory: this.memory,
      bus: this.bus,
      lines: this.lines,
      bells: bells.all,
      coverage,
      wake: () => {
        this.#waiting = true;
        options.wake?.();
      },
      tell: (device, event) => this.#events.virtio(device, event),
      tellHost: (device, event) => this.#events.host(device, event, () => this.unit(device)),
    };
    this.#placer = new Placer(model, coverage, this.#viommus);
    for (const region of bells.regions) this.bus.add(region);
    for (const host of model.hosts) {
      const at = makeHost(this.#shop, host, () => this.#place());
      this.#hosts.push(at);
      for (const unit of plugBridges(this.#shop, at)) this.#adopt(unit);
    }
    for (const viommu of model.viommus) this.#addViommu(viommu);
    for (const endpoint of model.endpoints) {
      if (options.absent?.(endpoint) !== true) this.#add(endpoint, false);
    }
    const taken = new Set(this.#units.flatMap(({ mmio }) => (mmio ? [mmio.base] : [])));
    for (const slot of emptySlots(model.board, taken)) this.bus.add(slot);
    this.#place();
  }

  get hosts(): readonly MachineHost[] {
    return this.#hosts;
  }

  /** By topology id. */
  get viommus(): ReadonlyMap<string, MachineViommu> {
    return this.#viommus;
  }

  /** Everything that is plugged in. */
  get units(): readonly Unit[] {
    return this.#units;
  }

  /** An endpoint, bridge or vIOMMU by its topology id. */
  unit(id: string): Unit | undefined {
    return this.#units.find((unit) => unit.id === id);
  }

  /** Hears of everything that happens. @returns a function that ends the subscription */
  subscribe(listener: MachineListener, options: ListenOptions = {}): () => void {
    return this.#events.subscribe(listener, options);
  }

  /** Whether a device has work left that it put off. */
  get isWaiting(): boolean {
    return this.#waiting || this.#units.some(({ engine }) => engine?.busy === true);
  }

  /**
   * Lets each device do one round of the work it put off, and time pass for DMA engines. True when
   * some is left.
   */
  runPending(): boolean {
    this.#waiting = false;
    for (const { core, engine } of this.#units) {
      if (core?.runPending() === true) this.#waiting = true;
      engine?.step();
    }
    return this.isWaiting;
  }

  /** Whether someone looks for requests to vIOMMUs for a while: see `VirtioCore.watch`. */
  watch(on: boolean): void {
    for (const { core } of this.#viommus.values()) core.watch(on);
  }

  /** Whether there are requests that a vIOMMU was perhaps not notified of. */
  get hasRequests(): boolean {
    for (const { core } of this.#viommus.values()) if (core.hasMore) return true;
    return false;
  }

  /** Serves them; true when one was taken. */
  look(): boolean {
    let done = false;
    for (const { core } of this.#viommus.values()) if (core.look()) done = true;
    return done;
  }

  /** Runs until no device waits; false when that does not end (a guest that feeds itself). */
  settle(rounds: number = ROUNDS_MAX): boolean {
    for (let round = 0; round < rounds; round++)
      if (!this.isWaiting || !this.runPending()) return true;
    return false;
  }

  /**
   * Plugs in an endpoint of the topology that was unplugged, or one that it never had: below a root
   * port with an event for the guest. Its place must be free.
   *
   * @throws RangeError when it is not, or the machine cannot have it
   */
  plug(endpoint: Endpoint): Unit {
    if (this.unit(endpoint.id) !== undefined)
      throw new RangeError(`${endpoint.id} is there already`);
    const unit = this.#add(endpoint, true);
    if (unit === undefined) throw new RangeError(`${endpoint.id} is no device`);
    this.#place();
    return unit;
  }

  /** Pulls an endpoint by surprise; false when there is none. Below a root port the whole slot goes. */
  unplug(id: string): boolean {
    const unit = this.unit(id);
    if (unit === undefined || unit.kind !== 'endpoint') return false;
    const { pci, mmio } = unit;
    let gone: Unit[] = [unit];
    if (pci !== undefined) {
      const number = topologyBus(unit);
      const port = portAbove(pci.at, number);
      if (port === undefined) {
        busOf(pci.at, number).unplug(pci.fn.devfn);
      } else {
        const fns = new Set(port.eject());
        gone = this.#units.filter((other) => other.pci !== undefined && fns.has(other.pci.fn));
      }
    }
    if (mmio !== undefined) this.bus.remove(mmio.base);
    for (const one of gone) this.#units.splice(this.#units.indexOf(one), 1);
    this.#place();
    return true;
  }

  /** Power-on state of every device; RAM stays as it is. */
  reset(): void {
    for (const { pci } of this.#hosts) pci.reset();
    for (const { mmio } of this.#units) mmio?.transport.systemReset();
    this.#waiting = false;
    this.#place();
  }

  /** Everything, as plain data. `ram: false` leaves out what a VMM keeps. */
  snapshot({ ram = true }: { readonly ram?: boolean } = {}): MachineState {
    return saveMachine(this.#parts(), this.#events.order, ram);
  }

  /** @throws FormatError when the state is of another machine; it is half restored then */
  restore(state: MachineState): void {
    this.#waiting = false;
    restoreMachine(this.#parts(), state, () => this.#place());
    this.#events.order = state.order;
  }

  #parts(): { memory: GuestMemory; hosts: readonly MachineHost[]; units: readonly Unit[] } {
    return { memory: this.memory, hosts: this.#hosts, units: this.#units };
  }

  #place(): void {
    this.#placer.place(this.#units);
  }

  #adopt(unit: Unit): void {
    this.#units.push(unit);
    const { pci } = unit;
    if (pci !== undefined) pci.fn.onMessage = (message) => this.#events.message(unit, message);
  }

  #hostOf(id: string): MachineHost {
    const at = this.#hosts.find(({ host }) => host.id === id);
    if (at === undefined) throw new RangeError(`there is no host ${id}`);
    return at;
  }

  #addViommu(viommu: Viommu): void {
    const device = makeIommu(viommu);
    const { transport, id } = viommu;
    const common = virtioOptions(this.#shop, id);
    const base = { id, kind: 'viommu', translates: false } as const;
    if (transport.kind === 'pci') {
      const at = this.#hostOf(transport.host);
      const sink = bellSink(this.#shop, at, () => part.fn);
      const part = iommuFunction(viommu, device, directDma(this.#shop, sink), common);
      busOf(at, transport.rid >> 8).plug(transport.rid & 0xff, part.fn);
      this.#adopt({ ...base, pci: { at, fn: part.fn }, core: part.core });
      this.#keep({ viommu, device, core: part.core });
    } else {
      const core = iommuCore(viommu, device, directDma(this.#shop), common);
      const mmio = mmioPart(this.#shop, id, core, transport, transport.legacy ? 1 : 2);
      this.#adopt({ ...base, mmio, core });
      this.#keep({ viommu, device, core });
    }
  }

  #keep(viommu: MachineViommu): void {
    this.#viommus.set(viommu.viommu.id, viommu);
    this.#events.addViommu(viommu);
  }

  /** Undefined for what is no device: a range, or a platform device that we have no model of. */
  #add(endpoint: Endpoint, hot: boolean): Unit | undefined {
    const { location, device } = endpoint;
    if (device === undefined) return undefined;
    if (location.kind === 'platform') {
      const unit = platformEndpoint(this.#shop, endpoint);
      if (unit !== undefined) this.#adopt(unit);
      return unit;
    }
    if (location.form !== 'function') return undefined;
    const at = this.#hostOf(location.host);
    const number = location.rids.start >> 8;
    const unit = pciEndpoint(this.#shop, endpoint, at, !isConventional(at, number));
    const { fn } = unit.pci ?? {};
    if (fn === undefined) return undefined;
    const devfn = location.rids.start & 0xff;
    const port = portAbove(at, number);
    if (port === undefined) busOf(at, number).plug(devfn, fn);
    else if (hot) port.insert(fn, devfn);
    else port.install(fn, devfn);
    this.#adopt(unit);
    return unit;
  }
}

/** Number that the topology gives to the bus that a PCI endpoint is on. */
function topologyBus({ endpoint }: Unit): number {
  return endpoint?.location.kind === 'pci' ? endpoint.location.rids.start >> 8 : 0;
}

/** RAM of zeros where the topology has RAM. */
function ramOf(model: Model): GuestMemory {
  return new GuestMemory(
    model.memory.map((range) => ({
      gpa: range.start,
      bytes: new Uint8Array(Number(sizeOf(range))),
    })),
  );
}

/** A topology made real. @throws RangeError for a device that no machine of ours can have */
export function buildMachine(model: Model, options: MachineOptions = {}): Machine {
  return new Machine(model, options);
}
