import { contains, hex, showRange } from '../../bytes/index.ts';
import type { NodeRef, TreeDescription, TreeDevice, TreeHost, TreeIommu } from '../description.ts';
import type { Place } from '../diagnostic.ts';
import type { Facts } from '../facts.ts';
import { iommuRuns, lookup, showRef } from '../rules/support/rid-map.ts';
import { linux } from '../rules/support/text.ts';
import { walkIdMap } from './id-map.ts';
import type { Asker, Trail, Way } from './types.ts';

/** Hosts and platform devices told one by one. */
const TOLD = 6;

const PART = 'device-tree';

/** From the device tree (drivers/iommu/of_iommu.c, of_iommu_configure). */
export function explainTree(trail: Trail, facts: Facts, tree: TreeDescription, asker: Asker): Way {
  const { location } = asker;
  if (location.kind === 'platform') return platformWay(trail, facts, tree, asker);
  const host = findHost(trail, tree, location.segment, location.rid);
  if (host === undefined) {
    return { fate: 'untranslated', why: 'no host bridge of the tree has its segment and bus' };
  }
  ownNode(trail, tree, host, location.rid);
  if (host.iommuMap === undefined) {
    const why = `${host.path} has no iommu-map`;
    trail.say(
      PART,
      'stop',
      `${why}: nothing below it is translated, and nothing is logged`,
      host.place,
    );
    return { fate: 'untranslated', why };
  }
  const { rid } = location;
  const mask = host.iommuMapMask;
  const answer = walkIdMap(trail, facts, {
    part: PART,
    name: 'iommu-map',
    path: host.path,
    map: host.iommuMap,
    ...(mask === undefined ? {} : { mask }),
    rid,
  });
  if ('why' in answer) return { fate: 'untranslated', why: answer.why };
  return target(trail, facts, tree, {
    ref: answer.row.target,
    id: answer.id,
    place: answer.row.place,
    needsCells: false,
    asker,
  });
}

/** The host bridge of a segment and bus; a missing `linux,pci-domain` counts as 0. */
function findHost(
  trail: Trail,
  tree: TreeDescription,
  segment: number,
  rid: number,
): TreeHost | undefined {
  const bus = rid >>> 8;
  const has = (host: TreeHost): boolean =>
    (host.segment ?? 0) === segment && contains(host.buses, bus);
  const host = tree.hosts.find(has);
  for (const other of tree.hosts.filter((it) => it !== host).slice(0, TOLD)) {
    trail.say(
      PART,
      'no',
      `${other.path} is segment ${other.segment ?? '0 (no linux,pci-domain)'}, buses ${showRange(other.buses)}: not it`,
      other.place,
    );
  }
  if (host === undefined) {
    const text = `no enabled host bridge has bus ${hex(bus)} of segment ${segment}: Linux never sees the function, or numbers the segments otherwise`;
    trail.say(PART, 'stop', text, tree.place);
    return undefined;
  }
  const domain =
    host.segment === undefined
      ? 'no linux,pci-domain, so segment 0'
      : `linux,pci-domain ${host.segment}`;
  trail.say(
    PART,
    'ok',
    `${host.path} (${domain}, bus-range ${showRange(host.buses)}) is its host bridge: Linux looks at iommu-map there`,
    host.place,
  );
  return host;
}

/** A node of the function itself does not matter, which surprises. */
function ownNode(trail: Trail, tree: TreeDescription, host: TreeHost, rid: number): void {
  const node = tree.devices.find((it) => it.pci?.host === host.key && it.pci.rid === rid);
  const [entry] = node?.iommus ?? [];
  if (node === undefined || entry === undefined) return;
  trail.say(
    PART,
    'note',
    `${node.path} has iommus, which Linux does not look at for a PCI function`,
    entry.place,
  );
}

function platformWay(trail: Trail, facts: Facts, tree: TreeDescription, asker: Asker): Way {
  const device = deviceOf(tree, asker);
  if (device === undefined) {
    const why = 'no enabled node of the tree is this device, or could have iommus';
    trail.say(PART, 'stop', why, tree.place);
    return { fate: 'untranslated', why };
  }
  const [entry, ...others] = device.iommus;
  if (entry === undefined) {
    const why = `${device.path} has no iommus`;
    trail.say(PART, 'stop', `${why}: it is not translated, and nothing is logged`, device.place);
    return { fate: 'untranslated', why };
  }
  const cells = [showRef(entry.target), ...entry.ids.map((id) => hex(id))].join(' ');
  trail.say(PART, 'ok', `${device.path} has iommus = <${cells}>`, entry.place);
  for (const other of others.slice(0, TOLD)) {
    const text = `a further entry (${showRef(other.target)}): the first IOMMU counts and gets the other's IDs as well`;
    trail.say(PART, 'note', text, other.place);
  }
  const [id] = entry.ids;
  return target(trail, facts, tree, {
    ref: entry.target,
    id: id ?? 0,
    place: entry.place,
    needsCells: true,
    asker,
  });
}

