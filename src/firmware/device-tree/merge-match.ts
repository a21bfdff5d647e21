import { hex, overlaps, type Range } from '../../bytes/index.ts';
import { GITS_TRANSLATER_PAGE } from '../../spec/gic.ts';
import type {
  Model,
  NodeRef,
  RidMap,
  TreeDescription,
  TreeDevice,
  TreeHost,
  TreeIommu,
  TreeMsiController,
} from '../../topology/index.ts';
import { FirmwareError } from '../error.ts';

/** What the base says, and the configuration space of its hosts by path. */
export interface BaseTree extends TreeDescription {
  readonly windows: ReadonlyMap<string, readonly Range[]>;
}

/** A description whose paths are those of a base tree. */
export interface BaseMatch {
  readonly tree: TreeDescription;
  /** Paths of `tree` that the base has already. */
  readonly inBase: ReadonlySet<string>;
  /** Key of the host in `tree` that stands for a host of the model. */
  readonly hostOf: ReadonlyMap<string, string>;
}

/** Finds the nodes of `tree` in the base and gives them the base's paths. */
export function matchBase(base: BaseTree, model: Model, tree: TreeDescription): BaseMatch {
  const inBase = new Set<string>();
  const hostOf = new Map<string, string>();
  const hosts = matchHosts(base, model, tree, inBase, hostOf);
  const rehomed = (path: string): string => rehome(path, tree, hosts, hostOf);
  const iommus = tree.iommus.map((iommu): TreeIommu => {
    const same = base.iommus.find((other) => sameIommu(other, iommu, hosts, hostOf));
    const path = same?.path ?? deviceAt(base, iommu)?.path ?? rehomed(iommu.path);
    if (same !== undefined || deviceAt(base, iommu) !== undefined) inBase.add(path);
    return { ...iommu, path, nodeName: path.slice(path.lastIndexOf('/') + 1) };
  });
  const devices = tree.devices.map((device): TreeDevice => {
    const same = device.base === undefined ? undefined : findDevice(base, device.base);
    const path = same?.path ?? rehomed(device.path);
    if (same !== undefined) inBase.add(path);
    return { ...device, path };
  });
  const msiControllers = tree.msiControllers.flatMap((msi) => {
    const same = base.msiControllers.find(
      ({ kind, window }) => kind === msi.kind && window?.start === msi.window?.start,
    );
    if (same === undefined && isUsed(msi.key, tree)) throw noController(msi, base);
    return same === undefined ? [] : [{ ...msi, path: same.path }];
  });
  return { tree: { ...tree, hosts, iommus, devices, msiControllers }, inBase, hostOf };
}

const CONTROLLERS = { its: 'ITS', gicv2m: 'GICv2m frame', other: 'MSI controller' } as const;

/** Where a controller's registers are: its node's address, not the page that devices write to. */
function registers({ kind, window }: TreeMsiController): string {
  if (window === undefined) return '';
  return ` at ${hex(kind === 'its' ? window.start - GITS_TRANSLATER_PAGE : window.start)}`;
}

function noController(msi: TreeMsiController, base: TreeDescription): FirmwareError {
  const has = base.msiControllers.map((one) => `${CONTROLLERS[one.kind]}${registers(one)}`);
  const gic = { its: 3, gicv2m: 2, other: undefined }[msi.kind];
  const dump =
    gic === undefined
      ? 'take the tree of a machine that has it'
      : `take the tree of a machine that has it (QEMU: -M virt,gic-version=${gic},dumpdtb=FILE)`;
  return new FirmwareError(
    'merge/no-msi-controller',
    `the base tree has no ${CONTROLLERS[msi.kind]}${registers(msi)}; it has ${has.join(', ') || 'none'}`,
    { cure: `${dump}, or give the topology a doorbell that the tree has (doorbells)` },
  );
}

