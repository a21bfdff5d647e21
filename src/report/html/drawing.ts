import type { DeviceRecord, Verdict } from '../../scenario/index.ts';
import type { Model } from '../../topology/index.ts';
import { sceneOf, type Scene, type SceneBox, type SceneNode } from '../graph/scene.ts';
import { toDot } from '../graph/dot.ts';
import { finishSvg, layOut } from '../graph/svg.ts';

/** What happened to a node: the colour of its border in the drawing. */
type State = 'failed' | 'passed' | 'faulted' | 'quiet';

/** The topology, each endpoint coloured by what happened to it. */
export async function drawingHtml(
  model: Model,
  verdict: Verdict,
  device: DeviceRecord,
): Promise<string> {
  const scene = sceneOf(model);
  const states = statesOf(model, verdict, device);
  const notes = new Map<string, readonly [State, string]>();
  for (const node of nodesOf(scene)) {
    if (node.kind !== 'endpoint') continue;
    notes.set(node.key, noteOf(node, states));
  }
  const svg = finishSvg(await layOut(toDot(scene)), scene, { styled: false, notes });
  return svg.replace('role="img"', 'role="group"');
}

function nodesOf(scene: Scene): SceneNode[] {
  const inside = ({ nodes, boxes }: SceneBox): SceneNode[] => [...nodes, ...boxes.flatMap(inside)];
  return [...scene.nodes, ...scene.boxes.flatMap(inside)];
}

interface Endpoints {
  /** Topology ids of endpoints with a broken promise. */
  readonly failed: ReadonlySet<string>;
  /** … with a kept one. */
  readonly passed: ReadonlySet<string>;
  /** … with a fault record: expected, where no promise is broken. */
  readonly faulted: ReadonlySet<string>;
}

function statesOf(model: Model, { promises }: Verdict, device: DeviceRecord): Endpoints {
  const failed = new Set<string>();
  const passed = new Set<string>();
  for (const { endpoint, outcome } of promises.flatMap(({ items }) => items)) {
    if (endpoint === undefined) continue;
    if (outcome === 'fail') failed.add(endpoint);
    if (outcome === 'pass') passed.add(endpoint);
  }
  // QEMU's trace does not say which vIOMMU it was: its records go by the ID alone.
  const trouble = new Set(
    device.endpoints
      .filter(({ fault }) => fault.count > 0)
      .map(({ viommu = '', endpoint }) => `${viommu}/${endpoint}`),
  );
  const faulted = new Set(
    model.endpoints.flatMap(({ id, viommu, endpointId }) =>
      viommu !== undefined &&
      endpointId !== undefined &&
      (trouble.has(`${viommu}/${endpointId}`) || trouble.has(`/${endpointId}`))
        ? [id]
        : [],
    ),
  );
  return { failed, passed, faulted };
}

function noteOf({ ids }: SceneNode, states: Endpoints): readonly [State, string] {
  const count = (of: ReadonlySet<string>): number => ids.filter((id) => of.has(id)).length;
  const failed = count(states.failed);
  const faulted = count(states.faulted);
  const many = ids.length > 1;
  if (failed > 0)
    return ['failed', many ? `${failed} of them with broken promises` : 'a promise is broken'];
  if (faulted > 0)
    return ['faulted', many ? `${faulted} of them faulted, as expected` : 'faulted, as expected'];
  if (count(states.passed) > 0) return ['passed', 'all promises kept'];
  return ['quiet', 'nothing was promised or seen'];
}