/** The tree's device that is asked about. */
export function deviceOf(tree: TreeDescription, { location }: Asker): TreeDevice | undefined {
  if (location.kind === 'pci') {
    const host = tree.hosts.find(
      (it) => (it.segment ?? 0) === location.segment && contains(it.buses, location.rid >>> 8),
    );
    return tree.devices.find((it) => it.pci?.host === host?.key && it.pci?.rid === location.rid);
  }
  const { base, path } = location;
  return tree.devices.find(
    (it) => (path !== undefined && it.path === path) || (base !== undefined && it.base === base),
  );
}

interface Aim {
  readonly ref: NodeRef;
  readonly id: number;
  readonly place: Place;
  /** `iommus` is read with `#iommu-cells`, `iommu-map` without. */
  readonly needsCells: boolean;
  readonly asker: Asker;
}

/** The node that is named: whether there is one, enabled, with a driver that registers an IOMMU. */
function target(trail: Trail, facts: Facts, tree: TreeDescription, aim: Aim): Way {
  const { ref, id, place, asker } = aim;
  const node = 'key' in ref ? tree.iommus.find((it) => it.key === ref.key) : undefined;
  if (node === undefined) {
    const why = `${showRef(ref)} ${'key' in ref ? 'is no IOMMU' : 'is the phandle of no node'}`;
    trail.say(PART, 'stop', why, place);
    return { fate: 'untranslated', why };
  }
  if (!node.enabled) {
    const why = `${node.path}, or a node above it, has status = "disabled"`;
    trail.say(
      PART,
      'stop',
      `${why}: Linux never binds the vIOMMU and takes the endpoint for one without (ENODEV), without a message`,
      node.place,
    );
    return { fate: 'untranslated', why };
  }
  const cells = describeCells(node);
  if (aim.needsCells && node.iommuCells === undefined) {
    const why = `${node.path} has no #iommu-cells`;
    trail.say(
      PART,
      'stop',
      `${why}: "could not get #iommu-cells", and the device is not translated`,
      node.place,
    );
    return { fate: 'untranslated', why };
  }
  trail.say(
    PART,
    'ok',
    `it leads to ${node.path} (${where(node)}, compatible ${shownList(node.compatible)}, ${cells}), with endpoint ID ${hex(id)}`,
    node.place,
  );
  const self = behindItself(tree, node, asker);
  if (self) {
    const why = `${node.path} is the endpoint itself: the map has no hole for the vIOMMU`;
    trail.say(
      PART,
      'stop',
      `${why}. ${linux(facts)} makes it wait for itself and defers it and all its endpoints for 10 s ("deferred probe timeout, ignoring dependency")`,
      node.place,
    );
    return { fate: 'deferred', why };
  }
  if (!node.virtio) {
    trail.say(
      PART,
      'note',
      `${node.path} is no virtio-iommu: what follows is up to its own driver; without one, the endpoint is deferred for 10 s and then works untranslated`,
      node.place,
    );
  }
  missingHole(trail, facts, tree, node);
  return { found: { key: node.key, target: node.path, endpointId: id } };
}

/** A vIOMMU that is in a map itself is late, and so is everything behind it. */
function missingHole(
  trail: Trail,
  facts: Facts,
  tree: TreeDescription,
  { location, path }: TreeIommu,
): void {
  if (location.kind !== 'pci') return;
  const host = tree.hosts.find((it) => it.key === location.host);
  if (host === undefined) return;
  const bus = location.parent === location.host ? host.buses.start : location.rid >> 8;
  const rid = (bus << 8) | (location.rid & 0xff);
  const run = lookup(iommuRuns(tree, host, facts.kernel), rid);
  if (run?.to === undefined) return;
  const text = `the map has ${path} itself (${hex(rid)}), too: Linux makes the vIOMMU wait for an IOMMU, and defers it and its endpoints for 10 s ("deferred probe timeout, ignoring dependency") before it goes on`;
  trail.say(PART, 'note', text, run.place);
}

function behindItself(tree: TreeDescription, node: TreeIommu, asker: Asker): boolean {
  const { location } = asker;
  if (node.location.kind === 'mmio') {
    return location.kind === 'platform' && location.base === node.location.base;
  }
  if (location.kind !== 'pci') return false;
  const own = node.location;
  const host = tree.hosts.find((it) => it.key === own.host);
  if ((host?.segment ?? 0) !== location.segment) return false;
  // Linux goes by device and function below the bus of the node above.
  const bus = own.parent === own.host ? (host?.buses.start ?? 0) : own.rid >> 8;
  return ((bus << 8) | (own.rid & 0xff)) === location.rid;
}

function describeCells({ iommuCells }: TreeIommu): string {
  return iommuCells === undefined ? 'no #iommu-cells' : `#iommu-cells ${iommuCells}`;
}

function where({ location }: TreeIommu): string {
  return location.kind === 'mmio'
    ? `registers at ${hex(location.base)}`
    : `reg: requester ID ${hex(location.rid)}`;
}

function shownList(names: readonly string[]): string {
  return names.length === 0 ? 'missing' : names.map((name) => `"${name}"`).join(', ');
}
