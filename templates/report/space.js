// The I/O virtual addresses of one domain over time: a mapping is a box from its MAP to its UNMAP.

const SPACE = 260;
/** Clusters of addresses on the axis; nearer ones are taken together until there are no more. */
const CLUSTERS_MAX = 10;
/** Pixels between two clusters. */
const GAP = 12;
const ROWS_MAX = 100;

class Space {
  /** @param {View} view @param {Palette} palette */
  constructor(view, palette) {
    this.view = view;
    this.palette = palette;
    this.canvas = /** @type {HTMLCanvasElement} */ (byId('space'));
    this.canvas.style.height = `${SPACE}px`;
    this.select = /** @type {HTMLSelectElement} */ (byId('domain'));
    const { run } = view;
    const rows = run.domains
      .map((_, row) => row)
      .toSorted((a, b) => (run.mappings[b]?.length ?? 0) - (run.mappings[a]?.length ?? 0));
    for (const row of rows.slice(0, 1000)) {
      const option = /** @type {HTMLOptionElement} */ (element('option'));
      const mappings = run.mappings[row] ?? [];
      const live = mappings.filter(({ to }) => to < 0).length;
      option.value = String(row);
      option.textContent = `${run.domainName(row)}: ${mappings.length === 1 ? '1 mapping' : `${mappings.length} mappings`}, ${live} live at the end`;
      this.select.append(option);
    }
    this.row = rows[0] ?? -1;
    this.followed = -1;
    this.select.addEventListener('change', () => this.show(Number(this.select.value)));
    this.show(this.row);
    view.listen(() => this.draw());
    this.canvas.addEventListener('pointerup', (event) => {
      const share = event.offsetX / Math.max(1, this.canvas.clientWidth);
      const time = view.from + share * (view.to - view.from);
      view.point({ time, event: Math.max(-1, view.run.firstAt(time) - 1) });
    });
  }

  /** @param {number} row */
  show(row) {
    this.take(row);
    this.view.changed();
  }

  /** @param {number} row */
  take(row) {
    this.row = row;
    this.select.value = String(row);
    this.mappings = this.view.run.mappings[row] ?? [];
    this.touches = this.view.run.touches[row] ?? [];
    const { kind } = this.view.run;
    // Where a fault was, there is a place on the axis, though nothing was ever mapped there.
    const faults = this.touches
      .filter(([index]) => KINDS[kind[index] ?? 0]?.letter === 'f')
      .map(([, address]) => ({ start: address & ~0xfffn, end: address | 0xfffn }));
    this.clusters = clustersOf([...this.mappings, ...faults]);
  }

  /** @param {bigint} address */
  y(address) {
    for (const { start, end, top, height } of this.clusters ?? []) {
      if (address < start) return top;
      if (address > end) continue;
      return top + (Number(end - address) / Math.max(1, Number(end - start))) * height;
    }
    return -1;
  }

  draw() {
    const ready = prepare(this.canvas, SPACE);
    if (ready === undefined) return;
    const { context, width } = ready;
    const { view, palette } = this;
    const { cursor } = view;
    const own = cursor.event < 0 ? -1 : (view.run.domainRow?.[cursor.event] ?? -1);
    // Whatever is chosen on the timeline is shown here as well.
    if (cursor.event !== this.followed && own >= 0 && own !== this.row) this.take(own);
    this.followed = cursor.event;
    const scale = width / (view.to - view.from);
    const at = cursor.event < 0 && cursor.line < 0 ? view.run.end : cursor.time;
    context.fillStyle = palette.get('lane-even');
    for (const { top, height } of this.clusters ?? []) context.fillRect(0, top, width, height);
    this.#boxes(context, width, at);
    this.#dots(context, width);
    this.#labels(context);
    if (cursor.event >= 0 || cursor.line >= 0) {
      context.fillStyle = palette.get('cursor');
      context.fillRect(Math.round((cursor.time - view.from) * scale) - 0.5, 0, 1.5, SPACE);
    }
    this.#table(at);
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width @param {number} at */
  #boxes(context, width, at) {
    const { view, palette } = this;
    const scale = width / (view.to - view.from);
    // A pixel that has its colour already is not painted again: thousands of boxes share it.
    const done = new Uint8Array(Math.ceil(width) * SPACE);
    for (const live of [false, true]) {
      context.fillStyle = palette.get(live ? 'live' : 'freed');
      for (const { start, end, fromTime, toTime } of this.mappings ?? []) {
        if ((fromTime <= at && at < toTime) !== live) continue;
        if (toTime < view.from || fromTime > view.to) continue;
        const x = Math.max(0, (fromTime - view.from) * scale);
        const right = Math.min(width, (toTime - view.from) * scale);
        const top = this.y(end);
        const bottom = this.y(start);
        const wide = Math.max(1.5, right - x);
        const high = Math.max(2, bottom - top);
        const pixel = Math.floor(top) * Math.ceil(width) + Math.floor(x);
        if (wide < 2 && high < 3) {
          if (done[pixel] === (live ? 2 : 1)) continue;
          done[pixel] = live ? 2 : 1;
        }
        // A hair's breadth between neighbours, so that they can be told apart.
        context.fillRect(x, top, wide, high > 4 ? high - 0.75 : high);
      }
    }
  }

