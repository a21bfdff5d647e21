// The guest's console. A line and a place on the timeline belong together, both ways.

class Console {
  /** @param {View} view @param {Line[]} lines @param {number} leftOut @param {number} leftOutAfter */
  constructor(view, lines, leftOut, leftOutAfter) {
    this.view = view;
    this.lines = lines;
    this.list = byId('console');
    this.selected = -1;
    /** @type {HTMLElement[]} */
    this.items = [];
    this.times = lines.map((line) => this.#timeOf(line));
    view.tell(this.times);
    const all = document.createDocumentFragment();
    for (const [index, { text }] of lines.entries()) {
      if (leftOut > 0 && index === leftOutAfter) {
        const note = element(
          'div',
          `… ${leftOut.toLocaleString('en')} lines left out …`,
          'left-out',
        );
        note.setAttribute('role', 'presentation');
        all.append(note);
      }
      const item = element('div', text === '' ? ' ' : text, lineClass(text));
      item.id = `line-${index}`;
      item.setAttribute('role', 'option');
      item.setAttribute('aria-selected', 'false');
      this.items.push(item);
      all.append(item);
    }
    this.list.append(all);
    this.list.addEventListener('click', (event) => {
      const item = event.target instanceof Element ? event.target.closest('[role=option]') : null;
      if (item !== null) this.choose(Number(item.id.slice(5)));
    });
    this.list.addEventListener('keydown', (event) => this.#key(event));
    this.#search();
    view.listen(() => this.#follow());
  }

  /** @param {Line} line */
  #timeOf({ time, after }) {
    const { run } = this.view;
    if (run.clock === 'time' && time !== undefined) return time;
    // Between the event before and the one after.
    return run.count === 0 ? 0 : (run.time[Math.min(after, run.count - 1)] ?? 0);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const page = Math.max(1, Math.floor(this.list.clientHeight / 20) - 1);
    /** @type {Record<string, number>} */
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -1e9,
      End: 1e9,
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    this.choose(Math.min(Math.max(this.selected + step, 0), this.lines.length - 1));
  }

  #search() {
    const field = /** @type {HTMLInputElement} */ (byId('search'));
    const count = byId('search-count');
    field.addEventListener('input', () => {
      const wanted = field.value.toLowerCase();
      let found = 0;
      for (const [index, item] of this.items.entries()) {
        const hit =
          wanted === '' || (this.lines[index]?.text.toLowerCase().includes(wanted) ?? false);
        item.hidden = !hit;
        if (hit) found++;
      }
      count.textContent = wanted === '' ? '' : `${found} of ${this.items.length} lines`;
    });
    field.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter') return;
      const next = this.items.findIndex((item, index) => index > this.selected && !item.hidden);
      if (next >= 0) this.choose(next);
    });
  }

  /** @param {number} index */
  choose(index) {
    if (this.lines[index] === undefined) return;
    this.#mark(index);
    this.view.point({ time: this.times[index] ?? 0, line: index });
  }

  /** @param {number} index */
  #mark(index) {
    const before = this.items[this.selected];
    before?.setAttribute('aria-selected', 'false');
    const item = this.items[index];
    this.selected = index;
    if (item === undefined) return;
    item.setAttribute('aria-selected', 'true');
    this.list.setAttribute('aria-activedescendant', item.id);
    // Only the list scrolls, never the page.
    const top = item.offsetTop;
    const { scrollTop, clientHeight } = this.list;
    if (top < scrollTop || top + item.offsetHeight > scrollTop + clientHeight) {
      this.list.scrollTop = top - clientHeight / 2;
    }
  }

  /** The line that the guest had last printed when the chosen event happened. */
  #follow() {
    const { cursor } = this.view;
    if (cursor.line >= 0 || cursor.event < 0) return;
    let low = 0;
    let high = this.lines.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.times[middle] ?? 0) <= cursor.time) low = middle + 1;
      else high = middle;
    }
    if (low - 1 !== this.selected && low > 0) this.#mark(low - 1);
  }
}

/** @param {string} text */
function lineClass(text) {
  if (/panic|BUG|Oops|Unable to handle|I\/O error|fault/iu.test(text)) return 'bad';
  return /warn|fail|timed? ?out/iu.test(text) ? 'warning' : '';
}
