import { showBdf, splitRequesterId } from '../spec/pci.ts';
import type {
  Endpoint,
  EndpointDevice,
  Model,
  PciBridge,
  PciHost,
  Viommu,
} from '../topology/index.ts';
import {
  argument,
  propertyList,
  type Argument,
  type ArgumentGroup,
  type Property,
} from './argument.ts';
import { busName, qemuId, rootBusName } from './bus-numbers.ts';
import type { QemuVersion } from './version.ts';
import { qemuAtLeast } from './version.ts';
import { virtioMmioSlot } from './virt-board.ts';

/** `02.3`: device and function as `addr=` takes them. */
export function slotAddress(rid: number): string {
  const { device, fn } = splitRequesterId(rid);
  return `${device.toString(16).padStart(2, '0')}.${fn}`;
}

/** Requester IDs that something sits on, so that function 0 of a shared slot can say so. */
export function occupied(model: Model, hostId: string): Set<number> {
  const rids = new Set<number>();
  for (const viommu of model.viommus) {
    if (viommu.transport.kind === 'pci' && viommu.transport.host === hostId)
      rids.add(viommu.transport.rid);
  }
  for (const host of model.hosts) {
    if (host.id === hostId) for (const bridge of host.bridges) rids.add(bridge.rid);
  }
  for (const endpoint of model.endpoints) {
    if (
      endpoint.device !== undefined &&
      endpoint.location.kind === 'pci' &&
      endpoint.location.host === hostId
    ) {
      rids.add(endpoint.location.rids.start);
    }
  }
  return rids;
}

/** `bus=`, `addr=` and, where other functions share the slot, `multifunction=on`. */
export function position(model: Model, host: string, rid: number): Property[] {
  const slot = rid & ~7;
  const shared = [...occupied(model, host)].some((other) => (other & ~7) === slot && other !== rid);
  return [
    ['bus', busName(model, host, rid)],
    ['addr', slotAddress(rid)],
    ['multifunction', shared ? true : undefined],
  ];
}

/** An extra host bridge. It needs a slot of its own on the board's root bus. */
export function pxbGroup(model: Model, host: PciHost, slot: number): ArgumentGroup {
  // Buses of a host without any vIOMMU must not be looked up in the one that has the root bus.
  const translated =
    host.viommu !== undefined || model.coverage.some((row) => row.host === host.id);
  return {
    comment: `host bridge ${host.id}: buses from 0x${host.buses.start.toString(16)}`,
    arguments: [
      propertyList('-device', 'pxb-pcie', [
        ['bus', 'pcie.0'],
        ['addr', slotAddress(slot << 3)],
        ['id', qemuId(host.id)],
        ['bus_nr', host.buses.start],
        ['bypass_iommu', translated ? undefined : true],
      ]),
    ],
  };
}

/** Root ports and PCIe-to-PCI bridges; parents before children. */
export function bridgeGroup(
  model: Model,
  host: PciHost,
  bridge: PciBridge,
  port: number,
): ArgumentGroup {
  const place: Property[] = [...position(model, host.id, bridge.rid), ['id', qemuId(bridge.id)]];
  const common = `${bridge.id}: ${bridge.kind} at ${showBdf(bridge.rid, host.segment)}`;
  if (bridge.kind === 'pcie-pci-bridge') {
    return { comment: common, arguments: [propertyList('-device', 'pcie-pci-bridge', place)] };
  }
  return {
    comment: common,
    arguments: [
      propertyList('-device', 'pcie-root-port', [
        ...place,
        // Must be unique among all ports; a machine with two equal ones is refused.
        ['chassis', port],
        ['slot', port],
        ['hotplug', bridge.hotplug],
      ]),
    ],
  };
}

