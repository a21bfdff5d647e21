// Puts the page together. The page has all it needs; nothing is fetched.

/** Events in the list beside the cursor. */
const NEAR = 12;

function main() {
  const text = byId('data').textContent ?? '{}';
  /** @type {{ events: Columns, lines: Line[], linesLeftOut: number, leftOutAfter: number }} */
  const data = JSON.parse(text);
  const run = new Run(data.events);
  const view = new View(run);
  const palette = new Palette();
  if (run.count > 0) {
    const timeline = new Timeline(view, palette);
    const space = new Space(view, palette);
    byId('live-details').addEventListener('toggle', () => view.changed());
    view.listen(() => near(view));
    connect(view, timeline, space);
  }
  if (data.lines.length > 0) new Console(view, data.lines, data.linesLeftOut, data.leftOutAfter);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => view.changed());
  addEventListener('resize', () => view.changed());
  view.changed();
  document.documentElement.dataset['ready'] = 'true';
}

/** The chosen event in words, and its neighbours. @param {View} view */
function near(view) {
  const { run, cursor } = view;
  const said = byId('selection');
  const words =
    cursor.event >= 0
      ? `${run.showTime(cursor.time)}: ${run.subject(cursor.event)} ${run.describe(cursor.event)}`
      : cursor.line >= 0
        ? `${run.showTime(cursor.time)}: line ${cursor.line + 1} of the console`
        : 'Choose an event with the arrow keys or the mouse.';
  if (said.textContent !== words) said.textContent = words;
  const middle = cursor.event >= 0 ? cursor.event : run.firstAt(cursor.time);
  const from = Math.max(0, Math.min(middle - NEAR / 2, run.count - NEAR));
  const rows = [];
  for (let at = from; at < Math.min(run.count, from + NEAR); at++) {
    const row = element('tr', undefined, at === cursor.event ? 'chosen' : '');
    const kind = KINDS[run.kind[at] ?? 0];
    const label = element('td', undefined, `kind-${kind?.name ?? ''}`);
    label.append(element('span', undefined, 'swatch'), ` ${kind?.label ?? ''}`);
    const button = /** @type {HTMLButtonElement} */ (
      element('button', run.showTime(run.time[at] ?? 0), 'link')
    );
    button.type = 'button';
    button.addEventListener('click', () => view.point({ time: run.time[at] ?? 0, event: at }));
    const time = element('td');
    time.append(button);
    row.append(time, label, element('td', run.subject(at)), element('td', run.describe(at)));
    rows.push(row);
  }
  const body = byId('near');
  // A row that has the focus must not vanish under it.
  const focused = body.contains(document.activeElement);
  body.replaceChildren(...rows);
  if (focused) /** @type {HTMLElement | null} */ (body.querySelector('.chosen button'))?.focus();
}

/**
 * Names of endpoints anywhere on the page lead to their lane.
 * @param {View} view @param {Timeline} timeline @param {Space} space
 */
function connect(view, timeline, space) {
  const { run } = view;
  /** @param {string} id */
  const go = (id) => {
    const endpoint = run.endpoints.findIndex(({ drawn }) => drawn === id);
    if (endpoint < 0) return;
    timeline.select(timeline.lanes[endpoint] ?? 0);
    const attach = run.columns.who.findIndex(
      (who, index) => who === endpoint && run.columns.kinds[index] === 'a',
    );
    if (attach >= 0) {
      space.show(run.domainRow?.[attach] ?? 0);
      view.point({ time: run.time[attach] ?? 0, event: attach });
    }
    timeline.canvas.focus({ preventScroll: true });
    byId('timeline-section').scrollIntoView({ block: 'start' });
  };
  for (const button of document.querySelectorAll('[data-endpoint]')) {
    const id = button.getAttribute('data-endpoint') ?? '';
    button.addEventListener('click', () => go(id));
  }
  for (const node of document.querySelectorAll('.topology .endpoint[tabindex]')) {
    const id = node.id.replace(/^endpoint-/u, '');
    node.addEventListener('click', () => go(id));
    node.addEventListener('keydown', (event) => {
      if (!(event instanceof KeyboardEvent) || (event.key !== 'Enter' && event.key !== ' ')) return;
      event.preventDefault();
      go(id);
    });
  }
}

main();
