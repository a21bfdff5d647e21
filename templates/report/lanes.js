// Paints the lanes of the timeline. However many events there are, what is painted is one rectangle for
// a run of equal pixels.

const LANE = 40;
const AXIS = 22;
/** Top and height of each track in a lane; faults have all of it. */
const TRACKS = [
  [3, 8],
  [12, 8],
  [21, 8],
  [30, 6],
  [2, 36],
];
/** Shades of a pixel with few or many events. */
const SHADES = [0.45, 0.65, 0.85, 1];

/**
 * @typedef {{ rows: { name: string }[], lanes: Uint16Array, lane: number, height: number }} Lanes
 */

class LanePainter {
  /** @param {View} view @param {Palette} palette */
  constructor(view, palette) {
    this.view = view;
    this.palette = palette;
    /** @type {{ name: string }[]} */
    this.rows = [];
    /** @type {Uint16Array} */
    this.lanes = new Uint16Array(0);
    this.lane = 0;
    this.height = 0;
    this.bins = new Uint16Array(0);
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width @param {Lanes} lanes */
  draw(context, width, { rows, lanes, lane, height }) {
    this.rows = rows;
    this.lanes = lanes;
    this.lane = lane;
    this.height = height;
    this.#background(context, width);
    this.#bin(Math.ceil(width));
    this.#paint(context, Math.ceil(width));
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width */
  #background(context, width) {
    const { view, palette } = this;
    for (let lane = 0; lane < this.rows.length; lane++) {
      if (lane === this.lane) context.fillStyle = palette.get('lane-selected');
      else context.fillStyle = palette.get(lane % 2 === 0 ? 'lane-even' : 'lane-odd');
      context.fillRect(0, AXIS + lane * LANE, width, LANE);
    }
    const { places, step } = ticks(view.from, view.to, Math.max(2, width / 110));
    context.font = '11px system-ui, "Liberation Sans", sans-serif';
    context.textBaseline = 'middle';
    for (const at of places) {
      const x = Math.round(((at - view.from) / (view.to - view.from)) * width) + 0.5;
      context.fillStyle = palette.get('grid');
      context.fillRect(x - 0.5, AXIS - 4, 1, this.height);
      context.fillStyle = palette.get('dim');
      const text = tickText(view.run, at, step);
      if (x + context.measureText(text).width + 4 < width)
        context.fillText(text, x + 4, AXIS / 2 - 2);
    }
    this.#lines(context, width);
  }

  /** A tick for each line of the console. @param {CanvasRenderingContext2D} context @param {number} width */
  #lines(context, width) {
    const { view, palette } = this;
    context.fillStyle = palette.get('dim');
    let last = -1;
    for (const time of view.lineTimes) {
      const x = Math.round(((time - view.from) / (view.to - view.from)) * width);
      if (x === last || x < 0 || x > width) continue;
      context.fillRect(x, AXIS - 4, 1, 4);
      last = x;
    }
  }

  /** Counts the events of each lane, kind and pixel. @param {number} width */
  #bin(width) {
    const { view, lanes } = this;
    const { run } = view;
    const kinds = KINDS.length;
    const size = this.rows.length * kinds * width;
    if (this.bins.length === size) this.bins.fill(0);
    else this.bins = new Uint16Array(size);
    const { bins } = this;
    const { event, lane } = run.marks ?? { event: new Uint32Array(0), lane: new Uint32Array(0) };
    const scale = width / (view.to - view.from);
    const last = run.firstAt(view.to);
    for (let at = firstMark(event, run.firstAt(view.from)); at < event.length; at++) {
      const index = event[at] ?? 0;
      if (index >= last) break;
      const x = Math.min(width - 1, ((run.time[index] ?? 0) - view.from) * scale) | 0;
      const bin = ((lanes[lane[at] ?? 0] ?? 0) * kinds + (run.kind[index] ?? 0)) * width + x;
      const count = bins[bin] ?? 0;
      if (count < 0xffff) bins[bin] = count + 1;
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width */
  #paint(context, width) {
    for (let lane = 0; lane < this.rows.length; lane++) {
      for (const [kind, { name, track }] of KINDS.entries()) {
        if (this.view.hidden.has(name)) continue;
        const [top = 0, height = 0] = TRACKS[track] ?? [];
        context.fillStyle = this.palette.get(`kind-${name}`);
        const base = (lane * KINDS.length + kind) * width;
        this.#runs(context, base, width, AXIS + lane * LANE + top, height, track === 4 ? 3 : 2);
      }
    }
    context.globalAlpha = 1;
  }

  /** Neighbours of one shade are one rectangle. @param {CanvasRenderingContext2D} context @param {number} base @param {number} width @param {number} y @param {number} height @param {number} least */
  #runs(context, base, width, y, height, least) {
    let start = -1;
    let shade = -1;
    for (let x = 0; x <= width; x++) {
      const count = x < width ? (this.bins[base + x] ?? 0) : 0;
      const now = count === 0 ? -1 : count < 2 ? 0 : count < 8 ? 1 : count < 64 ? 2 : 3;
      if (now === shade) continue;
      if (shade >= 0) {
        // A fault is always seen.
        context.globalAlpha = least > 2 ? 1 : (SHADES[shade] ?? 1);
        context.fillRect(start, y, Math.max(least, x - start), height);
      }
      start = x;
      shade = now;
    }
  }
}
