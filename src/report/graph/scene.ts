import { hex } from '../../bytes/index.ts';
import { RID_MAX } from '../../spec/pci.ts';
import type { Endpoint, Model, PciBridge, PciHost } from '../../topology/index.ts';
import { foldByTranslation, foldEndpoints, type Fold } from './fold.ts';
import {
  doorbellLines,
  foldLabel,
  memoryLines,
  regionLines,
  showSpan,
  viommuLines,
} from './labels.ts';
import { edgesOf, MEMORY } from './edges.ts';
import { restOf } from './rest.ts';

/** What a node stands for; also its class in the SVG. */
export type NodeKind =
  'endpoint' | 'rest' | 'empty' | 'viommu' | 'doorbell' | 'region' | 'memory' | 'more';

export interface SceneNode {
  /** Unique in the picture: `endpoint-disk0`. The id of its element in the SVG. */
  readonly key: string;
  readonly kind: NodeKind;
  readonly title: string;
  readonly lines: readonly string[];
  /** Topology ids that the node stands for. */
  readonly ids: readonly string[];
  /** Endpoints: what translates them; absent: they bypass. */
  readonly viommu?: string;
}

/** A bus, or a part of a machine, with what is on it. */
export interface SceneBox {
  readonly key: string;
  readonly title: string;
  readonly lines: readonly string[];
  readonly nodes: readonly SceneNode[];
  readonly boxes: readonly SceneBox[];
}

export interface SceneEdge {
  readonly from: string;
  readonly to: string;
  readonly kind: 'translated' | 'bypass' | 'memory' | 'msi' | 'region';
  /** The edge starts at the border of this box. */
  readonly box?: string;
}

/** A topology as boxes, nodes and edges: few enough to read, whatever its size. */
export interface Scene {
  readonly name: string;
  readonly description: string;
  readonly boxes: readonly SceneBox[];
  /** vIOMMUs, doorbells, regions, memory. */
  readonly nodes: readonly SceneNode[];
  readonly edges: readonly SceneEdge[];
}

/** Drawn of a kind; of what comes after, only the number. */
const HOSTS_MAX = 16;
const BRIDGES_MAX = 10;
const VIOMMUS_MAX = 24;
const OTHERS_MAX = 16;

export function sceneOf(model: Model): Scene {
  const boxes = [...hostBoxes(model), ...platformBox(model)];
  const viommus = capped(model.viommus, VIOMMUS_MAX, 'vIOMMUs', 'viommu', (viommu) => ({
    key: `viommu-${viommu.id}`,
    kind: 'viommu',
    title: viommu.id,
    lines: viommuLines(viommu),
    ids: [viommu.id],
  }));
  const doorbells = capped(model.doorbells, OTHERS_MAX, 'doorbells', 'doorbell', (doorbell) => ({
    key: `doorbell-${doorbell.id}`,
    kind: 'doorbell',
    title: doorbell.id,
    lines: doorbellLines(doorbell),
    ids: [doorbell.id],
  }));
  const regions = capped(model.reserved, OTHERS_MAX, 'regions', 'region', (region) => ({
    key: `region-${region.id}`,
    kind: 'region',
    title: region.id,
    lines: regionLines(region),
    ids: [region.id],
  }));
  const memory: SceneNode = {
    key: MEMORY,
    kind: 'memory',
    title: 'guest memory',
    lines: memoryLines(model),
    ids: [],
  };
  const nodes = [...viommus, ...doorbells, ...regions, memory];
  const edges = edgesOf(model, boxes, nodes);
  return { name: model.name, description: model.description, boxes, nodes, edges };
}

/** The first of them, and a node that counts the others. */
function capped<T extends { readonly id: string }>(
  all: readonly T[],
  most: number,
  what: string,
  prefix: string,
  draw: (one: T) => SceneNode,
): SceneNode[] {
  if (all.length <= most) return all.map(draw);
  const rest = all.slice(most - 1);
  const more: SceneNode = {
    key: `${prefix}.more`,
    kind: 'more',
    title: `${rest.length} more ${what}`,
    lines: [`${rest[0]?.id ?? ''} … ${rest.at(-1)?.id ?? ''}`],
    ids: rest.map(({ id }) => id),
  };
  return [...all.slice(0, most - 1).map(draw), more];
}

function hostBoxes(model: Model): SceneBox[] {
  const { hosts } = model;
  const drawn = hosts.length <= HOSTS_MAX ? hosts : hosts.slice(0, HOSTS_MAX - 1);
  const byHost = new Map<string, Endpoint[]>(hosts.map(({ id }) => [id, []]));
  for (const endpoint of model.endpoints) {
    if (endpoint.location.kind === 'pci') byHost.get(endpoint.location.host)?.push(endpoint);
  }
  const boxes = drawn.map((host) => hostBox(model, host, byHost.get(host.id) ?? []));
  const rest = hosts.slice(drawn.length);
  if (rest.length === 0) return boxes;
  const folds = foldByTranslation(rest.flatMap(({ id }) => byHost.get(id) ?? []));
  const key = 'host.more';
  boxes.push({
    key,
    title: `${rest.length} more host bridges`,
    lines: [`${rest[0]?.id ?? ''} … ${rest.at(-1)?.id ?? ''}`],
    nodes: filled(
      folds.map((fold, index) => endpointNode(fold, key, index)),
      key,
      'no endpoints',
    ),
    boxes: [],
  });
  return boxes;
}