/** Hosts of the topology that are one node in the base become one host. */
function matchHosts(
  base: BaseTree,
  model: Model,
  tree: TreeDescription,
  inBase: Set<string>,
  hostOf: Map<string, string>,
): TreeHost[] {
  const byPath = new Map<string, TreeHost>();
  for (const host of tree.hosts) {
    const same = base.hosts.find(
      (other) =>
        (other.segment ?? 0) === (host.segment ?? 0) &&
        other.buses.start <= host.buses.start &&
        host.buses.end <= other.buses.end,
    );
    if (same === undefined) refuseOverlap(base, model, host);
    const path = same?.path ?? host.path;
    if (same !== undefined) inBase.add(path);
    const first = byPath.get(path);
    hostOf.set(host.key, first?.key ?? host.key);
    byPath.set(path, first === undefined ? { ...host, path } : joinHosts(first, host));
  }
  return [...byPath.values()];
}

/** A host that the base does not have can be added only where the base has no configuration space. */
function refuseOverlap(base: BaseTree, model: Model, host: TreeHost): void {
  const ecam = model.hosts.find(({ id }) => id === host.key)?.ecam;
  const taken = base.hosts.find(({ path }) => {
    const windows = base.windows.get(path) ?? [];
    return ecam === undefined || windows.some((window) => overlaps(window, ecam));
  });
  if (taken === undefined) return;
  const { start, end } = host.buses;
  const what = `segment ${hex(host.segment ?? 0)}, buses ${hex(start)}-${hex(end)}`;
  throw new FirmwareError(
    'merge/no-host',
    `${host.key} is ${what}; the base tree has those buses in ${taken.path}, as another host`,
    { cure: 'take the tree of a machine with the same buses, or give the host those of the tree' },
  );
}

function joinHosts(a: TreeHost, b: TreeHost): TreeHost {
  const iommuMap = joinMaps(a.iommuMap, b.iommuMap);
  const msiMap = joinMaps(a.msiMap, b.msiMap);
  const msiParent = a.msiParent ?? b.msiParent;
  return {
    ...a,
    ...(iommuMap === undefined ? {} : { iommuMap }),
    ...(msiMap === undefined ? {} : { msiMap }),
    ...(msiParent === undefined ? {} : { msiParent }),
  };
}

function joinMaps(a: RidMap | undefined, b: RidMap | undefined): RidMap | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return { ...a, rows: [...a.rows, ...b.rows], bytes: a.bytes + b.bytes };
}

/** A path below one of our hosts, moved below the node that the host is in the base. */
function rehome(
  path: string,
  tree: TreeDescription,
  hosts: readonly TreeHost[],
  hostOf: ReadonlyMap<string, string>,
): string {
  for (const host of tree.hosts) {
    if (!path.startsWith(`${host.path}/`)) continue;
    const there = hosts.find(({ key }) => key === hostOf.get(host.key));
    return `${there?.path ?? host.path}${path.slice(host.path.length)}`;
  }
  return path;
}

function sameIommu(
  other: TreeIommu,
  iommu: TreeIommu,
  hosts: readonly TreeHost[],
  hostOf: ReadonlyMap<string, string>,
): boolean {
  const [a, b] = [other.location, iommu.location];
  if (a.kind === 'mmio') return b.kind === 'mmio' && a.base === b.base && other.virtio;
  if (b.kind === 'mmio' || a.rid !== b.rid) return false;
  return hosts.find(({ key }) => key === hostOf.get(b.host))?.path === a.host;
}

/** A transport of the base that becomes an IOMMU. */
function deviceAt(base: TreeDescription, iommu: TreeIommu): TreeDevice | undefined {
  return iommu.location.kind === 'mmio' ? findDevice(base, iommu.location.base) : undefined;
}

function findDevice(base: TreeDescription, address: bigint): TreeDevice | undefined {
  return base.devices.find((device) => device.base === address);
}

function isUsed(key: string, tree: TreeDescription): boolean {
  const names = (ref: NodeRef | undefined): boolean =>
    ref !== undefined && 'key' in ref && ref.key === key;
  return tree.hosts.some(
    ({ msiMap, msiParent }) =>
      names(msiParent?.target) || msiMap?.rows.some(({ target }) => names(target)) === true,
  );
}
