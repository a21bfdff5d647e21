// A lane for each endpoint, a row in it for each sort of event: keys, mouse, what is chosen.

/** Lanes drawn; the endpoints with the fewest events share the last one. */
const LANES_MAX = 40;

class Timeline {
  /** @param {View} view @param {Palette} palette */
  constructor(view, palette) {
    this.view = view;
    this.palette = palette;
    this.canvas = /** @type {HTMLCanvasElement} */ (byId('timeline'));
    this.lanes = this.#chooseLanes();
    this.lane = 0;
    this.painter = new LanePainter(view, palette);
    this.#labels();
    this.#kinds();
    this.#keys();
    this.#mouse();
    this.height = AXIS + this.rows.length * LANE;
    this.canvas.style.height = `${this.height}px`;
    view.listen(() => this.draw());
    new ResizeObserver(() => view.changed()).observe(this.canvas);
  }

  /** Lane of each endpoint. */
  #chooseLanes() {
    const { run } = this.view;
    const marks = run.marks ?? { event: new Uint32Array(0), lane: new Uint32Array(0) };
    const counts = new Uint32Array(run.endpoints.length);
    for (const endpoint of marks.lane) counts[endpoint] = (counts[endpoint] ?? 0) + 1;
    const order = run.endpoints.map((_, index) => index);
    const few = order.length > LANES_MAX;
    const busiest = order.toSorted((a, b) => (counts[b] ?? 0) - (counts[a] ?? 0));
    const own = new Set(few ? busiest.slice(0, LANES_MAX - 1) : busiest);
    const shown = order
      .filter((endpoint) => own.has(endpoint))
      .toSorted((a, b) => {
        const one = run.endpoints[a];
        const other = run.endpoints[b];
        if (one === undefined || other === undefined) return 0;
        return one.viommu.localeCompare(other.viommu) || one.id - other.id;
      });
    const lanes = new Uint16Array(run.endpoints.length).fill(few ? LANES_MAX - 1 : 0);
    for (const [lane, endpoint] of shown.entries()) lanes[endpoint] = lane;
    /** @type {{ name: string, endpoint: number }[]} */
    this.rows = shown.map((endpoint) => ({ name: run.endpoints[endpoint]?.name ?? '', endpoint }));
    if (few) this.rows.push({ name: `${order.length - shown.length} others`, endpoint: -1 });
    return lanes;
  }

  #labels() {
    const list = byId('lanes');
    for (const [index, { name }] of this.rows.entries()) {
      const label = element('div', name, 'lane-label');
      label.title = name;
      label.addEventListener('click', () => this.select(index));
      list.append(label);
    }
  }

  /** Only kinds that occur are in the legend. */
  #kinds() {
    const { run } = this.view;
    const counts = new Uint32Array(KINDS.length);
    for (const kind of run.kind) counts[kind] = (counts[kind] ?? 0) + 1;
    const legend = byId('kinds');
    for (const [index, { name, label }] of KINDS.entries()) {
      const count = counts[index] ?? 0;
      if (count === 0) continue;
      const box = /** @type {HTMLInputElement} */ (element('input'));
      box.type = 'checkbox';
      box.checked = true;
      box.addEventListener('change', () => {
        if (box.checked) this.view.hidden.delete(name);
        else this.view.hidden.add(name);
        this.view.changed();
      });
      const item = element('label', undefined, `kind kind-${name}`);
      item.append(
        box,
        element('span', undefined, 'swatch'),
        ` ${label} `,
        element('small', count.toLocaleString('en')),
      );
      legend.append(item);
    }
  }

  #keys() {
    const { view } = this;
    /** @type {Record<string, () => void>} */
    const keys = {
      '+': () => view.zoom(0.5),
      '=': () => view.zoom(0.5),
      '-': () => view.zoom(2),
      0: () => view.fit(),
      ArrowRight: () => this.step(1),
      ArrowLeft: () => this.step(-1),
      ArrowDown: () => this.select(this.lane + 1),
      ArrowUp: () => this.select(this.lane - 1),
      PageDown: () => view.pan(0.8),
      PageUp: () => view.pan(-0.8),
      Home: () => this.step(1, -1),
      End: () => this.step(-1, view.run.count),
      f: () => this.step(1, undefined, 'f'),
      F: () => this.step(-1, undefined, 'f'),
    };
    this.canvas.addEventListener('keydown', (event) => {
      const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
      if (act === undefined) return;
      event.preventDefault();
      act();
    });
    /** @type {[string, () => void][]} */
    const buttons = [
      ['zoom-in', () => view.zoom(0.5)],
      ['zoom-out', () => view.zoom(2)],
      ['zoom-fit', () => view.fit()],
      ['pan-left', () => view.pan(-0.5)],
      ['pan-right', () => view.pan(0.5)],
      ['next-fault', () => this.step(1, undefined, 'f')],
    ];
    for (const [id, act] of buttons) byId(id).addEventListener('click', act);
  }

  #mouse() {
    const { canvas, view } = this;
    let start = 0;
    let moved = 0;
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      start = event.clientX;
      moved = 0;
    });
    canvas.addEventListener('pointermove', (event) => {
      if (!canvas.hasPointerCapture(event.pointerId)) return;
      const by = event.clientX - start;
      moved += Math.abs(by);
      start = event.clientX;
      if (moved > 3) view.pan(-by / Math.max(1, canvas.clientWidth));
    });
    canvas.addEventListener('pointerup', (event) => {
      if (moved > 3) return;
      const box = canvas.getBoundingClientRect();
      this.pick(event.clientX - box.left, event.clientY - box.top);
    });
    canvas.addEventListener(
      'wheel',
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        const share = event.offsetX / Math.max(1, canvas.clientWidth);
        view.zoom(event.deltaY > 0 ? 1.25 : 0.8, view.from + share * (view.to - view.from));
      },
      { passive: false },
    );
  }

  /** @param {number} lane */
  select(lane) {
    this.lane = Math.min(Math.max(lane, 0), this.rows.length - 1);
    this.view.changed();
  }

  /**
   * To the next event of the lane. @param {1 | -1} by @param {number} [start] @param {string} [letter] any
   * lane, this kind only
   */
  step(by, start, letter) {
    const { view } = this;
    const { run, cursor, hidden } = view;
    const from =
      start ?? (cursor.event >= 0 ? cursor.event : run.firstAt(cursor.time) - (by > 0 ? 1 : 0));
    for (let at = from + by; at >= 0 && at < run.count; at += by) {
      const kind = KINDS[run.kind[at] ?? 0];
      if (kind === undefined || hidden.has(kind.name)) continue;
      if (letter === undefined ? !this.#inLane(at, this.lane) : kind.letter !== letter) continue;
      if (letter !== undefined) this.lane = this.lanes[run.columns.who[at] ?? 0] ?? 0;
      view.point({ time: run.time[at] ?? 0, event: at });
      return;
    }
  }

  /** @param {number} event @param {number} lane */
  #inLane(event, lane) {
    const { event: events, lane: endpoints } = this.view.run.marks ?? { event: [], lane: [] };
    for (let at = firstMark(events, event); events[at] === event; at++) {
      if (this.lanes[endpoints[at] ?? 0] === lane) return true;
    }
    return false;
  }

  /** The event nearest to a place. @param {number} x @param {number} y */
  pick(x, y) {
    const { view } = this;
    const { run } = view;
    const lane = Math.min(Math.max(Math.floor((y - AXIS) / LANE), 0), this.rows.length - 1);
    const scale = (view.to - view.from) / Math.max(1, this.canvas.clientWidth);
    const time = view.from + x * scale;
    let best = -1;
    let least = 12 * scale;
    for (let at = run.firstAt(time - least); at < run.count; at++) {
      const far = Math.abs((run.time[at] ?? 0) - time);
      if ((run.time[at] ?? 0) > time + least) break;
      if (far >= least || view.hidden.has(KINDS[run.kind[at] ?? 0]?.name ?? '')) continue;
      if (!this.#inLane(at, lane)) continue;
      least = far;
      best = at;
    }
    this.lane = lane;
    view.point({ time: best < 0 ? time : (run.time[best] ?? 0), event: best });
  }

  draw() {
    const ready = prepare(this.canvas, this.height);
    if (ready === undefined) return;
    const { context, width } = ready;
    const { view } = this;
    this.painter.draw(context, width, this);
    this.#mark();
    const { time, event, line } = view.cursor;
    if (event < 0 && line < 0 && time === 0) return;
    const x = ((time - view.from) / (view.to - view.from)) * width;
    context.fillStyle = this.palette.get('cursor');
    context.fillRect(Math.round(x) - 0.5, AXIS - 6, 1.5, this.height);
    context.beginPath();
    context.moveTo(x - 5, AXIS - 8);
    context.lineTo(x + 5, AXIS - 8);
    context.lineTo(x, AXIS - 1);
    context.fill();
  }

  /** The label of the chosen lane. */
  #mark() {
    for (const [index, { className }] of [...byId('lanes').children].entries()) {
      const selected = index === this.lane;
      const label = byId('lanes').children[index];
      if (className.includes('selected') !== selected)
        label?.classList.toggle('selected', selected);
    }
  }
}

/** Index of the first mark of an event or of one after it. @param {ArrayLike<number>} events @param {number} event */
function firstMark(events, event) {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((events[middle] ?? 0) < event) low = middle + 1;
    else high = middle;
  }
  return low;
}