/** A virtio-iommu over either transport. */
export function viommuGroup(model: Model, viommu: Viommu, version: QemuVersion): ArgumentGroup {
  const { transport } = viommu;
  if (transport.kind === 'pci') {
    const properties: Property[] = [
      ...position(model, transport.host, transport.rid),
      ['id', qemuId(viommu.id)],
      ...viommuProperties(viommu, version),
    ];
    return {
      comment: `${viommu.id}: the vIOMMU at ${showBdf(transport.rid, transport.segment)}`,
      arguments: [withReserved(properties, reservedRegions(model, viommu), version)],
    };
  }
  const host = hostOf(model, viommu);
  return {
    comment: `${viommu.id}: the vIOMMU at 0x${transport.base.toString(16)}${host === undefined ? '' : `, for ${host.id}`}`,
    arguments: [
      propertyList('-device', 'virtio-iommu-device', [
        ['bus', `virtio-mmio-bus.${virtioMmioSlot(transport.base) ?? 0}`],
        ['id', qemuId(viommu.id)],
        ['primary-bus', host === undefined ? 'pcie.0' : rootBusName(host)],
        ...viommuProperties(viommu, version),
      ]),
    ],
  };
}

/** The host whose requesters a vIOMMU translates; QEMU attaches a vIOMMU to one root bus. */
export function hostOf(model: Model, viommu: Viommu): PciHost | undefined {
  const ids = new Set(
    model.coverage.filter((row) => row.viommu === viommu.id).map((row) => row.host),
  );
  return model.hosts.find((host) => host.viommu === viommu.id || ids.has(host.id));
}

const GRANULES: ReadonlyMap<bigint, string> = new Map([
  [0x1000n, '4k'],
  [0x2000n, '8k'],
  [0x4000n, '16k'],
  [0x10000n, '64k'],
]);

function viommuProperties(viommu: Viommu, version: QemuVersion): Property[] {
  const knobs = hasRangeKnobs(version);
  return [
    ['boot-bypass', viommu.bootBypass],
    ['packed', viommu.requestQueue.ring === 'packed' ? true : undefined],
    ['granule', knobs ? GRANULES.get(viommu.granule) : undefined],
    ['aw-bits', knobs ? viommu.inputRange.end.toString(2).length : undefined],
  ];
}

/**
 * `granule` and `aw-bits` came with QEMU 9.0: its source has both among what machines of 8.2 and
 * older are given (`hw_compat_8_2`). Tried out on 7.2, which has neither.
 */
export function hasRangeKnobs(version: QemuVersion): boolean {
  return qemuAtLeast(version, RANGE_KNOBS_QEMU.major, RANGE_KNOBS_QEMU.minor);
}

/** The first QEMU with knobs for granule and address width. */
export const RANGE_KNOBS_QEMU: QemuVersion = { major: 9, minor: 0, micro: 0 };

/** RESV_MEM regions a user may give: only where the machine gives none (`virt` without ITS). */
function reservedRegions(model: Model, viommu: Viommu): string[] {
  return userRegions(model, viommu).map(({ range, type }) => {
    return `0x${range.start.toString(16)}:0x${range.end.toString(16)}:${type === 'msi' ? 1 : 0}`;
  });
}

/**
 * A vIOMMU with regions. Up to QEMU 8.1 a list is a length and numbered properties; then it became
 * a list of JSON, which only a `-device` that is JSON as a whole can hold ("qdev: Rework array
 * properties based on list visitor", November 2023). Tried out on 7.2 and measured on 11.1.
 */
function withReserved(
  properties: readonly Property[],
  regions: readonly string[],
  version: QemuVersion,
): Argument {
  const driver = 'virtio-iommu-pci';
  if (regions.length === 0) return propertyList('-device', driver, properties);
  if (!qemuAtLeast(version, 8, 2)) {
    return propertyList('-device', driver, [
      ...properties,
      ['len-reserved-regions', regions.length],
      ...regions.map((region, at): Property => [`reserved-regions[${at}]`, region]),
    ]);
  }
  const given = properties.filter(([, value]) => value !== undefined);
  const device = { driver, ...Object.fromEntries(given), 'reserved-regions': regions };
  return argument('-device', JSON.stringify(device));
}

