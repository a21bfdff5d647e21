import type { Observation, Verdict } from '../../scenario/index.ts';
import type { Model } from '../../topology/index.ts';
import { GRAPH_STYLE } from '../graph/style.ts';
import { escapeMarkup as text, scriptJson } from '../markup.ts';
import { contentPolicy, reportAssets } from './assets.ts';
import { countersHtml } from './counters.ts';
import { drawingHtml } from './drawing.ts';
import { encodeEvents } from './encode.ts';
import { firmwareHtml, type FirmwareText } from './firmware.ts';
import { firstBootHtml } from './first-boot.ts';
import type { RecordedRun } from './recorder.ts';
import { environmentHtml, verdictHtml } from './verdict.ts';

/** Everything that a page about one boot is made of. */
export interface ReportInput {
  readonly model: Model;
  readonly verdict: Verdict;
  readonly observation: Observation;
  readonly run: RecordedRun;
  readonly firmware: readonly FirmwareText[];
  /** Of this program. */
  readonly version: string;
}

/**
 * A boot as one HTML page that needs nothing else: no network, no other file. It opens from a disk.
 * Whatever comes from the guest or a file is in it as text.
 */
export async function reportPage(input: ReportInput): Promise<string> {
  const { model, verdict, observation, run } = input;
  const data = {
    events: encodeEvents(model, run),
    lines: run.lines,
    linesLeftOut: run.linesLeftOut,
    leftOutAfter: run.leftOutAfter,
  };
  const drawing = await drawingHtml(model, verdict, observation.device);
  const sections: [string, string, string][] = [
    ['verdict', 'Verdict', verdictHtml(verdict)],
    ['drawing', 'Topology', drawingSection(drawing)],
    ['timeline-section', 'Timeline', timelineSection(run)],
    ['space-section', 'I/O virtual addresses', spaceSection(run)],
    ['counters', 'Counters', countersHtml(model, observation.device)],
    ['console-section', 'Console', consoleSection(run)],
    ['firmware', 'Firmware', firmwareHtml(observation.firmware, input.firmware)],
    ['environment', 'Environment', environmentHtml(verdict.environment)],
    ...firstBootSection(model, observation.before),
  ];
  const body = [
    '<a class="skip" href="#verdict">Skip to the verdict</a>',
    headerHtml(verdict),
    `<nav aria-label="Sections"><ul class="wrap">${sections.map(([id, title]) => `<li><a href="#${id}">${title}</a></li>`).join('')}</ul></nav>`,
    '<main class="wrap">',
    ...sections.map(
      ([id, title, content]) =>
        `<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${title}</h2>\n${content}\n</section>`,
    ),
    '</main>',
    `<footer class="wrap">viommu-topo ${text(input.version)}. This page is one file and asks nobody for anything.</footer>`,
    `<script type="application/json" id="data">${scriptJson(data)}</script>`,
  ].join('\n');
  const word = verdict.outcome === 'pass' ? 'PASS' : 'FAIL';
  const { script } = reportAssets();
  return documentHtml(`${word} ${model.name} – viommu-topo`, body, script);
}

function firstBootSection(
  model: Model,
  before: Observation | undefined,
): [id: string, title: string, content: string][] {
  return before === undefined
    ? []
    : [['first-boot', 'The boot before', firstBootHtml(model, before)]];
}

/** A whole document, with a policy that lets nothing in. */
export function documentHtml(title: string, body: string, script = ''): string {
  const style = `${GRAPH_STYLE}${reportAssets().style}`;
  return [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="${contentPolicy(style, script)}">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta name="color-scheme" content="light dark">',
    `<title>${text(title)}</title>`,
    `<style>${style}</style>`,
    '</head>',
    '<body>',
    body,
    ...(script === '' ? [] : [`<script>${script}</script>`]),
    '</body>',
    '</html>',
    '',
  ].join('\n');
}

function headerHtml({ topology, outcome, summary, environment }: Verdict): string {
  const { backend, machine, kernel, accelerator, timings } = environment;
  const total = timings['total'];
  const facts: [string, string | undefined][] = [
    ['backend', backend],
    ['kernel', kernel?.release],
    ['machine', machine],
    ['CPU', accelerator?.name],
    ['time', total === undefined ? undefined : `${total.toFixed(1)} s`],
  ];
  const list = facts.flatMap(([name, value]) =>
    value === undefined ? [] : [`<li>${name} <b>${text(value)}</b></li>`],
  );
  return [
    '<header><div class="wrap">',
    `<div class="row"><span class="badge ${outcome}">${outcome === 'pass' ? 'PASS' : 'FAIL'}</span><h1>${text(topology.name)}</h1></div>`,
    `<p class="summary">${text(summary)}</p>`,
    `<ul class="facts">${list.join('')}</ul>`,
    '</div></header>',
  ].join('\n');
}

