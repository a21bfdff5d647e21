import { contains, overlaps, type Range } from '../bytes/index.ts';
import { linuxPciName } from '../spec/pci.ts';
import {
  hostRegions,
  type DefaultDomain,
  type Doorbell,
  type Endpoint,
  type Model,
  type PciHost,
} from '../topology/index.ts';
import { isAt, placeName } from './names.ts';
import type { GuestDevice, Observation } from './observation.ts';

/** Where Linux puts the software MSI window (drivers/iommu: MSI_IOVA_BASE, MSI_IOVA_LENGTH). */
export const SW_MSI_WINDOW: Range = { start: 0x800_0000n, end: 0x80f_ffffn };

/** What one device of the topology must look like in the guest. */
export interface ExpectedEndpoint {
  readonly endpoint: Endpoint;
  readonly id: string;
  /** `disk0 (00:02.0)`. */
  readonly label: string;
  /** Behind a vIOMMU, and the guest is expected to use it. */
  readonly translated: boolean;
  readonly viommu?: string;
  readonly endpointId?: number;
  /** Any of these; undefined: whatever the kernel's default is, as long as it translates. */
  readonly groupTypes: readonly string[];
  readonly works: boolean;
  /** Its driver maps buffers by itself (through the DMA API) as soon as it is used. */
  readonly maps: boolean;
  /** Those that share a group have the same. */
  readonly groupKey: string;
}

/** DMA-API domains of Linux: strict, and with a flush queue. */
const DMA_TYPES = ['DMA', 'DMA-FQ'] as const;

/** What a group of a translating vIOMMU shows under each kind of default domain. */
const TYPES_OF: Readonly<Record<DefaultDomain, readonly string[]>> = {
  identity: ['identity'],
  strict: ['DMA'],
  lazy: ['DMA-FQ'],
};

/** Kinds that Debian's stock kernel has a driver for that does DMA without being told. */
const DRIVEN = new Set(['virtio-blk', 'virtio-net', 'virtio-rng', 'e1000e', 'nvme', 'xhci']);

/** The devices a guest can show: one function each, with something in it. */
export function expectedEndpoints(model: Model): ExpectedEndpoint[] {
  return model.endpoints.filter(isDevice).map((endpoint) => expectedOf(model, endpoint));
}

function isDevice(endpoint: Endpoint): boolean {
  if (endpoint.device === undefined) return false;
  return endpoint.location.kind === 'platform' || endpoint.location.form === 'function';
}

function expectedOf(model: Model, endpoint: Endpoint): ExpectedEndpoint {
  const own = model.expect.endpoints[endpoint.id];
  const translated = own?.translated ?? endpoint.viommu !== undefined;
  const device = endpoint.device;
  const wanted = model.guest.defaultDomain;
  const types = wanted === undefined ? DMA_TYPES : TYPES_OF[wanted];
  const identity = own?.groupType === 'identity' || (!own?.groupType && wanted === 'identity');
  return {
    endpoint,
    id: endpoint.id,
    label: `${endpoint.id} (${placeName(endpoint.location)})`,
    translated,
    ...(endpoint.viommu === undefined ? {} : { viommu: endpoint.viommu }),
    ...(endpoint.endpointId === undefined ? {} : { endpointId: endpoint.endpointId }),
    groupTypes: own?.groupType === undefined ? types : [own.groupType],
    works: own?.works ?? true,
    maps:
      translated &&
      !identity &&
      (own?.works ?? true) &&
      device !== undefined &&
      DRIVEN.has(device.kind) &&
      (device.accessPlatform || !device.kind.startsWith('virtio-')),
    groupKey: groupKey(model, endpoint),
  };
}

/**
 * Which devices Linux cannot tell apart (drivers/iommu/iommu.c, pci_device_group): functions of one
 * slot without ACS, and everything below a bridge to conventional PCI. Root ports have ACS.
 */
