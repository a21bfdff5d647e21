import { readdirSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Diagnostic } from '../diagnostic.ts';
import { finding } from '../input-rule.ts';
import { didYouMean } from '../nearest.ts';
import { merge } from './merge.ts';
import { nodeAt, without, type DataNode, type ScalarNode } from './node.ts';
import { parse } from './parse.ts';
import { EXTENDS_CYCLE, FILE_UNREADABLE, YAML_SYNTAX } from './problems.ts';
import { readSource, type SourceText } from './text.ts';

/** Topology → family skeleton → machine skeleton → board: more is a mistake. */
const EXTENDS_MAX = 8;

/** The skeletons that come with the package; the same two levels up from `src` and from `dist`. */
export const TEMPLATES: string = fileURLToPath(new URL('../../../templates', import.meta.url));

/** Names that `extends` knows without a path. */
export function templateNames(directory: string = TEMPLATES): readonly string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith('.yaml'))
      .map((name) => basename(name, '.yaml'))
      .toSorted();
  } catch {
    return [];
  }
}

export interface Layered {
  readonly root?: DataNode;
  readonly diagnostics: readonly Diagnostic[];
  /** Text of each file that was read, by the name that places use. */
  readonly sources: ReadonlyMap<string, string>;
}

/** One file of the chain. */
interface Layer {
  /** Where it is. */
  readonly path: string;
  /** What places call it. */
  readonly file: string;
}

/** Parses `source` and merges it over everything it extends. */
export function loadLayers(source: SourceText, path: string, templates: string): Layered {
  const sources = new Map([[source.file, source.text]]);
  const diagnostics: Diagnostic[] = [];
  const roots: DataNode[] = [];
  const chain: Layer[] = [{ path: resolve(path), file: source.file }];
  let current: SourceText | undefined = source;
  while (current !== undefined) {
    const root = parseMap(current, diagnostics);
    if (root !== undefined) roots.push(roots.length === 0 ? root : inheritable(root));
    const next = root && nextLayer(root, chain, templates, diagnostics);
    current = next && readLayer(next, root, diagnostics);
    if (next !== undefined && current !== undefined) {
      chain.push(next);
      sources.set(current.file, current.text);
    }
  }
  const merged = roots.reduceRight<DataNode | undefined>(
    (base, over) => (base === undefined ? over : merge(base, over)),
    undefined,
  );
  return { ...(merged === undefined ? {} : { root: merged }), diagnostics, sources };
}

function parseMap(source: SourceText, diagnostics: Diagnostic[]): DataNode | undefined {
  const { root, diagnostics: found } = parse(source);
  diagnostics.push(...found);
  if (root?.kind === 'map') return root;
  if (found.length === 0) {
    const what = root === undefined ? 'the file is empty' : `a ${root.kind} stands here`;
    const place = root?.place ?? ({ kind: 'file', file: source.file } as const);
    diagnostics.push(finding(YAML_SYNTAX, place, `a topology is a map, but ${what}`));
  }
  return undefined;
}

/** A topology does not pass its own name on. */
function inheritable(root: DataNode): DataNode {
  return without(root, [['name'], ['description']]);
}

/** The layer that `root` extends, if it names one that can be used. */
function nextLayer(
  root: DataNode,
  chain: readonly Layer[],
  templates: string,
  diagnostics: Diagnostic[],
): Layer | undefined {
  const node = nodeAt(root, ['extends']);
  const from = chain.at(-1);
  if (node?.kind !== 'scalar' || typeof node.value !== 'string' || from === undefined) {
    return undefined;
  }
  const next = locate(node.value, from, templates);
  if (next === undefined) {
    diagnostics.push(unknownTemplate(node, templates));
    return undefined;
  }
  const seen = chain.find((layer) => layer.path === next.path);
  if (seen !== undefined) {
    const message = `"${node.value}" leads back to ${seen.file}`;
    diagnostics.push(finding(EXTENDS_CYCLE, node.place, message));
    return undefined;
  }
  if (chain.length > EXTENDS_MAX) {
    const message = `more than ${EXTENDS_MAX} files extend each other`;
    diagnostics.push(finding(EXTENDS_CYCLE, node.place, message));
    return undefined;
  }
  return next;
}

function locate(name: string, from: Layer, templates: string): Layer | undefined {
  if (/[./\\]/.test(name)) {
    const path = resolve(dirname(from.path), name);
    return { path, file: isAbsolute(name) ? name : join(dirname(from.file), name) };
  }
  if (!templateNames(templates).includes(name)) return undefined;
  return { path: resolve(templates, `${name}.yaml`), file: `templates/${name}.yaml` };
}

function unknownTemplate(node: ScalarNode, templates: string): Diagnostic {
  const names = templateNames(templates);
  const name = String(node.value);
  const message = `there is no template "${name}"${didYouMean(name, names)}`;
  return finding(FILE_UNREADABLE, node.place, message, {
    cure: `write one of ${names.join(', ')}, or a path with a slash: ./mine.yaml`,
  });
}

/** Reads a layer; a file that cannot be read is reported where it was named. */
function readLayer(
  layer: Layer,
  root: DataNode | undefined,
  diagnostics: Diagnostic[],
): SourceText | undefined {
  const reading = readSource(layer.path, layer.file);
  if ('source' in reading) return reading.source;
  const { problem } = reading;
  const named = root && nodeAt(root, ['extends']);
  const place = problem.place.kind === 'file' && named ? named.place : problem.place;
  diagnostics.push({ ...problem, place });
  return undefined;
}
