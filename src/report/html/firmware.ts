import { structuredPatch } from 'diff';
import type { FirmwareComparison } from '../../scenario/index.ts';
import { escapeMarkup as text } from '../markup.ts';

/** One piece of firmware in words: source of a tree, fields of a table. */
export interface FirmwareText {
  /** As in the observation: `device tree`, `VIOT`. */
  readonly name: string;
  readonly passed?: string;
  /** The guest's own copy. */
  readonly seen?: string;
}

/** Characters of a text that the page has; a tree of 2 MiB is twenty megabytes of source. */
const TEXT_MAX = 400_000;
/** Lines of a difference. */
const DIFF_MAX = 2000;
/** Milliseconds after which two texts count as too different to compare. */
const DIFF_PATIENCE = 2000;

const OUTCOMES = {
  identical: 'the guest has what was passed',
  different: 'the guest has something else',
  missing: 'the guest has none',
  unreadable: 'the guest’s copy cannot be read',
} as const;

/** Each image that was passed, as the guest saw it, and the difference where there is one. */
export function firmwareHtml(
  comparisons: readonly FirmwareComparison[],
  texts: readonly FirmwareText[],
): string {
  if (comparisons.length === 0) return '<p class="note">No firmware was passed.</p>';
  return comparisons
    .map((comparison) =>
      imageHtml(comparison, texts.find(({ name }) => name === comparison.name) ?? { name: '' }),
    )
    .join('\n');
}

function imageHtml(comparison: FirmwareComparison, { passed, seen }: FirmwareText): string {
  const { name, outcome, differences, edited } = comparison;
  const good = outcome === 'identical';
  const shown = seen ?? passed;
  const whose = seen === undefined ? 'as it was passed' : 'as the guest saw it';
  return [
    `<details class="image ${outcome}"${good ? '' : ' open'}>`,
    `<summary><span class="mark" aria-hidden="true">${good ? '✓' : '✗'}</span> <span class="title">${text(name)}</span> <span class="state">${OUTCOMES[outcome]}</span></summary>`,
    ...(edited.length === 0
      ? []
      : [
          `<p class="note">The machine itself writes ${text(edited.join(', '))}: not compared.</p>`,
        ]),
    ...listHtml(differences),
    ...(passed !== undefined && seen !== undefined && passed !== seen
      ? [diffHtml(name, passed, seen, good)]
      : []),
    ...(shown === undefined ? [] : [sourceHtml(name, shown, whose)]),
    '</details>',
  ].join('\n');
}

function listHtml(differences: readonly string[]): string[] {
  if (differences.length === 0) return [];
  const items = differences.slice(0, 100).map((line) => `<li><code>${text(line)}</code></li>`);
  const rest = differences.length - items.length;
  if (rest > 0) items.push(`<li>and ${rest} more</li>`);
  return [`<ul class="differences">${items.join('')}</ul>`];
}

function diffHtml(name: string, passed: string, seen: string, good: boolean): string {
  const patch = structuredPatch('passed', 'seen', cut(passed), cut(seen), '', '', {
    context: 3,
    timeout: DIFF_PATIENCE,
  });
  const title = `Difference: − passed, + seen by the guest`;
  if (patch === undefined) return '<p class="note">Too different to be set side by side.</p>';
  const lines = patch.hunks.flatMap(({ oldStart, lines: changed }) => [
    `<span class="hunk">@ line ${oldStart}</span>`,
    ...changed.map((line) => `<span class="${diffClass(line)}">${text(line)}</span>`),
  ]);
  const rest = lines.length - DIFF_MAX;
  const more = rest > 0 ? [`<span class="hunk">and ${rest} more lines</span>`] : [];
  // Each line is a block of its own.
  const body = [...lines.slice(0, DIFF_MAX), ...more].join('');
  return `<details class="source"${good ? '' : ' open'}><summary>${title}</summary><pre class="diff" tabindex="0" role="region" aria-label="Difference of ${text(name)}">${body}</pre></details>`;
}

function diffClass(line: string): string {
  if (line.startsWith('+')) return 'added';
  return line.startsWith('-') ? 'removed' : 'same';
}

function sourceHtml(name: string, source: string, whose: string): string {
  return `<details class="source"><summary>${text(name)} ${whose}</summary><pre tabindex="0" role="region" aria-label="${text(name)} ${whose}">${text(cut(source))}</pre></details>`;
}

function cut(source: string): string {
  if (source.length <= TEXT_MAX) return source;
  return `${source.slice(0, TEXT_MAX)}\n… ${source.length - TEXT_MAX} more characters\n`;
}