  /** Accesses, and faults as crosses. @param {CanvasRenderingContext2D} context @param {number} width */
  #dots(context, width) {
    const { view, palette } = this;
    const { run } = view;
    const scale = width / (view.to - view.from);
    const done = new Uint8Array(Math.ceil(width + 1) * SPACE);
    for (const [index, address] of this.touches ?? []) {
      const time = run.time[index] ?? 0;
      if (time < view.from || time > view.to) continue;
      const x = (time - view.from) * scale;
      const fault = KINDS[run.kind[index] ?? 0]?.letter === 'f';
      const y = Math.min(Math.max(fault ? 7 : 2, this.y(address)), SPACE - (fault ? 7 : 2));
      const pixel = Math.min(SPACE - 1, Math.floor(y)) * Math.ceil(width + 1) + Math.floor(x);
      if (done[pixel] === 1 && !fault) continue;
      done[pixel] = 1;
      if (!fault) {
        context.fillStyle = palette.get('ink');
        context.fillRect(x - 1, y - 1, 2, 2);
        continue;
      }
      context.strokeStyle = palette.get('kind-fault');
      context.lineWidth = 2;
      context.beginPath();
      context.moveTo(x - 4, y - 4);
      context.lineTo(x + 4, y + 4);
      context.moveTo(x + 4, y - 4);
      context.lineTo(x - 4, y + 4);
      context.stroke();
    }
  }

  /** First and last address of each cluster, at the left. @param {CanvasRenderingContext2D} context */
  #labels(context) {
    context.font = '11px ui-monospace, "Liberation Mono", monospace';
    context.textBaseline = 'middle';
    /** @param {string} text @param {number} y */
    const write = (text, y) => {
      context.fillStyle = this.palette.get('label');
      context.fillRect(2, y - 7, context.measureText(text).width + 6, 14);
      context.fillStyle = this.palette.get('ink');
      context.fillText(text, 5, y);
    };
    for (const { start, end, top, height } of this.clusters ?? []) {
      if (height > 30) write(`0x${end.toString(16)}`, top + 8);
      write(`0x${start.toString(16)}`, top + height - 8);
    }
  }

  /** Mappings that live at the cursor, in words. @param {number} at */
  #table(at) {
    const { run } = this.view;
    const live = (this.mappings ?? []).filter((one) => one.fromTime <= at && at < one.toTime);
    live.sort((a, b) => (a.start < b.start ? -1 : 1));
    const bytes = live.reduce((sum, { start, end }) => sum + end - start + 1n, 0n);
    const when =
      this.view.cursor.event < 0 && this.view.cursor.line < 0
        ? 'at the end'
        : `at ${run.showTime(at)}`;
    const freed = (this.mappings ?? []).filter((one) => one.toTime <= at).length;
    byId('space-summary').textContent =
      this.row < 0
        ? 'No domain was made.'
        : `${run.domainName(this.row)} ${when}: ${live.length} live, ${freed} freed, ${showBytes(bytes)} mapped.`;
    const body = byId('live');
    if (!(/** @type {HTMLDetailsElement} */ (byId('live-details')).open)) return;
    body.replaceChildren(
      ...live.slice(0, ROWS_MAX).map(({ start, end, physical, flags, fromTime }) => {
        const row = element('tr');
        row.append(
          element('td', `0x${start.toString(16)} – 0x${end.toString(16)}`),
          element('td', showBytes(end - start + 1n)),
          element('td', `0x${physical.toString(16)}`),
          element('td', showFlags(flags)),
          element('td', run.showTime(fromTime)),
        );
        return row;
      }),
    );
    byId('live-rest').textContent =
      live.length > ROWS_MAX ? `and ${live.length - ROWS_MAX} more` : '';
  }
}

/**
 * Where addresses are used, from the highest to the lowest, with places on the axis.
 * @param {{ start: bigint, end: bigint }[]} mappings
 */
function clustersOf(mappings) {
  const sorted = mappings.toSorted((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  /** @type {{ start: bigint, end: bigint }[]} */
  let merged = [];
  for (const { start, end } of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && start <= last.end + 0x10000n) {
      if (end > last.end) last.end = end;
    } else merged.push({ start, end });
  }
  while (merged.length > CLUSTERS_MAX) merged = joinNearest(merged);
  const weights = merged.map(({ start, end }) => Math.sqrt(Number(end - start + 1n)));
  const whole = weights.reduce((sum, weight) => sum + weight, 0);
  const least = 22;
  const left = SPACE - GAP * (merged.length - 1) - least * merged.length;
  let top = 0;
  return merged
    .map(({ start, end }, index) => ({ start, end, weight: weights[index] ?? 0 }))
    .toReversed()
    .map(({ start, end, weight }) => {
      const height = least + (left * weight) / Math.max(1, whole);
      const placed = { start, end, top, height };
      top += height + GAP;
      return placed;
    })
    .toReversed();
}

/**
 * Joins the half of the clusters that are nearest to each other, so that a few rounds are enough.
 * @param {{ start: bigint, end: bigint }[]} clusters
 */
function joinNearest(clusters) {
  const gaps = clusters.slice(1).map(({ start }, index) => start - (clusters[index]?.end ?? 0n));
  const order = gaps.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const excess = clusters.length - CLUSTERS_MAX;
  const limit = order[Math.max(0, Math.min(excess, order.length) - 1)] ?? 0n;
  /** @type {{ start: bigint, end: bigint }[]} */
  const joined = [];
  for (const { start, end } of clusters) {
    const last = joined.at(-1);
    if (last !== undefined && start - last.end <= limit) last.end = end > last.end ? end : last.end;
    else joined.push({ start, end });
  }
  return joined;
}