/** The regions of a vIOMMU that PROBE must tell. */
export function userRegions(model: Model, viommu: Viommu): Model['reserved'] {
  return model.reserved.filter(
    (region) => region.viommu === viommu.id && region.via.includes('probe'),
  );
}

const MODELS: Readonly<Record<EndpointDevice['kind'], string | undefined>> = {
  'virtio-blk': 'virtio-blk-pci',
  'virtio-net': 'virtio-net-pci',
  'virtio-rng': 'virtio-rng-pci',
  edu: 'edu',
  e1000e: 'e1000e',
  nvme: 'nvme',
  xhci: 'qemu-xhci',
  'dma-engine': undefined,
  generic: undefined,
};

/** What QEMU calls a kind of device, or undefined when it has none. */
export function qemuDevice(kind: EndpointDevice['kind']): string | undefined {
  return MODELS[kind];
}

/** A device of an endpoint, with the disk or network behind it; undefined when nothing is there. */
export function endpointGroup(
  model: Model,
  endpoint: Endpoint,
  index: number,
): ArgumentGroup | undefined {
  const { device, location } = endpoint;
  if (device === undefined) return undefined;
  const driver = qemuDevice(device.kind);
  if (driver === undefined) return undefined;
  const { before, properties } = backing(endpoint, device, index);
  const pci = location.kind === 'pci';
  const place: Property[] = pci
    ? position(model, location.host, location.rids.start)
    : [['bus', `virtio-mmio-bus.${virtioMmioSlot(location.base) ?? 0}`]];
  return {
    comment: `${endpoint.id}: ${device.kind} at ${pci ? showBdf(location.rids.start, location.segment) : `0x${location.base.toString(16)}`}`,
    arguments: [
      ...before,
      propertyList('-device', pci ? driver : driver.replace(/-pci$/, '-device'), [
        ...place,
        ['id', qemuId(endpoint.id)],
        ...properties,
        ...(pci ? virtioProperties(device) : []),
        ['bootindex', device.bootable ? index + 1 : undefined],
        ...Object.entries(device.options),
      ]),
    ],
  };
}

/** Modern virtio only, and DMA through the IOMMU where the device admits to it. */
function virtioProperties(device: EndpointDevice): Property[] {
  if (!device.kind.startsWith('virtio-')) return [];
  return [
    ['iommu_platform', device.accessPlatform],
    ['disable-legacy', true],
    ['disable-modern', false],
  ];
}

interface Backing {
  readonly before: readonly Argument[];
  readonly properties: readonly Property[];
}

function backing(endpoint: Endpoint, device: EndpointDevice, index: number): Backing {
  const id = qemuId(endpoint.id);
  switch (device.kind) {
    case 'virtio-blk':
    case 'nvme':
      return {
        before: [
          propertyList('-drive', '', [
            ['if', 'none'],
            ['id', `${id}-disk`],
            ['file', { file: `disk:${endpoint.id}` }],
            ['format', 'raw'],
            // Writes go to an unlinked temporary file: every run reads the same image.
            ['snapshot', true],
          ]),
        ],
        properties: [
          ['drive', `${id}-disk`],
          ['serial', device.kind === 'nvme' ? id.slice(0, 20) : undefined],
        ],
      };
    case 'virtio-net':
    case 'e1000e':
      return {
        before: [argument('-netdev', `user,id=${id}-net,restrict=on`)],
        properties: [
          ['netdev', `${id}-net`],
          ['mac', `52:54:00:76:69:${(index & 0xff).toString(16).padStart(2, '0')}`],
          // No option ROM: none is needed, and firmware must not start to use the device.
          ['romfile', ''],
        ],
      };
    default:
      return { before: [], properties: [] };
  }
}
