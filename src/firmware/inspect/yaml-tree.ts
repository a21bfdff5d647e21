import { overlaps } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import type { NodeRef, TreeDescription, TreeHost } from '../../topology/index.ts';
import { coveredByHost } from './coverage.ts';
import type { TreeMachine } from './machine.ts';
import { plain, type YamlValue } from './plain-yaml.ts';
import {
  hexValue,
  limitHosts,
  lookUp,
  rangeValue,
  translationOf,
  type CoveredHost,
  type YamlMap,
} from './yaml-parts.ts';

/** Devices of one tree that become endpoints; more would be somebody's joke. */
const DEVICES_MAX = 4096;

type Board = 'virt' | 'q35' | 'emulator';

/** Names that the topology gives to what the tree calls by path. */
interface Names {
  readonly hosts: ReadonlyMap<string, string>;
  readonly viommus: ReadonlyMap<string, string>;
  readonly doorbells: ReadonlyMap<string, string>;
}

/** A topology of a device tree. */
export function treeTopology(tree: TreeDescription, machine: TreeMachine, name: string): YamlMap {
  limitHosts(tree.hosts.length);
  const names = nameAll(tree);
  const hosts = tree.hosts.map((host, index) => {
    return { ...coveredHost(tree, host, index), id: names.hosts.get(host.key) ?? host.key };
  });
  const board = boardOf(machine);
  const devices = deviceEndpoints(tree, machine, names, hosts);
  const parts = tree.hosts.map((host, index) =>
    hostParts(tree, machine, names, host, hosts[index], devices, board),
  );
  return {
    name,
    description: 'read from a device tree',
    board: plain(board),
    machine: {
      cpus: machine.cpus === 0 ? undefined : machine.cpus,
      memory: tree.memory.map((range) => rangeValue(range) ?? ''),
      gic: gicValue(board, machine),
    },
    pci: parts.length === 0 ? undefined : { hosts: parts.map(({ host }) => host) },
    viommus: tree.iommus.flatMap((iommu) => viommuValue(iommu, tree, machine, names)),
    endpoints: [...devices.map(({ value }) => value), ...parts.flatMap((part) => part.endpoints)],
    doorbells: tree.msiControllers.flatMap((msi) => {
      const id = names.doorbells.get(msi.key);
      if (id === undefined) return [];
      const base = machine.frames.get(msi.key)?.start;
      const spis = msi.kind === 'gicv2m' ? machine.spis.get(msi.key) : undefined;
      const ids = spis && plain(`${spis.start}-${spis.end}`);
      return [{ id: plain(id), kind: plain(msi.kind), base: hexValue(base), spis: ids }];
    }),
    'reserved-regions': regionValues(tree, devices),
    firmware: { 'device-tree': true, acpi: false },
  };
}

function numbered(prefix: string, items: readonly { readonly key: string }[]): Map<string, string> {
  return new Map(items.map(({ key }, index) => [key, `${prefix}${index}`]));
}

function nameAll(tree: TreeDescription): Names {
  const viommus = tree.iommus.filter(({ virtio }) => virtio);
  const doorbells = tree.msiControllers.filter(({ kind }) => kind !== 'other');
  return {
    hosts: numbered('pcie', tree.hosts),
    viommus: numbered('viommu', viommus),
    doorbells: numbered('doorbell', doorbells),
  };
}

function boardOf(machine: TreeMachine): Board {
  const [root = ''] = machine.compatible;
  if (root.endsWith(',q35')) return 'q35';
  return root.endsWith(',emulator') ? 'emulator' : 'virt';
}

function gicValue(board: Board, { gic }: TreeMachine): YamlMap | undefined {
  if (board === 'q35' || gic === undefined) return undefined;
  return {
    version: gic.version,
    distributor: rangeValue(gic.distributor),
    'cpu-interface': rangeValue(gic.cpu),
  };
}

function coveredHost(tree: TreeDescription, host: TreeHost, index: number): CoveredHost {
  const own = new Set<number>();
  for (const { location } of tree.iommus) {
    if (location.kind === 'pci' && location.host === host.key) own.add(location.rid);
  }
  const covered = coveredByHost(host);
  return { id: '', segment: host.segment ?? index, buses: host.buses, covered, own };
}

interface HostParts {
  readonly host: YamlMap;
  readonly endpoints: readonly YamlMap[];
}

function hostParts(
  tree: TreeDescription,
  machine: TreeMachine,
  names: Names,
  host: TreeHost,
  covered: CoveredHost | undefined,
  devices: readonly DeviceEndpoint[],
  board: Board,
): HostParts {
  if (covered === undefined) return { host: {}, endpoints: [] };
  const nameOf = (iommu: string | number): string | undefined => names.viommus.get(String(iommu));
  const single = new Set(devices.flatMap((it) => (it.host === host.key ? [it.rid ?? -1] : [])));
  const { viommu, endpointIdBase, endpoints } = translationOf(covered, nameOf, single);
  const windows = machine.hosts.get(host.path);
  const [dmaRange] = host.dmaRanges ?? [];
  const first = tree.hosts[0] === host;
  const bridges = machine.bridges.filter((bridge) => bridge.host === host.path);
  return {
    host: {
      id: plain(covered.id),
      kind: plain(first || board === 'emulator' ? 'root' : 'pxb'),
      segment: covered.segment,
      buses: rangeValue(host.buses),
      ecam: hexValue(windows?.ecam?.start),
      io: rangeValue(windows?.io),
      mem32: rangeValue(windows?.mem32),
      mem64: rangeValue(windows?.mem64),
      viommu: plain(viommu),
      'endpoint-id-base': hexValue(endpointIdBase),
      doorbell: plain(doorbellOf(host, names) ?? 'none'),
      'dma-range': rangeValue(dmaRange),
      bridges: bridges.map(({ rid, buses }, index) => ({
        id: plain(`${covered.id}-bridge${index}`),
        at: plain(showBdf(rid, covered.segment)),
        buses: rangeValue(buses),
      })),
    },
    endpoints,
  };
}

