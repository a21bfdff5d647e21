import { hex, type Range } from '../bytes/index.ts';
import { linuxPciName } from '../spec/pci.ts';
import type {
  CoverageRow,
  Doorbell,
  Endpoint,
  Model,
  PciHost,
  ReservedRegion,
  Viommu,
} from '../topology/index.ts';

/** What JSON can hold; 64-bit numbers are strings `0x…`. */
export type Json =
  string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** Version of the form of `topology.json`; it grows when a reader would have to change. */
export const RESOLVED_VERSION = 1;

/**
 * The topology with everything resolved, for programs: addresses as `0x…`, PCI functions as
 * `0000:00:02.0`, endpoint IDs and phandles as numbers. The order of keys and rows is fixed.
 */
export function resolvedJson(model: Model, phandles: ReadonlyMap<string, number>): Json {
  return {
    format: 'viommu-topo resolved topology',
    version: RESOLVED_VERSION,
    name: model.name,
    description: model.description,
    board: model.board,
    arch: model.arch,
    guest: {
      ...(model.guest.kernel === undefined
        ? {}
        : { kernel: `${model.guest.kernel.major}.${model.guest.kernel.minor}` }),
      pageSize: hex(model.guest.pageSize),
    },
    cpus: model.cpus,
    memory: model.memory.map(range),
    ...(model.gic === undefined
      ? {}
      : {
          gic: {
            version: model.gic.version,
            distributor: range(model.gic.distributor),
            cpuInterface: range(model.gic.cpuInterface),
          },
        }),
    hosts: model.hosts.map(host),
    viommus: model.viommus.map(viommu),
    endpoints: model.endpoints.map(endpoint),
    doorbells: model.doorbells.map(doorbell),
    reservedRegions: model.reserved.map(region),
    coverage: model.coverage.map(coverage),
    phandles: Object.fromEntries([...phandles].toSorted(byPath)),
  };
}

function byPath([a]: readonly [string, number], [b]: readonly [string, number]): number {
  return a < b ? -1 : 1;
}

function range({ start, end }: Range): Json {
  return { start: hex(start), end: hex(end) };
}

function numbers({ start, end }: Range<number>): Json {
  return { start, end };
}

/** A key whose value is absent is left out of the JSON. */
function optional(key: string, value: Json | undefined): { readonly [key: string]: Json } {
  return value === undefined ? {} : { [key]: value };
}

function host(it: PciHost): Json {
  return {
    id: it.id,
    kind: it.kind,
    segment: it.segment,
    buses: numbers(it.buses),
    ecam: range(it.ecam),
    ...optional('io', it.io && range(it.io)),
    mem32: range(it.mem32),
    ...optional('mem64', it.mem64 && range(it.mem64)),
    endpointIdBase: it.endpointIdBase,
    ...optional('viommu', it.viommu),
    ...optional('doorbell', it.doorbell),
    ...optional('dmaRange', it.dmaRange && range(it.dmaRange)),
    bridges: it.bridges.map(({ id, kind, rid, buses, hotplug }) => {
      return { id, kind, at: linuxPciName(rid, it.segment), rid, buses: numbers(buses), hotplug };
    }),
  };
}

function viommu(it: Viommu): Json {
  const { transport } = it;
  return {
    id: it.id,
    transport:
      transport.kind === 'pci'
        ? {
            kind: 'pci',
            host: transport.host,
            at: linuxPciName(transport.rid, transport.segment),
            rid: transport.rid,
          }
        : {
            kind: 'mmio',
            base: hex(transport.base),
            size: hex(transport.size),
            interrupt: transport.interrupt,
            legacy: transport.legacy,
          },
    pageSizeMask: hex(it.pageSizeMask),
    granule: hex(it.granule),
    inputRange: range(it.inputRange),
    domainRange: numbers(it.domainRange),
    probeSize: it.probeSize,
    bootBypass: it.bootBypass,
    features: it.features,
    requestQueue: { size: it.requestQueue.size, ring: it.requestQueue.ring },
    eventQueue: { size: it.eventQueue.size, ring: it.eventQueue.ring },
  };
}

function endpoint(it: Endpoint): Json {
  const { location, device } = it;
  return {
    id: it.id,
    location:
      location.kind === 'pci'
        ? {
            kind: 'pci',
            host: location.host,
            first: linuxPciName(location.rids.start, location.segment),
            last: linuxPciName(location.rids.end, location.segment),
            rids: numbers(location.rids),
          }
        : {
            kind: 'platform',
            base: hex(location.base),
            size: hex(location.size),
            ...optional('interrupt', location.interrupt),
            compatible: location.compatible,
          },
    ...optional(
      'device',
      device && {
        kind: device.kind,
        accessPlatform: device.accessPlatform,
        bootable: device.bootable,
        ...optional('size', device.size === undefined ? undefined : hex(device.size)),
        options: Object.fromEntries(Object.entries(device.options).toSorted(byName)),
      },
    ),
    ...optional('viommu', it.viommu),
    ...optional('endpointId', it.endpointId),
    explicitId: it.explicitId,
  };
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

function doorbell(it: Doorbell): Json {
  return {
    id: it.id,
    kind: it.kind,
    frame: range(it.frame),
    window: range(it.window),
    delivery: it.delivery,
    ...optional('spis', it.spis && { base: it.spis.base, count: it.spis.count }),
  };
}

function region(it: ReservedRegion): Json {
  return {
    id: it.id,
    range: range(it.range),
    type: it.type,
    via: it.via,
    endpoints: it.endpoints,
    ...optional('viommu', it.viommu),
    ...optional('physical', it.physical && range(it.physical)),
  };
}

function coverage(it: CoverageRow): Json {
  return {
    host: it.host,
    segment: it.segment,
    first: linuxPciName(it.rids.start, it.segment),
    last: linuxPciName(it.rids.end, it.segment),
    rids: numbers(it.rids),
    viommu: it.viommu,
    endpointId: it.endpointId,
  };
}
