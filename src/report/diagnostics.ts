import { hex } from '../bytes/index.ts';
import type { Diagnostic, Place, SourcePlace } from '../topology/index.ts';
import { printable, styleFor, type Style } from './style.ts';

/** How diagnostics are printed. */
export interface DiagnosticOptions {
  readonly color: boolean;
  /** Diagnostics printed in full; a count of the others follows. Default 200. */
  readonly limit?: number;
}

/** Text of each file that a diagnostic may point into, by the name its places have. */
export type Sources = ReadonlyMap<string, string>;

/** Characters of a source line that are printed; the window is laid around the place. */
const WIDTH = 100;

/**
 * Diagnostics as a person reads them: place, sentence, source line with a caret, the second places,
 * what a guest would do, and the cure. Ends with a line that counts, or is empty.
 */
export function renderDiagnostics(
  diagnostics: readonly Diagnostic[],
  sources: Sources,
  options: DiagnosticOptions,
): string {
  if (diagnostics.length === 0) return '';
  const style = styleFor(options.color);
  const lines = new LineIndex(sources);
  const limit = options.limit ?? 200;
  const blocks = diagnostics.slice(0, limit).map((diagnostic) => block(diagnostic, lines, style));
  if (diagnostics.length > limit) blocks.push(`… and ${diagnostics.length - limit} more`);
  return `${blocks.join('\n\n')}\n\n${countLine(diagnostics, style)}\n`;
}

function countLine(diagnostics: readonly Diagnostic[], style: Style): string {
  const errors = diagnostics.filter(({ severity }) => severity === 'error').length;
  const warnings = diagnostics.length - errors;
  const parts = [
    ...(errors === 0 ? [] : [style.red(`${errors} error${errors === 1 ? '' : 's'}`)]),
    ...(warnings === 0 ? [] : [style.yellow(`${warnings} warning${warnings === 1 ? '' : 's'}`)]),
  ];
  return style.bold(parts.join(', '));
}

function block(diagnostic: Diagnostic, lines: LineIndex, style: Style): string {
  const { rule, severity, place, message, effect, cure, related } = diagnostic;
  const colour = severity === 'error' ? style.red : style.yellow;
  const out = [
    `${style.bold(renderPlace(place))}: ${style.bold(colour(severity))}: ${printable(message)} ${style.dim(`[${rule}]`)}`,
    ...excerpt(place, lines, colour, style),
  ];
  for (const other of related) {
    out.push(`  ${style.blue('also')} ${renderPlace(other.place)}: ${printable(other.message)}`);
    out.push(...excerpt(other.place, lines, style.blue, style));
  }
  if (effect !== undefined) out.push(`  ${style.dim('effect:')} ${printable(effect)}`);
  if (cure !== undefined) out.push(`  ${style.dim('cure:')}   ${printable(cure)}`);
  return out.join('\n');
}

/** `its.yaml:4:7`, `topology.dtb: /pcie@… iommu-map (offset 0x1c0)`, `viot.aml: VIOT+0x30`. */
export function renderPlace(place: Place): string {
  switch (place.kind) {
    case 'source':
      return printable(`${place.file}:${place.line}:${place.column}`);
    case 'tree': {
      const property = place.property === undefined ? '' : ` ${place.property}`;
      const offset = place.offset === undefined ? '' : ` (offset ${hex(place.offset)})`;
      return printable(`${place.file}: ${place.path}${property}${offset}`);
    }
    case 'table': {
      const field = place.field === undefined ? '' : ` ${place.field}`;
      return printable(`${place.file}: ${place.table}+${hex(place.offset)}${field}`);
    }
    case 'file':
      return printable(place.file);
    default:
      return place satisfies never;
  }
}

/** The source line of a place with a caret below; nothing for places that are not in a text. */
function excerpt(
  place: Place,
  lines: LineIndex,
  colour: (text: string) => string,
  style: Style,
): string[] {
  if (place.kind !== 'source') return [];
  const line = lines.line(place);
  if (line === undefined) return [];
  const from = Math.max(0, place.column - 1 - Math.floor(WIDTH / 2));
  const start = line.length <= WIDTH ? 0 : Math.min(from, line.length - WIDTH);
  const shown = line.slice(start, start + WIDTH);
  const column = place.column - 1 - start;
  const length = Math.max(1, Math.min(place.limit - place.start, shown.length - column));
  const number = place.line.toString();
  const gutter = ' '.repeat(number.length);
  // A tab stays a tab, so that the caret stands below its character on every terminal.
  const indent = tabbed(shown.slice(0, column));
  const text = shown.split('\t').map(printable).join('\t');
  return [
    style.dim(`  ${number} | `) + text,
    style.dim(`  ${gutter} | `) + indent + colour(`^${'~'.repeat(length - 1)}`),
  ];
}

function tabbed(text: string): string {
  return Array.from(text, (char) =>
    char === '\t' ? '\t' : ' '.repeat(printable(char).length),
  ).join('');
}

/** Lines of the sources, found once per file: a bad file may have thousands of diagnostics. */
class LineIndex {
  readonly #sources: Sources;
  readonly #starts = new Map<string, number[]>();

  constructor(sources: Sources) {
    this.#sources = sources;
  }

  line(place: SourcePlace): string | undefined {
    const text = this.#sources.get(place.file);
    if (text === undefined) return undefined;
    let starts = this.#starts.get(place.file);
    if (starts === undefined) {
      starts = [0];
      for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1))
        starts.push(at + 1);
      this.#starts.set(place.file, starts);
    }
    const start = starts[place.line - 1];
    if (start === undefined) return undefined;
    const next = starts[place.line];
    return text.slice(start, next === undefined ? undefined : next - 1).replace(/\r$/u, '');
  }
}
