import { stringify } from 'yaml';
import type { PromiseResult, Verdict } from '../scenario/index.ts';
import { printable } from './style.ts';

/**
 * Verdicts as TAP version 14: a subtest for each topology, a test point for each promise, what was
 * seen in a YAML block. `not-observable` is a SKIP.
 */
export function verdictsTap(verdicts: readonly Verdict[]): string {
  return [
    'TAP version 14',
    `1..${verdicts.length}`,
    ...verdicts.flatMap((verdict, index) => subtest(verdict, index + 1)),
    '',
  ].join('\n');
}

function subtest(verdict: Verdict, number: number): string[] {
  const { topology, environment, promises, causes, summary } = verdict;
  const name = description(`${topology.name} (${environment.backend})`);
  const ok = verdict.outcome === 'pass' ? 'ok' : 'not ok';
  const points = promises.flatMap((promise, index) => point(promise, index + 1));
  const [cause] = causes;
  return [
    `# Subtest: ${name}`,
    ...[`1..${promises.length}`, ...points].map((line) => `    ${line}`),
    `${ok} ${number} - ${name}`,
    ...(verdict.outcome === 'pass'
      ? []
      : block({
          message: printable(summary),
          ...(cause === undefined
            ? {}
            : {
                cause: cause.id,
                why: printable(cause.message),
                ...(cause.cure === undefined ? {} : { cure: printable(cause.cure) }),
              }),
          ...(environment.serialLog === undefined ? {} : { console: environment.serialLog }),
        })),
  ];
}

function point(promise: PromiseResult, number: number): string[] {
  const { id, title, outcome, items } = promise;
  const text = description(`${id}: ${title}`);
  if (outcome === 'pass') return [`ok ${number} - ${text}`];
  if (outcome === 'not-observable') {
    return [
      `ok ${number} - ${text} # SKIP ${description(items[0]?.seen ?? 'not observable here')}`,
    ];
  }
  const broken = items.filter((item) => item.outcome === 'fail');
  const seen = broken.map((item) => ({
    subject: printable(item.subject),
    expected: printable(item.expected),
    seen: printable(item.seen),
    evidence: item.evidence.map(({ source, text: line }) => `${source}: ${printable(line)}`),
  }));
  return [`not ok ${number} - ${text}`, ...block({ broken: seen })];
}

/** A YAML diagnostic block, indented by two (TAP 14, YAML Diagnostics). */
function block(value: unknown): string[] {
  const lines = stringify(value, { lineWidth: 0 }).trimEnd().split('\n');
  return ['  ---', ...lines.map((line) => `  ${line}`), '  ...'];
}

/** Without what would end a description or start a directive (TAP 14, Escaping). */
function description(text: string): string {
  return printable(text).replaceAll('\\', '\\\\').replaceAll('#', '\\#');
}