function hostBox(model: Model, host: PciHost, endpoints: readonly Endpoint[]): SceneBox {
  const key = `host-${host.id}`;
  const many = host.bridges.length > BRIDGES_MAX;
  const tops = many ? [] : host.bridges.filter((one) => parentOf(one, host.bridges) === undefined);
  const below = many ? endpoints.filter((one) => bridgeOf(one, host.bridges) !== undefined) : [];
  const own = endpoints.filter((one) => bridgeOf(one, host.bridges) === undefined);
  const nodes = [...foldEndpoints(own), ...foldByTranslation(below)].map((fold, index) =>
    endpointNode(fold, key, index),
  );
  const root = host.kind === 'root' ? 'root complex' : 'extra root bus (pxb)';
  const lines = [`${root}, segment ${host.segment}, buses ${showSpan(host.buses)}`];
  if (many) lines.push(`${host.bridges.length} bridges, not drawn`);
  if (host.dmaRange !== undefined) lines.push(`DMA to ${showSpan(host.dmaRange)}`);
  return {
    key,
    title: host.id,
    lines,
    nodes: filled([...nodes, ...restNodes(model, host, key)], key, 'nothing here'),
    boxes: tops.map((bridge) => bridgeBox(host, bridge, endpoints)),
  };
}

function bridgeBox(host: PciHost, bridge: PciBridge, all: readonly Endpoint[]): SceneBox {
  const key = `bridge-${bridge.id}`;
  const own = all.filter((endpoint) => bridgeOf(endpoint, host.bridges) === bridge);
  const boxes = host.bridges
    .filter((one) => parentOf(one, host.bridges) === bridge)
    .map((one) => bridgeBox(host, one, all));
  const nodes = foldEndpoints(own).map((fold, index) => endpointNode(fold, key, index));
  const kind = bridge.kind === 'root-port' ? 'root port' : 'PCIe-to-PCI bridge';
  return {
    key,
    title: bridge.id,
    lines: [`${kind}, buses ${showSpan(bridge.buses)}`],
    nodes: boxes.length > 0 ? nodes : filled(nodes, key, bridge.hotplug ? 'empty slot' : 'empty'),
    boxes,
  };
}

function bridgeOf(endpoint: Endpoint, bridges: readonly PciBridge[]): PciBridge | undefined {
  const { location } = endpoint;
  if (location.kind !== 'pci') return undefined;
  return innermost(location.rids.start >>> 8, location.rids.end >>> 8, bridges);
}

function parentOf(bridge: PciBridge, bridges: readonly PciBridge[]): PciBridge | undefined {
  const others = bridges.filter((one) => one !== bridge);
  return innermost(bridge.rid >>> 8, bridge.rid >>> 8, others);
}

/** The bridge with the fewest buses that still has these. */
function innermost(
  first: number,
  last: number,
  bridges: readonly PciBridge[],
): PciBridge | undefined {
  let best: PciBridge | undefined;
  for (const bridge of bridges) {
    const { start, end } = bridge.buses;
    if (first < start || last > end) continue;
    if (best === undefined || end - start < best.buses.end - best.buses.start) best = bridge;
  }
  return best;
}

function platformBox({ endpoints }: Model): SceneBox[] {
  const own = endpoints.filter(({ location }) => location.kind === 'platform');
  if (own.length === 0) return [];
  const key = 'platform';
  const nodes = foldEndpoints(own).map((fold, index) => endpointNode(fold, key, index));
  return [{ key, title: 'platform devices', lines: ['virtio-mmio'], nodes, boxes: [] }];
}

/** A box must hold something, or it would not be drawn. */
function filled(nodes: readonly SceneNode[], key: string, title: string): readonly SceneNode[] {
  if (nodes.length > 0) return nodes;
  return [{ key: `${key}.empty`, kind: 'empty', title, lines: [], ids: [] }];
}

function endpointNode(fold: Fold, box: string, index = 0): SceneNode {
  const [first] = fold.endpoints;
  const { title, lines } = foldLabel(fold);
  const viommu = first?.viommu;
  return {
    key: fold.kind === 'single' ? `endpoint-${first?.id ?? ''}` : `${box}.fold-${index}`,
    kind: 'endpoint',
    title,
    lines,
    ids: fold.endpoints.map(({ id }) => id),
    ...(viommu === undefined ? {} : { viommu }),
  };
}

/** Requester IDs that no endpoint of the file has. */
function restNodes(model: Model, host: PciHost, box: string): SceneNode[] {
  return restOf(model, host).map(({ viommu, count, span, offset }) => ({
    key: `${box}.rest-${viommu ?? 'bypass'}`,
    kind: 'rest',
    title:
      count > RID_MAX - 64
        ? 'all other functions'
        : `${count.toLocaleString('en')} other functions`,
    lines: [span, offset === undefined ? '' : idLine(offset)].filter((line) => line !== ''),
    ids: [],
    ...(viommu === undefined ? {} : { viommu }),
  }));
}

function idLine(offset: number): string {
  if (offset === 0) return 'ID = requester ID';
  const sign = offset < 0 ? '−' : '+';
  return `ID = requester ID ${sign} ${hex(Math.abs(offset))}`;
}
