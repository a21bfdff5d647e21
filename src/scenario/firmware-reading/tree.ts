import { contains, hex, showRange } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import type {
  Endpoint,
  Model,
  NodeRef,
  Place,
  RidMap,
  RidMapRow,
  TreeDescription,
  TreeHost,
  TreeIommu,
} from '../../topology/index.ts';
import type { Reading } from './verdicts.ts';

/** The tree's host bridge with a segment and bus; a missing `linux,pci-domain` counts as 0. */
export function treeHost(
  tree: TreeDescription,
  segment: number,
  bus: number,
): TreeHost | undefined {
  return tree.hosts.find((host) => (host.segment ?? 0) === segment && contains(host.buses, bus));
}

/** The vIOMMU of the model that a node of the tree stands for: the one at its place. */
export function viommuOfNode(
  model: Model,
  tree: TreeDescription,
  node: TreeIommu,
): string | undefined {
  const { location } = node;
  return model.viommus.find(({ transport }) => {
    if (location.kind === 'mmio') {
      return transport.kind === 'mmio' && transport.base === location.base;
    }
    if (transport.kind !== 'pci' || transport.rid !== location.rid) return false;
    const host = tree.hosts.find((candidate) => candidate.key === location.host);
    return (host?.segment ?? 0) === transport.segment;
  })?.id;
}

/** The node of the tree at a vIOMMU's place. */
export function nodeOfViommu(
  model: Model,
  tree: TreeDescription,
  id: string,
): TreeIommu | undefined {
  return tree.iommus.find((node) => viommuOfNode(model, tree, node) === id);
}

/** How Linux reads a tree for one endpoint (drivers/of: of_map_id, of_iommu_configure). */
export function readTree(model: Model, tree: TreeDescription, endpoint: Endpoint): Reading {
  const { location } = endpoint;
  if (location.kind === 'platform') return readPlatform(model, tree, location.base);
  const rid = location.rids.start;
  const host = treeHost(tree, location.segment, rid >>> 8);
  if (host === undefined) {
    const shown = tree.hosts
      .map(
        ({ path, segment, buses }) =>
          `${path}: segment ${segment ?? 'none'}, buses ${showRange(buses)}`,
      )
      .join('; ');
    return {
      kind: 'none',
      reason: 'no-host',
      detail: `host bridges: ${shown || 'none'}`,
      by: 'tree',
      place: tree.place,
    };
  }
  if (host.iommuMap === undefined) {
    return {
      kind: 'none',
      reason: 'no-map',
      detail: 'it has no iommu-map',
      by: host.path,
      place: host.place,
    };
  }
  return readMap(model, tree, host, host.iommuMap, rid);
}

/** Where an `iommu-map` leads for a requester ID. */
function readMap(
  model: Model,
  tree: TreeDescription,
  host: TreeHost,
  map: RidMap,
  rid: number,
): Reading {
  const none = { kind: 'none', by: `iommu-map of ${host.path}`, place: map.place } as const;
  if (map.leftover > 0) {
    return {
      ...none,
      reason: 'bad-length',
      detail: `it is ${map.bytes} bytes long, ${map.leftover} cell(s) more than whole rows`,
    };
  }
  const mask = host.iommuMapMask?.value ?? 0xffff_ffff;
  const masked = (rid & mask) >>> 0;
  const [row, other] = map.rows.filter((candidate) => has(candidate, masked));
  // Rows are looked at one by one; the first that the mask makes unreachable is an error.
  const dropped = map.rows.find((candidate) => (candidate.ridBase & ~mask) !== 0);
  if (
    dropped !== undefined &&
    (row === undefined || map.rows.indexOf(dropped) < map.rows.indexOf(row))
  ) {
    return {
      ...none,
      reason: 'mask',
      detail: `iommu-map-mask ${hex(mask >>> 0)} drops bits of row base ${hex(dropped.ridBase)}`,
    };
  }
  if (row === undefined) {
    return { ...none, reason: 'gap', detail: `rows cover ${covered(map)}` };
  }
  const target = targetOf(tree, row.target);
  if (target === undefined) {
    return {
      ...none,
      reason: 'dangling',
      detail: `row ${showRow(row)} names ${showRef(row.target)}, which no IOMMU node has`,
      place: row.place,
    };
  }
  return {
    kind: 'translated',
    ...named(viommuOfNode(model, tree, target)),
    target: target.path,
    endpointId: (row.outputBase + (masked - row.ridBase)) >>> 0,
    by: `row ${showRow(row)} of iommu-map of ${host.path}`,
    ...(masked === rid ? {} : { masked: { mask: mask >>> 0, rid, lookedUp: masked } }),
    ...(other === undefined ? {} : { overlapped: `row ${showRow(other)}` }),
    place: row.place,
  };
}

