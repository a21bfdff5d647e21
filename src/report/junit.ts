import type { Item, PromiseResult, Verdict } from '../scenario/index.ts';
import { printable } from './style.ts';

/**
 * Verdicts as JUnit XML, in the form that GitLab, Jenkins and GitHub's reporters read: a suite for
 * each topology, a case for each promise. `not-observable` is `skipped`.
 */
export function verdictsJunit(verdicts: readonly Verdict[]): string {
  const suites = verdicts.map(suite);
  const all = verdicts.flatMap(({ promises }) => promises);
  const seconds = verdicts.reduce((sum, verdict) => sum + total(verdict), 0);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="viommu-topo" ${counts(all)} time="${seconds.toFixed(3)}">`,
    ...suites,
    '</testsuites>',
    '',
  ].join('\n');
}

function suite(verdict: Verdict): string {
  const { topology, promises, environment, summary } = verdict;
  const { backend, firmwareKind } = environment;
  const name = `${topology.name} (${firmwareKind === undefined ? backend : `${backend}, ${firmwareKind}`})`;
  const lines = [
    `  <testsuite name="${attribute(name)}" ${counts(promises)} time="${total(verdict).toFixed(3)}">`,
    ...promises.map((promise) => testCase(promise, topology.name, verdict)),
    `    <system-out>${content(summary)}</system-out>`,
    '  </testsuite>',
  ];
  return lines.join('\n');
}

function counts(promises: readonly PromiseResult[]): string {
  const failures = promises.filter(({ outcome }) => outcome === 'fail').length;
  const skipped = promises.filter(({ outcome }) => outcome === 'not-observable').length;
  return `tests="${promises.length}" failures="${failures}" errors="0" skipped="${skipped}"`;
}

function testCase(promise: PromiseResult, topology: string, { causes }: Verdict): string {
  const open = `    <testcase classname="${attribute(topology)}" name="${attribute(`${promise.id}: ${promise.title}`)}"`;
  if (promise.outcome === 'pass') return `${open}/>`;
  if (promise.outcome === 'not-observable') {
    return `${open}>\n      <skipped message="${attribute(promise.items[0]?.seen ?? '')}"/>\n    </testcase>`;
  }
  const items = promise.items.filter(({ outcome }) => outcome === 'fail');
  const [cause] = causes;
  const message = cause === undefined ? describe(items[0]) : `${cause.id}: ${cause.message}`;
  const text = items.map(
    (item) =>
      `${describe(item)}\n${item.evidence.map((one) => `  ${one.source}: ${printable(one.text)}\n`).join('')}`,
  );
  return [
    `${open}>`,
    `      <failure type="${attribute(cause?.id ?? promise.id)}" message="${attribute(message)}">${content(text.join(''))}</failure>`,
    '    </testcase>',
  ].join('\n');
}

function describe(item: Item | undefined): string {
  if (item === undefined) return '';
  return `${printable(item.subject)}: expected ${printable(item.expected)}; seen ${printable(item.seen)}`;
}

function total({ environment }: Verdict): number {
  return environment.timings['total'] ?? 0;
}

/** XML 1.0, 2.2 Characters: what may not stand in a document even escaped. */
const FORBIDDEN =
  // oxlint-disable-next-line no-control-regex -- these are the characters XML forbids
  /[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;

function content(text: string): string {
  return text
    .replaceAll(FORBIDDEN, '\uFFFD')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;');
}

function attribute(text: string): string {
  return content(printable(text)).replaceAll('"', '&quot;');
}
