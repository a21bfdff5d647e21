import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { loadTopology, type Model } from '../../../src/topology/index.ts';

const folder = join(import.meta.dirname, '../../../topologies');

/** File names of all topologies that are shipped. */
export const shipped: readonly string[] = readdirSync(folder).filter((name) =>
  name.endsWith('.yaml'),
);

/** The model of a shipped topology; throws when it cannot be loaded. */
export function shippedModel(name: string): Model {
  const { model, diagnostics } = loadTopology(join(folder, name));
  if (model === undefined) throw new Error(`${name}: ${JSON.stringify(diagnostics[0])}`);
  return model;
}
