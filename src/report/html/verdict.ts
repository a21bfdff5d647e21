import type {
  Cause,
  Environment,
  Evidence,
  Item,
  PromiseResult,
  Verdict,
} from '../../scenario/index.ts';
import { escapeMarkup as text } from '../markup.ts';

const WORDS = { pass: 'kept', fail: 'broken', 'not-observable': 'not observable' } as const;
const MARKS = { pass: '✓', fail: '✗', 'not-observable': '–' } as const;

/** Items of one promise in the page; a topology of thousands of endpoints has thousands. */
const ITEMS_MAX = 300;

/** Promises, evidence and causes. */
export function verdictHtml(verdict: Verdict): string {
  return [
    ...causesHtml(verdict.causes),
    ...(verdict.ending.kind === 'completed' ? [] : [endingHtml(verdict.ending)]),
    '<div class="promises">',
    // What is broken comes first; sorting keeps the order of the others.
    ...verdict.promises
      .toSorted((a, b) => Number(b.outcome === 'fail') - Number(a.outcome === 'fail'))
      .map(promiseHtml),
    '</div>',
  ].join('\n');
}

function causesHtml(causes: readonly Cause[]): string[] {
  if (causes.length === 0) return [];
  const heading = causes.length === 1 ? 'Cause' : 'Causes, the likeliest first';
  return [
    `<h3>${heading}</h3>`,
    ...causes.map(({ id, message, cure, evidence, endpoints }) =>
      [
        '<div class="cause">',
        `<p class="cause-id"><code>${text(id)}</code>${endpoints.length === 0 ? '' : ` ${endpoints.slice(0, 20).map(endpointButton).join(' ')}`}</p>`,
        `<p>${text(message)}</p>`,
        ...(cure === undefined ? [] : [`<p class="cure"><b>Cure:</b> ${text(cure)}</p>`]),
        evidenceHtml(evidence),
        '</div>',
      ].join('\n'),
    ),
  ];
}

function endpointButton(id: string): string {
  return `<button type="button" class="chip" data-endpoint="${text(id)}">${text(id)}</button>`;
}

function endingHtml({ kind, detail }: Verdict['ending']): string {
  return `<p class="ending"><b>${text(kind)}</b>: ${text(detail)}</p>`;
}

function promiseHtml({ id, title, outcome, items }: PromiseResult): string {
  const shown = items
    .toSorted((a, b) => Number(b.outcome === 'fail') - Number(a.outcome === 'fail'))
    .slice(0, ITEMS_MAX);
  const rest = items.length - shown.length;
  return [
    `<details class="promise ${outcome}" data-promise="${text(id)}"${outcome === 'fail' ? ' open' : ''}>`,
    `<summary><span class="mark" aria-hidden="true">${MARKS[outcome]}</span> <span class="title">${text(title)}</span> <span class="state">${WORDS[outcome]}</span> <span class="brief">${text(brief(items))}</span></summary>`,
    '<table class="items"><thead><tr><th scope="col">About</th><th scope="col">State</th><th scope="col">Expected</th><th scope="col">Seen</th></tr></thead><tbody>',
    ...shown.map(itemHtml),
    '</tbody></table>',
    ...(rest > 0 ? [`<p class="note">and ${rest} more, as promised</p>`] : []),
    '</details>',
  ].join('\n');
}

function brief(items: readonly Item[]): string {
  const [only] = items;
  if (items.length === 1 && only !== undefined) return only.seen;
  const failed = items.filter(({ outcome }) => outcome === 'fail').length;
  return failed === 0 ? `all ${items.length}` : `${failed} of ${items.length}`;
}

function itemHtml({ subject, endpoint, outcome, expected, seen, evidence }: Item): string {
  const about =
    endpoint === undefined
      ? text(subject)
      : `<button type="button" class="link" data-endpoint="${text(endpoint)}">${text(subject)}</button>`;
  return [
    `<tr class="${outcome}"><th scope="row">${about}</th><td><span class="mark" aria-hidden="true">${MARKS[outcome]}</span> ${WORDS[outcome]}</td>`,
    `<td>${text(expected)}</td><td>${text(seen)}${evidenceHtml(evidence)}</td></tr>`,
  ].join('');
}

function evidenceHtml(evidence: readonly Evidence[]): string {
  if (evidence.length === 0) return '';
  const lines = evidence.map(({ source, text: said, time }) => {
    const at = time === undefined ? '' : ` <span class="time">${time.toFixed(3)} s</span>`;
    return `<li><span class="source">${text(source)}</span>${at} <code>${text(said)}</code></li>`;
  });
  return `<ul class="evidence">${lines.join('')}</ul>`;
}

/** What the run was made of, as a list of terms. */
export function environmentHtml(environment: Environment): string {
  const { backend, machine, accelerator, kernel, initramfsSha256, firmware, seed, command } =
    environment;
  const rows: [string, string | undefined][] = [
    ['Backend', backend],
    ['Machine', machine],
    ['CPU', accelerator === undefined ? undefined : `${accelerator.name} (${accelerator.why})`],
    ['Kernel', kernel?.release],
    ['Kernel from', kernel?.origin],
    ['Kernel sha256', kernel?.sha256],
    ['Initramfs sha256', initramfsSha256],
    ['Firmware', firmware],
    ['Seed', seed],
    ['Command', command?.join(' ')],
    [
      'Times',
      Object.entries(environment.timings)
        .map(([name, seconds]) => `${name} ${seconds.toFixed(1)} s`)
        .join(', '),
    ],
    ['Serial log', environment.serialLog],
    ...environment.notes.map((note): [string, string] => ['Note', note]),
  ];
  const known = rows.filter(([, value]) => value !== undefined && value !== '');
  return `<dl class="environment">${known
    .map(([name, value]) => `<div><dt>${name}</dt><dd>${text(value ?? '')}</dd></div>`)
    .join('')}</dl>`;
}
