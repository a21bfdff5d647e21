import type {
  Cause,
  Environment,
  Evidence,
  Item,
  PromiseResult,
  Verdict,
} from '../scenario/index.ts';
import { printable, styleFor, type Style } from './style.ts';

/** How a verdict is printed. */
export interface TextOptions {
  readonly color: boolean;
  /** Every item of every promise, not only of those that failed. */
  readonly verbose?: boolean;
}

const MARKS = { pass: 'ok  ', fail: 'FAIL', 'not-observable': '  – ' } as const;

/**
 * A verdict as a person reads it. The last line is always the summary and ends in a newline;
 * nothing comes after it.
 */
export function renderVerdict(verdict: Verdict, options: TextOptions): string {
  const style = styleFor(options.color);
  const lines = [style.bold(`${verdict.topology.name}: what it promises, and what was seen`), ''];
  for (const promise of verdict.promises) {
    lines.push(...renderPromise(promise, style, options.verbose === true));
  }
  if (verdict.causes.length > 0) lines.push('', ...renderCauses(verdict.causes, style));
  const { tail } = verdict.ending;
  if (tail !== undefined) {
    lines.push('', style.bold('The last lines of the console'));
    for (const line of tail) lines.push(style.dim(`  ${printable(line)}`));
  }
  lines.push('', ...renderEnvironment(verdict.environment, style));
  const colour = verdict.outcome === 'pass' ? style.green : style.red;
  lines.push('', style.bold(colour(printable(verdict.summary))));
  return `${lines.join('\n')}\n`;
}

function mark(outcome: Item['outcome'], style: Style): string {
  const text = MARKS[outcome];
  if (outcome === 'pass') return style.green(text);
  return outcome === 'fail' ? style.red(text) : style.dim(text);
}

function renderPromise(promise: PromiseResult, style: Style, verbose: boolean): string[] {
  const { outcome, title, items } = promise;
  const lines = [`${mark(outcome, style)} ${title}`];
  if (!verbose && outcome !== 'fail') {
    lines[0] += style.dim(`  ${briefly(items)}`);
    return lines;
  }
  const shown = verbose ? items : items.filter((item) => item.outcome === 'fail');
  const width = Math.min(32, Math.max(...shown.map(({ subject }) => subject.length)));
  for (const item of shown) {
    const subject = printable(item.subject).padEnd(width);
    const seen =
      item.outcome === 'fail'
        ? `expected ${printable(item.expected)}; seen ${printable(item.seen)}`
        : printable(item.seen);
    lines.push(`       ${mark(item.outcome, style)} ${subject}  ${seen}`);
    if (item.outcome === 'fail' || verbose) {
      lines.push(...item.evidence.map((one) => `              ${renderEvidence(one, style)}`));
    }
  }
  const rest = items.length - shown.length;
  if (rest > 0) lines.push(style.dim(`            and ${rest} more as promised`));
  return lines;
}

/** What was seen of a kept promise, in one line's worth. */
function briefly(items: readonly Item[]): string {
  const [only] = items;
  if (items.length === 1 && only !== undefined) {
    return `[${printable(only.subject)}: ${printable(only.seen)}]`;
  }
  const unseen = items.filter(({ outcome }) => outcome === 'not-observable').length;
  return unseen === 0
    ? `[all ${items.length}]`
    : `[${items.length - unseen} of ${items.length} seen]`;
}

function renderEvidence({ source, text, time }: Evidence, style: Style): string {
  const at = time === undefined ? '' : ` ${time.toFixed(3)} s`;
  return `${style.dim(`${source}${at}:`)} ${printable(text)}`;
}

function renderCauses(causes: readonly Cause[], style: Style): string[] {
  const lines = [style.bold(causes.length === 1 ? 'Cause' : 'Causes, the likeliest first')];
  for (const { id, message, cure, evidence } of causes) {
    lines.push(`  ${style.red(id)}: ${printable(message)}`);
    if (cure !== undefined) lines.push(`    cure: ${printable(cure)}`);
    lines.push(...evidence.map((one) => `    ${renderEvidence(one, style)}`));
  }
  return lines;
}

function renderEnvironment(environment: Environment, style: Style): string[] {
  const { kernel, initramfsSha256, machine, accelerator, seed, timings } = environment;
  const rows: [string, string | undefined][] = [
    ['backend', environment.backend],
    ['machine', machine],
    ['CPU', accelerator === undefined ? undefined : `${accelerator.name} (${accelerator.why})`],
    ['kernel', kernel?.release],
    ['  from', kernel?.origin],
    ['  sha256', kernel?.sha256],
    ['initramfs', initramfsSha256 === undefined ? undefined : `sha256 ${initramfsSha256}`],
    ['firmware', environment.firmware],
    ['seed', seed],
    ['serial log', environment.serialLog],
    ['times', showTimings(timings)],
    ...environment.notes.map((note): [string, string] => ['note', note]),
  ];
  const known = rows.filter(
    (row): row is [string, string] => row[1] !== undefined && row[1] !== '',
  );
  return known.map(([name, value]) => `${style.dim(name.padEnd(11))} ${printable(value)}`);
}

function showTimings(timings: Environment['timings']): string {
  return Object.entries(timings)
    .map(([name, seconds]) => `${name} ${seconds.toFixed(1)} s`)
    .join(', ');
}