function readPlatform(model: Model, tree: TreeDescription, base: bigint): Reading {
  const device = tree.devices.find((candidate) => candidate.base === base);
  const [entry] = device?.iommus ?? [];
  if (device === undefined || entry === undefined) {
    return {
      kind: 'none',
      reason: 'no-map',
      detail: device === undefined ? 'it has no node' : 'its node has no iommus',
      by: device?.path ?? 'tree',
      place: device?.place ?? tree.place,
    };
  }
  const target = targetOf(tree, entry.target);
  const [id] = entry.ids;
  if (target === undefined || id === undefined) {
    return {
      kind: 'none',
      reason: 'dangling',
      detail: `its iommus names ${showRef(entry.target)}, which no IOMMU node has`,
      by: device.path,
      place: entry.place,
    };
  }
  return {
    kind: 'translated',
    ...named(viommuOfNode(model, tree, target)),
    target: target.path,
    endpointId: id,
    by: `iommus of ${device.path}`,
    place: entry.place,
  };
}

export function named(viommu: string | undefined): { viommu?: string } {
  return viommu === undefined ? {} : { viommu };
}

function has(row: RidMapRow, rid: number): boolean {
  return row.ridBase <= rid && rid - row.ridBase < row.length;
}

function targetOf(tree: TreeDescription, ref: NodeRef): TreeIommu | undefined {
  return 'key' in ref
    ? tree.iommus.find((node) => node.key === ref.key || node.path === ref.key)
    : tree.iommus.find((node) => node.phandle === ref.phandle);
}

export function showRef(ref: NodeRef): string {
  return 'key' in ref ? ref.key : `phandle ${hex(ref.phandle)}`;
}

export function showRow(row: RidMapRow): string {
  return `<${hex(row.ridBase)} ${showRef(row.target)} ${hex(row.outputBase)} ${hex(row.length)}>`;
}

/** `0x0-0x7, 0x9-0x17`. */
export function covered(map: RidMap): string {
  const rows = map.rows.filter((row) => row.length > 0);
  const shown = rows
    .slice(0, 8)
    .map((row) => showRange({ start: row.ridBase, end: row.ridBase + row.length - 1 }));
  if (rows.length > 8) shown.push(`… ${rows.length - 8} more`);
  return shown.join(', ') || 'nothing';
}

/** The row of a map that has a requester ID. */
export function rowOf(map: RidMap, rid: number): RidMapRow | undefined {
  return map.rows.find((row) => has(row, rid));
}

/** The IOMMU that its own host's map sends to an IOMMU: the missing hole. */
export function ownRow(
  model: Model,
  tree: TreeDescription,
): { viommu: string; bdf: string; row: RidMapRow; host: TreeHost; place: Place } | undefined {
  for (const { id, transport } of model.viommus) {
    if (transport.kind !== 'pci') continue;
    const host = treeHost(tree, transport.segment, transport.rid >>> 8);
    if (host?.iommuMap === undefined || host.iommuMap.leftover > 0) continue;
    const mask = host.iommuMapMask?.value ?? 0xffff_ffff;
    const row = rowOf(host.iommuMap, (transport.rid & mask) >>> 0);
    if (row === undefined || targetOf(tree, row.target) === undefined) continue;
    const bdf = showBdf(transport.rid, transport.segment);
    return { viommu: id, bdf, row, host, place: row.place };
  }
  return undefined;
}