function groupKey(model: Model, endpoint: Endpoint): string {
  const { location } = endpoint;
  if (location.kind === 'platform') return `platform/${location.base.toString(16)}`;
  const host = model.hosts.find((candidate) => candidate.id === location.host);
  const bus = location.rids.start >>> 8;
  const bridge = host?.bridges.find(
    (candidate) => candidate.kind === 'pcie-pci-bridge' && contains(candidate.buses, bus),
  );
  if (bridge !== undefined) return `pci/${linuxPciName(bridge.rid, location.segment)}`;
  return `pci/${linuxPciName(location.rids.start & ~7, location.segment)}`;
}

/** The guest's device at an endpoint's place. */
export function guestDevice(observation: Observation, endpoint: Endpoint): GuestDevice | undefined {
  return observation.guest.devices.find((device) => isAt(device.name, endpoint.location));
}

/** The host bridge an endpoint is below. */
export function hostOf(model: Model, endpoint: Endpoint): PciHost | undefined {
  const { location } = endpoint;
  return location.kind === 'pci'
    ? model.hosts.find((host) => host.id === location.host)
    : undefined;
}

/** The doorbell an endpoint's MSIs go to. */
export function doorbellOf(model: Model, endpoint: Endpoint): Doorbell | undefined {
  const id = hostOf(model, endpoint)?.doorbell;
  return id === undefined ? undefined : model.doorbells.find((doorbell) => doorbell.id === id);
}

export interface ExpectedRegion {
  readonly range: Range;
  /** As sysfs prints it: `msi`, `reserved`, `direct`. */
  readonly type: string;
  /** What it is, for messages: `doorbell its0`. */
  readonly what: string;
}

/** What `/sys/kernel/iommu_groups/N/reserved_regions` must hold for a group of these endpoints. */
export function expectedRegions(model: Model, endpoints: readonly Endpoint[]): ExpectedRegion[] {
  const regions: ExpectedRegion[] = [];
  for (const endpoint of endpoints) {
    const own = model.reserved.filter(
      (region) =>
        region.endpoints.includes(endpoint.id) ||
        (region.viommu !== undefined && region.viommu === endpoint.viommu),
    );
    for (const { id, range, type, physical, via } of own) {
      // Linux turns a region whose physical address differs into a plain reservation.
      const moved = physical !== undefined && physical.start !== range.start;
      const shown =
        type === 'direct' && (moved || !via.includes('device-tree')) ? 'reserved' : type;
      regions.push({ range, type: shown, what: `region ${id}` });
    }
    const doorbell = doorbellOf(model, endpoint);
    for (const range of hostRegions(model, endpoint)) {
      regions.push({ range, type: 'reserved', what: `host of ${endpoint.id}` });
    }
    const msiByProbe = own.some((region) => region.type === 'msi' && region.via.includes('probe'));
    if (doorbell?.delivery === 'reserved') {
      regions.push({ range: doorbell.window, type: 'msi', what: `doorbell ${doorbell.id}` });
    } else if (!msiByProbe) {
      regions.push({ range: SW_MSI_WINDOW, type: 'msi', what: "Linux's software MSI window" });
    }
  }
  return merged(regions);
}

/** Regions of one type that touch become one, as Linux shows them (iommu_insert_resv_region). */
export function merged<T extends { readonly range: Range; readonly type: string }>(
  regions: readonly T[],
): T[] {
  const sorted = regions.toSorted((a, b) =>
    a.range.start < b.range.start ? -1 : a.range.start > b.range.start ? 1 : 0,
  );
  const out: T[] = [];
  for (const region of sorted) {
    const at = out.findIndex(
      (other) => other.type === region.type && overlaps(other.range, region.range),
    );
    const last = out[at];
    if (last === undefined) {
      out.push(region);
    } else if (region.range.end > last.range.end) {
      out[at] = { ...last, range: { start: last.range.start, end: region.range.end } };
    }
  }
  return out;
}
