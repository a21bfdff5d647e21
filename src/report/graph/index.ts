import type { Model } from '../../topology/index.ts';
import { toDot } from './dot.ts';
import { sceneOf } from './scene.ts';
import { finishSvg, layOut, type SvgOptions } from './svg.ts';

/** A topology as a graph in Graphviz's language. The same model gives the same text. */
export function topologyDot(model: Model): string {
  return toDot(sceneOf(model));
}

/**
 * A topology as an SVG picture: accessible, light and dark, ids of the topology as ids of its
 * elements (`endpoint-disk0`, `viommu-viommu0`). The same model gives the same bytes.
 */
export async function topologySvg(model: Model, options: SvgOptions = {}): Promise<string> {
  const scene = sceneOf(model);
  return finishSvg(await layOut(toDot(scene)), scene, options);
}
