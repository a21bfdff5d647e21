// What the drawings of the page have in common: the window of time that is shown, and the cursor.

/** The shortest window: deeper than that, numbers have no more digits. */
const WINDOW_MIN = 1e-9;

class View {
  /** @param {Run} run */
  constructor(run) {
    this.run = run;
    this.full = { from: 0, to: run.end * 1.01 };
    this.from = this.full.from;
    this.to = this.full.to;
    /** @type {Cursor} */
    this.cursor = { time: 0, event: -1, line: -1 };
    /** @type {Set<string>} */
    this.hidden = new Set();
    /** @type {(() => void)[]} */
    this.listeners = [];
    this.scheduled = false;
    /** When each line of the console came. @type {number[]} */
    this.lineTimes = [];
  }

  /** @param {number[]} times of the lines of the console */
  tell(times) {
    this.lineTimes = times;
    this.full.to = Math.max(this.full.to, ...times.slice(-1).map((time) => time * 1.01));
    this.fit();
  }

  /** @param {() => void} listener */
  listen(listener) {
    this.listeners.push(listener);
  }

  /** Draws once for however many changes there were. */
  changed() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      for (const listener of this.listeners) listener();
    });
  }

  /** @param {number} factor below 1: nearer @param {number} [around] */
  zoom(factor, around) {
    const middle = around ?? this.middle();
    const span = this.to - this.from;
    const next = Math.min(Math.max(span * factor, WINDOW_MIN), this.full.to - this.full.from);
    const share = (middle - this.from) / span;
    this.show(middle - next * share, middle + next * (1 - share));
  }

  /** Zoom goes to the cursor where it is in sight. */
  middle() {
    const { time } = this.cursor;
    return time >= this.from && time <= this.to && this.cursor.event + this.cursor.line > -2
      ? time
      : (this.from + this.to) / 2;
  }

  /** @param {number} share of the window */
  pan(share) {
    const step = (this.to - this.from) * share;
    this.show(this.from + step, this.to + step);
  }

  /** @param {number} from @param {number} to */
  show(from, to) {
    const span = Math.min(to - from, this.full.to - this.full.from);
    this.from = Math.min(Math.max(from, this.full.from), this.full.to - span);
    this.to = this.from + span;
    this.changed();
  }

  fit() {
    this.show(this.full.from, this.full.to);
  }

  /** @param {Partial<Cursor>} cursor */
  point(cursor) {
    this.cursor = { time: this.cursor.time, event: -1, line: -1, ...cursor };
    const { time } = this.cursor;
    const span = this.to - this.from;
    if (time < this.from || time > this.to) this.show(time - span / 2, time + span / 2);
    this.changed();
  }
}

/** Colours of the style sheet, asked once for each setting of light and dark. */
class Palette {
  constructor() {
    /** @type {Map<string, string>} */
    this.known = new Map();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.known.clear());
  }

  /** @param {string} name of a custom property, without the dashes */
  get(name) {
    let colour = this.known.get(name);
    if (colour === undefined) {
      colour =
        getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim() || '#888';
      this.known.set(name, colour);
    }
    return colour;
  }
}

/**
 * A canvas as sharp as the screen, emptied; undefined while it has no size.
 * @param {HTMLCanvasElement} canvas @param {number} height in CSS pixels
 */
function prepare(canvas, height) {
  const width = canvas.clientWidth;
  const context = canvas.getContext('2d');
  if (width === 0 || context === null) return undefined;
  const ratio = Math.min(window.devicePixelRatio || 1, 3);
  const wide = Math.round(width * ratio);
  const high = Math.round(height * ratio);
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width };
}

/**
 * Round places on the axis: 1, 2 or 5 times a power of ten, some ten of them.
 * @param {number} from @param {number} to @param {number} most
 */
function ticks(from, to, most) {
  const raw = (to - from) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= raw) ?? raw;
  const places = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) places.push(at);
  return { places, step };
}

/**
 * @param {Run} run @param {number} at @param {number} step
 */
function tickText(run, at, step) {
  if (run.clock === 'order') return Math.round(at).toLocaleString('en');
  if (step >= 1e-3) return `${at.toFixed(Math.max(0, Math.ceil(-Math.log10(step))))} s`;
  return `${(at * 1e3).toFixed(Math.max(0, Math.ceil(-Math.log10(step)) - 3))} ms`;
}