function doorbellOf(host: TreeHost, names: Names): string | undefined {
  const target = host.msiMap?.rows[0]?.target ?? host.msiParent?.target;
  return target !== undefined && 'key' in target ? names.doorbells.get(target.key) : undefined;
}

function viommuValue(
  iommu: TreeDescription['iommus'][number],
  tree: TreeDescription,
  machine: TreeMachine,
  names: Names,
): YamlMap[] {
  const id = names.viommus.get(iommu.key);
  if (id === undefined) return [];
  const { location } = iommu;
  if (location.kind === 'mmio') {
    const interrupt = machine.devices.get(iommu.path)?.interrupt;
    return [{ id: plain(id), mmio: hexValue(location.base), interrupt }];
  }
  const index = tree.hosts.findIndex(({ key }) => key === location.host);
  const segment = tree.hosts[index]?.segment ?? Math.max(0, index);
  return [{ id: plain(id), at: plain(showBdf(location.rid, segment)) }];
}

/** A device that has a node: platform devices with `iommus`, PCI functions with regions. */
interface DeviceEndpoint {
  readonly key: string;
  readonly id: string;
  readonly value: YamlMap;
  readonly host?: string;
  readonly rid?: number;
}

function deviceEndpoints(
  tree: TreeDescription,
  machine: TreeMachine,
  names: Names,
  hosts: readonly CoveredHost[],
): DeviceEndpoint[] {
  const wanted = new Set(
    tree.regions.flatMap(({ addresses }) => addresses.map(({ device }) => keyOf(device))),
  );
  const out: DeviceEndpoint[] = [];
  for (const device of tree.devices) {
    if (out.length >= DEVICES_MAX) break;
    if (!wanted.has(device.key) && device.iommus.length === 0) continue;
    const id = `device${out.length}`;
    const common = { key: device.key, id };
    if (device.pci !== undefined) {
      const { host, rid } = device.pci;
      const index = tree.hosts.findIndex(({ key }) => key === host);
      const at = hosts[index];
      if (at === undefined || out.some((it) => it.host === host && it.rid === rid)) continue;
      const value = pciEndpoint(id, rid, at, names);
      out.push({ ...common, value, host, rid });
    } else if (device.base !== undefined) {
      out.push({ ...common, value: platformEndpoint(id, device, machine, names) });
    }
  }
  return out;
}

function pciEndpoint(id: string, rid: number, host: CoveredHost, names: Names): YamlMap {
  const found = lookUp(host.covered, rid);
  const viommu = found && names.viommus.get(String(found.iommu));
  return {
    id: plain(id),
    at: plain(showBdf(rid, host.segment)),
    viommu: plain(viommu ?? 'none'),
    'endpoint-id': viommu === undefined ? undefined : hexValue(found?.endpointId),
  };
}

function platformEndpoint(
  id: string,
  device: TreeDescription['devices'][number],
  machine: TreeMachine,
  names: Names,
): YamlMap {
  const [first] = device.iommus;
  const viommu = first && names.viommus.get(keyOf(first.target));
  const platform = machine.devices.get(device.path);
  return {
    id: plain(id),
    mmio: hexValue(device.base),
    size: platform === undefined || platform.size === 0n ? undefined : hexValue(platform.size),
    interrupt: platform?.interrupt,
    compatible: device.compatible,
    viommu: plain(viommu ?? 'none'),
    'endpoint-id': viommu === undefined ? undefined : hexValue(first?.ids[0]),
  };
}

function keyOf(ref: NodeRef): string {
  return 'key' in ref ? ref.key : '';
}

function regionValues(tree: TreeDescription, devices: readonly DeviceEndpoint[]): YamlValue[] {
  const out: YamlMap[] = [];
  for (const { addresses, physical } of tree.regions) {
    for (const { device, range } of addresses) {
      const endpoint = devices.find(({ key }) => key === keyOf(device));
      if (endpoint === undefined || range === undefined) continue;
      const same =
        physical !== undefined && physical.start === range.start && physical.end === range.end;
      const other = physical !== undefined && !same && !overlaps(physical, range);
      out.push({
        id: plain(`region${out.length}`),
        range: rangeValue(range),
        type: plain(same ? 'direct' : 'reserved'),
        via: [plain('device-tree')],
        endpoints: [plain(endpoint.id)],
        physical: other ? rangeValue(physical) : undefined,
      });
    }
  }
  return out;
}
