import { escapeMarkup } from '../markup.ts';
import type { Scene, SceneBox, SceneEdge, SceneNode } from './scene.ts';
import { GRAPH_STYLE } from './style.ts';

export interface SvgOptions {
  /** With its own style sheet, light and dark. Without: for a page that has one. Default true. */
  readonly styled?: boolean;
  /** By the key of a node: a class to add, and words to add to its title. Such nodes take focus. */
  readonly notes?: ReadonlyMap<string, readonly [kind: string, words: string]>;
}

/** Draws DOT text: Graphviz as WebAssembly, loaded when the first picture is drawn. */
export async function layOut(dot: string): Promise<string> {
  const { Graphviz } = await import('@hpcc-js/wasm-graphviz');
  const graphviz = await Graphviz.load();
  return graphviz.dot(dot, 'svg');
}

/**
 * What Graphviz drew, made accessible: a title, a description in words, a name for every node and
 * edge, and a style sheet that knows dark rooms. The same scene gives the same bytes.
 */
export function finishSvg(drawn: string, scene: Scene, options: SvgOptions = {}): string {
  const body = drawn.slice(drawn.indexOf('<svg'));
  const viewBox = /viewBox="([-0-9. ]+)"/u.exec(body)?.[1] ?? '0 0 100 100';
  const [, , width = '100', height = '100'] = viewBox.split(' ');
  const inner = body.slice(body.indexOf('>') + 1);
  const size = `width="${Math.ceil(Number(width))}pt" height="${Math.ceil(Number(height))}pt"`;
  const named = inner
    .replaceAll(/<!--[\s\S]*?-->\n?/gu, '')
    .replaceAll('&#45;', '-')
    .replaceAll(' xml:space="preserve"', '')
    // The picture has its description; a title here would be a second one.
    .replace(/(<g id="graph0"[^>]*>)\n<title>[\s\S]*?<\/title>/u, '$1');
  const titles = titlesOf(scene);
  const whole = named.replaceAll(
    /(<g id="([^"]*)" class="[^"]*">)\n<title>[\s\S]*?<\/title>/gu,
    (_: string, open: string, id: string) => {
      const title = titles.get(id);
      if (title === undefined) return open;
      const note = options.notes?.get(id);
      if (note === undefined) return `${open}\n<title>${escapeMarkup(title)}</title>`;
      const [kind, words] = note;
      const said = escapeMarkup(`${title}; ${words}`);
      const attributes = `tabindex="0" role="button" aria-label="${said}">`;
      return `${open.replace(/">$/u, ` ${kind}" ${attributes}`)}\n<title>${said}</title>`;
    },
  );
  const head = [
    `<svg xmlns="http://www.w3.org/2000/svg" class="topology" role="img" aria-labelledby="topology-title topology-desc" ${size} viewBox="${viewBox}">`,
    `<title id="topology-title">${escapeMarkup(`Topology ${scene.name}`)}</title>`,
    `<desc id="topology-desc">${escapeMarkup(describeScene(scene))}</desc>`,
    ...(options.styled === false ? [] : [`<style>${GRAPH_STYLE}</style>`]),
  ];
  return `${head.join('\n')}${whole.trimEnd()}\n`;
}

/** What each element says when it is pointed at or read aloud; by its id. */
function titlesOf(scene: Scene): Map<string, string> {
  const titles = new Map<string, string>();
  const names = new Map<string, string>();
  const node = ({ key, title, lines }: SceneNode): void => {
    names.set(key, title);
    titles.set(key, [title, ...lines].join(', '));
  };
  const box = ({ key, title, lines, nodes, boxes }: SceneBox): void => {
    names.set(key, title);
    titles.set(key, [title, ...lines].join(', '));
    nodes.forEach(node);
    boxes.forEach(box);
  };
  scene.boxes.forEach(box);
  scene.nodes.forEach(node);
  scene.edges.forEach((edge, index) => titles.set(`edge-${index}`, edgeTitle(edge, names)));
  return titles;
}

function edgeTitle({ from, to, kind, box }: SceneEdge, names: ReadonlyMap<string, string>): string {
  const name = (key: string): string => names.get(key) ?? key;
  switch (kind) {
    case 'translated':
      return `${name(from)} is translated by ${name(to)}`;
    case 'bypass':
      return `${name(from)} bypasses translation`;
    case 'memory':
      return `${name(from)} reaches guest memory through its mappings`;
    case 'msi':
      return `MSIs of ${name(box ?? from)} go to ${name(to)}`;
    case 'region':
      return `${name(to)} holds for ${name(from)}`;
    default:
      return kind satisfies never;
  }
}

/** Longest description; somebody listens to it. */
const DESCRIPTION_MAX = 4000;

/** The picture in words. */
export function describeScene(scene: Scene): string {
  const drawn = scene.boxes.flatMap(function nodes(box: SceneBox): SceneNode[] {
    return [...box.nodes, ...box.boxes.flatMap(nodes)];
  });
  const parts = [
    ...(scene.description === '' ? [] : [scene.description]),
    ...drawn
      .filter(({ kind }) => kind !== 'empty')
      .map(({ title, lines, viommu }) => {
        const how = viommu === undefined ? 'bypasses' : `behind ${viommu}`;
        return `${[title, ...lines].join(', ')}: ${how}.`;
      }),
    ...scene.nodes.map(({ title, lines }) => `${[title, ...lines].join(', ')}.`),
  ];
  const text = parts.join(' ');
  return text.length <= DESCRIPTION_MAX ? text : `${text.slice(0, DESCRIPTION_MAX)} …`;
}