function drawingSection(drawing: string): string {
  const key: [string, string][] = [
    ['passed', 'all promises kept'],
    ['faulted', 'faulted, as expected'],
    ['failed', 'a promise is broken'],
    ['quiet', 'nothing promised or seen'],
  ];
  const items = key.map(
    ([kind, words]) => `<li class="${kind}"><span class="swatch"></span> ${words}</li>`,
  );
  return `<ul class="key" aria-label="Colours">${items.join('')}</ul>\n<div class="drawing">${drawing}</div>`;
}

function timelineSection(run: RecordedRun): string {
  if (run.events.length === 0) return '<p class="note">No vIOMMU told of anything.</p>';
  const buttons = [
    ['pan-left', '←', 'Earlier'],
    ['pan-right', '→', 'Later'],
    ['zoom-in', '+', 'Zoom in'],
    ['zoom-out', '−', 'Zoom out'],
    ['zoom-fit', 'All', 'Show all'],
    ['next-fault', 'Next fault', 'Next fault'],
  ].map(
    ([id = '', sign = '', title = '']) =>
      `<button type="button" id="${id}" title="${title}" aria-label="${title}">${sign}</button>`,
  );
  return [
    ...leftOut(run.eventsLeftOut, 'events'),
    '<fieldset id="kinds" aria-label="Kinds of events"></fieldset>',
    `<div class="tools" role="group" aria-label="Timeline">${buttons.join('')}</div>`,
    '<div class="timeline"><div id="lanes" aria-hidden="true"></div><canvas id="timeline" tabindex="0" role="application" aria-label="Timeline of events for each endpoint" aria-describedby="timeline-help selection"></canvas></div>',
    '<p class="hint" id="timeline-help"><kbd>←</kbd> <kbd>→</kbd> previous and next event of the lane, <kbd>↑</kbd> <kbd>↓</kbd> lane, <kbd>+</kbd> <kbd>−</kbd> <kbd>0</kbd> zoom, <kbd>Page</kbd> scroll, <kbd>f</kbd> next fault. Drag to move; Ctrl and the wheel zoom.</p>',
    '<p class="selection" id="selection" role="status"></p>',
    '<div class="scroll" tabindex="0" role="region" aria-label="Events near the cursor"><table class="near"><thead><tr><th scope="col">When</th><th scope="col">What</th><th scope="col">Who</th><th scope="col">In words</th></tr></thead><tbody id="near"></tbody></table></div>',
  ].join('\n');
}

function spaceSection(run: RecordedRun): string {
  if (run.events.length === 0) return '<p class="note">No domain was made.</p>';
  return [
    ...(run.eventsLeftOut > 0
      ? ['<p class="note">What was mapped after the last event that is kept is not here.</p>']
      : []),
    '<div class="tools"><label for="domain">Domain</label> <select id="domain"></select></div>',
    '<div class="space"><canvas id="space" role="img" aria-label="Mappings of the domain over time" aria-describedby="space-summary"></canvas></div>',
    '<p class="hint">Each box is a mapping from its MAP to its UNMAP: dark while it lives at the cursor, pale when it does not. Dots are accesses, crosses are faults. Unused addresses between clusters are left out.</p>',
    '<p class="selection" id="space-summary"></p>',
    '<details id="live-details"><summary>Live mappings</summary><div class="scroll" tabindex="0" role="region" aria-label="Live mappings"><table class="mono"><thead><tr><th scope="col">IOVA</th><th scope="col">Size</th><th scope="col">Physical</th><th scope="col">May</th><th scope="col">Mapped at</th></tr></thead><tbody id="live"></tbody></table></div><p class="note" id="live-rest"></p></details>',
  ].join('\n');
}

function consoleSection(run: RecordedRun): string {
  if (run.lines.length === 0) return '<p class="note">The guest said nothing.</p>';
  return [
    ...leftOut(run.linesLeftOut, 'lines'),
    '<div class="search"><label for="search">Find</label><input id="search" type="search" autocomplete="off" spellcheck="false"> <span id="search-count" role="status"></span></div>',
    '<div id="console" role="listbox" tabindex="0" aria-label="Console of the guest"></div>',
    '<p class="hint">A line and a place on the timeline belong together: choose one to find the other.</p>',
  ].join('\n');
}

function leftOut(count: number, what: string): string[] {
  if (count === 0) return [];
  return [
    `<p class="note"><b>${count.toLocaleString('en')} ${what} are left out</b>: there were more than this page keeps.</p>`,
  ];
}
