import { printable } from '../style.ts';
import type { Scene, SceneBox, SceneEdge, SceneNode } from './scene.ts';

/** Colours of the light picture; the SVG's style sheet has them, and the dark ones, by class. */
const FILLS: Readonly<Record<SceneNode['kind'], readonly [fill: string, line: string]>> = {
  endpoint: ['#ffffff', '#3b6ea8'],
  rest: ['#f6f7f9', '#9aa5b1'],
  empty: ['#f6f7f9', '#c3cad2'],
  viommu: ['#e3edf9', '#1f5fa8'],
  doorbell: ['#f1ebfa', '#7a4fb5'],
  region: ['#fdf3dc', '#b07a10'],
  memory: ['#e6f4ea', '#2c7a4b'],
  more: ['#f6f7f9', '#9aa5b1'],
};

const BYPASS = '#c2571a';
const DIM = '#566270';

const EDGES: Readonly<Record<SceneEdge['kind'], string>> = {
  translated: 'color="#3b6ea8"',
  bypass: `color="${BYPASS}" style=dashed minlen=2`,
  memory: 'color="#2c7a4b" penwidth=1.6',
  msi: 'color="#7a4fb5" style=dotted penwidth=1.4 weight=0',
  region: 'color="#b07a10" style=dotted arrowhead=none',
};

/** Longest text of a line; what is longer is cut in the picture, and whole in its description. */
const LINE_MAX = 60;

/** A scene in the language of Graphviz, colours and all: it draws well without our style sheet. */
export function toDot(scene: Scene): string {
  const lines = [
    `digraph ${quoted(scene.name)} {`,
    '  graph [rankdir=LR, compound=true, fontname="Helvetica", fontsize=12, nodesep=0.16,',
    '    ranksep=1.1, pad=0.2, bgcolor="transparent", splines=true, newrank=true]',
    '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=12, margin="0.12,0.06", height=0.3]',
    '  edge [arrowsize=0.6, fontname="Helvetica", fontsize=10]',
    // From the last to the first: Graphviz puts what comes first at the bottom.
    ...scene.boxes.toReversed().flatMap((box) => boxLines(box, '  ')),
    ...scene.nodes.map((node) => `  ${nodeLine(node)}`),
    // What devices reach stands in one column: memory and doorbells.
    `  { rank=same; ${ends(scene)} }`,
    ...scene.edges.map((edge, index) => `  ${edgeLine(edge, index)}`),
    '}',
  ];
  return `${lines.join('\n')}\n`;
}

function ends({ nodes }: Scene): string {
  return nodes
    .filter(({ key, kind }) => kind === 'memory' || key.startsWith('doorbell'))
    .map(({ key }) => quoted(key))
    .join('; ');
}

function boxLines(box: SceneBox, indent: string): string[] {
  const inner = `${indent}  `;
  return [
    `${indent}subgraph ${quoted(`cluster_${box.key}`)} {`,
    `${inner}graph [id=${quoted(box.key)}, class="bus", label=${label(box.title, box.lines)}, labeljust=l,`,
    `${inner}  style="rounded,filled", color="#c3cad2", fillcolor="#f4f6f8", margin=10]`,
    ...box.boxes.toReversed().flatMap((one) => boxLines(one, inner)),
    ...box.nodes.toReversed().map((node) => `${inner}${nodeLine(node)}`),
    `${indent}}`,
  ];
}

function nodeLine({ key, kind, title, lines, viommu }: SceneNode): string {
  const bypass = kind === 'endpoint' && viommu === undefined;
  const [fill, line] = FILLS[kind];
  const classes = bypass ? `${kind} bypass` : kind;
  const colour = bypass ? BYPASS : line;
  const style =
    bypass || kind === 'rest' || kind === 'empty' ? ', style="rounded,filled,dashed"' : '';
  const text = `id=${quoted(key)}, class=${quoted(classes)}, label=${label(title, lines)}`;
  return `${quoted(key)} [${text}, fillcolor="${fill}", color="${colour}"${style}]`;
}

function edgeLine({ from, to, kind, box }: SceneEdge, index: number): string {
  const tail = box === undefined ? '' : ` ltail=${quoted(`cluster_${box}`)}`;
  return `${quoted(from)} -> ${quoted(to)} [id="edge-${index}", class="${kind}", ${EDGES[kind]}${tail}]`;
}

/** A heading and small lines below, all flush left. */
function label(title: string, lines: readonly string[]): string {
  const rows = [
    `<TR><TD ALIGN="LEFT"><B>${markup(title)}</B></TD></TR>`,
    ...lines.map(
      (line) =>
        `<TR><TD ALIGN="LEFT"><FONT POINT-SIZE="10" COLOR="${DIM}">${markup(line)}</FONT></TD></TR>`,
    ),
  ];
  return `<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">${rows.join('')}</TABLE>>`;
}

/** A quoted string of the DOT language: a backslash at its end would take the quote along. */
export function quoted(text: string): string {
  return `"${printable(text).replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

/** Text of an HTML-like label. */
function markup(text: string): string {
  const whole = printable(text);
  const short = whole.length > LINE_MAX ? `${whole.slice(0, LINE_MAX - 1)}…` : whole;
  return short
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll('\\', '&#92;');
}
