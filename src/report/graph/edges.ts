import type { Model } from '../../topology/index.ts';
import type { SceneBox, SceneEdge, SceneNode } from './scene.ts';

/** Key of the node that stands for RAM. */
export const MEMORY = 'memory';

/** Who reaches what: endpoints their vIOMMU or memory, MSIs their doorbell, regions whom they hold for. */
export function edgesOf(
  model: Model,
  boxes: readonly SceneBox[],
  nodes: readonly SceneNode[],
): SceneEdge[] {
  const keyOf = new Map<string, string>();
  for (const { kind, key, ids } of nodes) {
    // Ids of different kinds of things are different, so one map is enough.
    if (kind !== 'memory') for (const id of ids) keyOf.set(id, key);
  }
  const drawn = boxes.flatMap(allNodes);
  for (const { key, ids } of drawn) for (const id of ids) keyOf.set(id, key);
  const edges: SceneEdge[] = [];
  for (const { key, kind, viommu } of drawn) {
    if (kind === 'empty') continue;
    if (viommu === undefined) edges.push({ from: key, to: MEMORY, kind: 'bypass' });
    else edges.push({ from: key, to: keyOf.get(viommu) ?? MEMORY, kind: 'translated' });
  }
  for (const { id } of model.viommus) {
    edges.push({ from: keyOf.get(id) ?? MEMORY, to: MEMORY, kind: 'memory' });
  }
  edges.push(...messageEdges(model, boxes, keyOf), ...regionEdges(model, keyOf));
  return distinct(edges);
}

function allNodes(box: SceneBox): SceneNode[] {
  return [...box.nodes, ...box.boxes.flatMap(allNodes)];
}

/** MSIs: from the host past the vIOMMU, or, where the guest maps the doorbell, through it. */
function messageEdges(
  model: Model,
  boxes: readonly SceneBox[],
  keyOf: ReadonlyMap<string, string>,
): SceneEdge[] {
  return model.hosts.flatMap((host): SceneEdge[] => {
    const doorbell = model.doorbells.find(({ id }) => id === host.doorbell);
    const to = doorbell && keyOf.get(doorbell.id);
    const box = boxes.find(({ key }) => key === `host-${host.id}`);
    if (doorbell === undefined || to === undefined || box === undefined) return [];
    const inside = allNodes(box);
    const through = inside.flatMap(({ viommu }) => (viommu === undefined ? [] : [viommu]));
    if (doorbell.delivery === 'mapped' && through.length > 0) {
      return through.flatMap((id): SceneEdge[] => {
        const from = keyOf.get(id);
        return from === undefined ? [] : [{ from, to, kind: 'msi' }];
      });
    }
    const from = inside.at(-1);
    return from === undefined ? [] : [{ from: from.key, to, kind: 'msi', box: box.key }];
  });
}

function regionEdges({ reserved }: Model, keyOf: ReadonlyMap<string, string>): SceneEdge[] {
  return reserved.flatMap(({ id, viommu, endpoints }): SceneEdge[] => {
    const to = keyOf.get(id);
    if (to === undefined) return [];
    const holders = viommu === undefined ? endpoints : [viommu];
    return holders.flatMap((holder): SceneEdge[] => {
      const from = keyOf.get(holder);
      return from === undefined ? [] : [{ from, to, kind: 'region' }];
    });
  });
}

function distinct(edges: readonly SceneEdge[]): SceneEdge[] {
  const seen = new Map(edges.map((edge) => [`${edge.from} ${edge.to} ${edge.kind}`, edge]));
  return [...seen.values()];
}
