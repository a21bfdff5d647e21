import type {
  TreeDescription,
  TreeDevice,
  TreeHost,
  TreeIommu,
  TreeMsiController,
} from '../description.ts';
import type { Doorbell, Endpoint, Model, PciHost, Viommu } from '../model.ts';
import { bridgesTo, busPath, hostPath, pciUnit, unit } from './keys.ts';
import { namedByRegions, regionsOf, treeRegions } from './regions.ts';
import { iommuMap, msiMap, msiParent, numberOf, refOf } from './rid-map.ts';

/** What the device tree of a model says. */
export function describeTree(model: Model): TreeDescription {
  return {
    hosts: model.hosts.map((host) => treeHost(model, host)),
    iommus: model.viommus.flatMap((viommu) => treeIommu(model, viommu)),
    devices: treeDevices(model),
    regions: treeRegions(model),
    msiControllers: model.doorbells.flatMap((doorbell) => msiController(model, doorbell)),
    memory: model.memory,
    formProblems: [],
    place: model.place,
  };
}

function treeHost(model: Model, host: PciHost): TreeHost {
  const overrides = model.firmware.overrides?.hosts[host.id];
  const segment = overrides?.pciDomain ?? host.segment;
  const map = iommuMap(model, host);
  const mask = overrides?.iommuMapMask;
  const msi = msiMap(model, host);
  const parent = msiParent(model, host);
  return {
    key: host.id,
    path: hostPath(host),
    ...(segment === 'none' ? {} : { segment }),
    buses: host.buses,
    ...(map === undefined ? {} : { iommuMap: map }),
    ...(mask === undefined
      ? {}
      : {
          iommuMapMask: {
            value: mask,
            place: overrides?.places['iommu-map-mask'] ?? host.place,
          },
        }),
    ...(msi === undefined ? {} : { msiMap: msi }),
    ...(parent === undefined ? {} : { msiParent: parent }),
    ...(host.dmaRange === undefined ? {} : { dmaRanges: [host.dmaRange] }),
    dmaCoherent: true,
    place: host.place,
  };
}

function treeIommu(model: Model, viommu: Viommu): TreeIommu[] {
  const overrides = model.firmware.overrides?.viommus[viommu.id];
  if (overrides?.described === false) return [];
  const at = location(model, viommu, overrides?.reg);
  if (at === undefined) return [];
  const { transport } = viommu;
  const nodeName =
    overrides?.nodeName ??
    (transport.kind === 'pci'
      ? `iommu@${pciUnit(transport.rid)}`
      : `virtio@${unit(transport.base)}`);
  const cells = overrides?.iommuCells ?? 1;
  return [
    {
      key: viommu.id,
      path: `${nodeParent(model, viommu)}/${nodeName}`,
      location: at,
      compatible: at.kind === 'pci' ? ['virtio,pci-iommu', 'pci1af4,1057'] : ['virtio,mmio'],
      nodeName,
      ...(cells === 'none' ? {} : { iommuCells: cells }),
      enabled: overrides?.status !== 'disabled',
      virtio: true,
      place: viommu.place,
    },
  ];
}

/** The path above the node of a vIOMMU. */
function nodeParent(model: Model, { transport }: Viommu): string {
  if (transport.kind === 'mmio') return '';
  const host = model.hosts.find((h) => h.id === transport.host);
  return host === undefined ? '' : busPath(host, transport.rid >> 8);
}

function location(
  model: Model,
  viommu: Viommu,
  reg: number | undefined,
): TreeIommu['location'] | undefined {
  const { transport } = viommu;
  if (transport.kind === 'mmio') return { kind: 'mmio', base: transport.base };
  const host = model.hosts.find((h) => h.id === transport.host);
  if (host === undefined) return undefined;
  const rid = reg === undefined ? transport.rid : (reg >>> 8) & 0xffff;
  const parent = bridgesTo(host, transport.rid >> 8).at(-1)?.id ?? host.id;
  return { kind: 'pci', parent, host: host.id, rid };
}

/** Platform devices, and those PCI functions that a region names. */
function treeDevices(model: Model): TreeDevice[] {
  const platform = model.endpoints.filter((endpoint) => endpoint.location.kind === 'platform');
  return [...platform, ...namedByRegions(model)].flatMap((endpoint) => treeDevice(model, endpoint));
}

function treeDevice(model: Model, endpoint: Endpoint): TreeDevice[] {
  const { id, location: at, place } = endpoint;
  const memoryRegions = regionsOf(model, endpoint);
  if (at.kind === 'platform') {
    const name = at.compatible.includes('virtio,mmio') ? 'virtio' : 'dma';
    const path = `/${name}@${unit(at.base)}`;
    const iommus = iommusOf(model, endpoint);
    const { base, compatible } = at;
    return [{ key: id, path, base, compatible, iommus, memoryRegions, place }];
  }
  const host = model.hosts.find((h) => h.id === at.host);
  if (host === undefined) return [];
  const rid = at.rids.start;
  const path = `${busPath(host, rid >> 8)}/device@${pciUnit(rid)}`;
  const pci = { host: host.id, rid };
  return [{ key: id, path, compatible: [], iommus: [], memoryRegions, pci, place }];
}

function iommusOf(model: Model, endpoint: Endpoint): TreeDevice['iommus'] {
  const overrides = model.firmware.overrides?.endpoints[endpoint.id];
  if (overrides?.iommus !== undefined) {
    const place = overrides.places['iommus'] ?? endpoint.place;
    return overrides.iommus.map(([target, ...ids]) => ({
      target: refOf(target),
      ids: ids.map(numberOf),
      place,
    }));
  }
  const { viommu, endpointId, places, place } = endpoint;
  if (viommu === undefined || endpointId === undefined) return [];
  return [{ target: { key: viommu }, ids: [endpointId], place: places['viommu'] ?? place }];
}

function msiController(model: Model, doorbell: Doorbell): TreeMsiController[] {
  const { id, kind, frame, window, place } = doorbell;
  if (kind === 'x86' || model.gic === undefined) return [];
  // Names as arm,gic.yaml and arm,gic-v3.yaml want them.
  const name = kind === 'its' ? 'msi-controller' : 'v2m';
  const path = `/interrupt-controller@${unit(model.gic.distributor.start)}/${name}@${unit(frame.start)}`;
  return [{ key: id, path, kind, ...(kind === 'its' ? { msiCells: 1 } : {}), window, place }];
}
