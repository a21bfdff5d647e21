import {
  DirectDma,
  TranslatedDma,
  type DmaSpace,
  type DoorbellSink,
  type GuestMemory,
} from '../memory/index.ts';
import { doorbellSink, type MsiDoorbell, type PciFunction } from '../pci/index.ts';
import { deviceIdBase, type Endpoint, type Model } from '../topology/index.ts';
import {
  MmioTransport,
  VirtioCore,
  type VirtioEvent,
  type VirtioOptions,
} from '../virtio/index.ts';
import type { MmioBus } from './bus.ts';
import type { CoverageIndex } from './coverage.ts';
import { makeFunction, makeVirtio, ringOptions } from './devices.ts';
import type { InterruptLines } from './interrupts.ts';
import type { MachineOptions } from './options.ts';
import { hostSideOf, type HostEvent } from './passthrough.ts';
import { Route } from './route.ts';
import type { MachineHost, Unit } from './unit.ts';

/** What the parts of a machine are made with. */
export interface Workshop {
  readonly model: Model;
  readonly options: MachineOptions;
  readonly memory: GuestMemory;
  readonly bus: MmioBus;
  readonly lines: InterruptLines;
  readonly bells: readonly MsiDoorbell[];
  readonly coverage: CoverageIndex;
  readonly wake: () => void;
  readonly tell: (device: string, event: VirtioEvent) => void;
  /** What the host of a passed-through device did. */
  readonly tellHost: (device: string, event: HostEvent) => void;
}

/** Doorbells as a function below that host bridge rings them. */
export function bellSink(
  shop: Workshop,
  at: MachineHost,
  fn: () => PciFunction | undefined,
): DoorbellSink {
  const base = deviceIdBase(shop.model, at.host);
  return doorbellSink(shop.bells, () => {
    const rid = fn()?.requesterId;
    return rid === undefined ? undefined : base + rid;
  });
}

/** Options that all virtio devices share. */
export function virtioOptions(shop: Workshop, id: string): Pick<VirtioOptions, 'wake' | 'onEvent'> {
  return { wake: shop.wake, onEvent: (event) => shop.tell(id, event) };
}

/**
 * How the device goes about VIRTIO_F_ACCESS_PLATFORM: behind a vIOMMU a driver without it would pass
 * addresses that mean something else.
 */
function access(endpoint: Endpoint): NonNullable<VirtioOptions['accessPlatform']> {
  if (endpoint.device?.accessPlatform !== true) return 'absent';
  return endpoint.viommu === undefined ? 'offered' : 'demanded';
}

/** Kinds that go through their vIOMMU whatever they negotiate. */
function translates(endpoint: Endpoint): boolean {
  const { device, passthrough } = endpoint;
  // The host's IOMMU asks nobody.
  if (passthrough !== undefined) return true;
  return device === undefined || device.accessPlatform || !device.kind.startsWith('virtio-');
}

/** An endpoint of the topology as a PCI function that is not plugged in yet. */
export function pciEndpoint(
  shop: Workshop,
  endpoint: Endpoint,
  at: MachineHost,
  express: boolean,
): Unit {
  const { model, options, memory } = shop;
  const { id } = endpoint;
  const route = new Route();
  const held: { fn?: PciFunction } = {};
  const dma = new TranslatedDma(
    memory,
    route,
    0,
    bellSink(shop, at, () => held.fn),
  );
  const { fn, core, engine } = makeFunction(endpoint, {
    options,
    dma,
    express,
    index: model.endpoints.indexOf(endpoint),
    virtio: { ...virtioOptions(shop, id), accessPlatform: access(endpoint) },
  });
  held.fn = fn;
  return {
    id,
    kind: 'endpoint',
    pci: { at, fn },
    route,
    dma,
    translates: translates(endpoint),
    endpoint,
    ...hostSideOf(endpoint, memory, (event) => shop.tellHost(id, event)),
    ...(core === undefined ? {} : { core }),
    ...(engine === undefined ? {} : { engine }),
  };
}

/** A platform device of the topology; its registers are on the bus afterwards. */
export function platformEndpoint(shop: Workshop, endpoint: Endpoint): Unit | undefined {
  const { location, id } = endpoint;
  const virtio = makeVirtio(endpoint, {
    options: shop.options,
    index: shop.model.endpoints.indexOf(endpoint),
  });
  if (location.kind !== 'platform' || virtio === undefined) return undefined;
  const route = new Route();
  const dma = new TranslatedDma(shop.memory, route, 0);
  const core = new VirtioCore(virtio, {
    ...virtioOptions(shop, id),
    ...ringOptions(endpoint, shop.options),
    accessPlatform: access(endpoint),
    dma,
  });
  const mmio = mmioPart(shop, id, core, location, 2);
  return {
    id,
    kind: 'endpoint',
    mmio,
    core,
    route,
    dma,
    translates: translates(endpoint),
    endpoint,
    ...hostSideOf(endpoint, shop.memory, (event) => shop.tellHost(id, event)),
  };
}

/** Memory that only doorbells stand beside. */
export function directDma(shop: Workshop, bells?: DoorbellSink): DmaSpace {
  return new DirectDma(shop.memory, bells);
}

/** Puts a device's virtio-mmio registers on the bus. */
export function mmioPart(
  shop: Workshop,
  name: string,
  core: VirtioCore,
  at: { readonly base: bigint; readonly size: bigint; readonly interrupt?: number },
  version: 1 | 2,
): NonNullable<Unit['mmio']> {
  const { interrupt } = at;
  const transport = new MmioTransport(core, {
    version,
    line: (level) => {
      if (interrupt !== undefined) shop.lines.set(interrupt, name, level);
    },
  });
  const base = Number(at.base);
  shop.bus.add({
    name,
    base,
    size: Number(at.size),
    read: (offset, size) => transport.read(offset, size),
    write: (offset, size, value) => transport.write(offset, size, value),
  });
  return { base, transport };
}
