// Reads the columns that src/report/html/encode.ts wrote. Everything here is data of a guest: it goes
// into the page as text only, never as markup.

/** Kinds of events in the order of the legend; `track` is the row inside an endpoint's lane. */
const KINDS = [
  { letter: 'p', name: 'probe', label: 'Probe', track: 0 },
  { letter: 'a', name: 'attach', label: 'Attach', track: 0 },
  { letter: 'd', name: 'detach', label: 'Detach', track: 0 },
  { letter: 'm', name: 'map', label: 'Map', track: 1 },
  { letter: 'u', name: 'unmap', label: 'Unmap', track: 1 },
  { letter: 't', name: 'access', label: 'Access', track: 2 },
  { letter: 'b', name: 'bypass', label: 'Bypass', track: 2 },
  { letter: 'i', name: 'msi', label: 'MSI', track: 3 },
  { letter: 'h', name: 'host', label: 'Host call', track: 3 },
  { letter: 'f', name: 'fault', label: 'Fault', track: 4 },
  { letter: 'g', name: 'host-fault', label: 'Host fault', track: 4 },
];
const KIND = Object.fromEntries(KINDS.map(({ letter }, index) => [letter, index]));

/** Lanes of a mapping's event: a domain may hold thousands of endpoints. */
const LANES_OF_A_MAP = 3;

/** Statuses of VIRTIO 1.3, IOMMU Device / Device operations. */
const STATUS = ['OK', 'IOERR', 'UNSUPP', 'DEVERR', 'INVAL', 'RANGE', 'NOENT', 'FAULT', 'NOMEM'];

const TICKS = 1e7;

/**
 * @typedef {{ name: string, id: number, viommu: string, drawn?: string }} Endpoint
 * @typedef {{ viommu: string, domain: number }} Domain
 * @typedef {{
 *   clock: 'time' | 'order', kinds: string, who: number[], at: number[], address: string,
 *   size: string, physical: string, flags: string, reasons: string, domain: number[],
 *   status: Record<string, number>, endpoints: Endpoint[], domains: Domain[],
 * }} Columns
 * @typedef {{ text: string, after: number, time?: number }} Line
 * @typedef {{
 *   start: bigint, end: bigint, physical: bigint, flags: string,
 *   from: number, to: number, fromTime: number, toTime: number,
 * }} Mapping
 * @typedef {{ time: number, event: number, line: number }} Cursor
 */

/** Every event, and who it concerns. */
class Run {
  /** @param {Columns} columns */
  constructor(columns) {
    const count = columns.kinds.length;
    this.columns = columns;
    this.count = count;
    this.clock = columns.clock;
    this.endpoints = columns.endpoints;
    this.domains = columns.domains;
    this.time = new Float64Array(count);
    this.kind = new Uint8Array(count);
    this.address = columns.address === '' ? [] : columns.address.split(' ');
    this.size = columns.size === '' ? [] : columns.size.split(' ');
    this.physical = columns.physical === '' ? [] : columns.physical.split(' ');
    /** @type {Mapping[][]} */
    this.mappings = columns.domains.map(() => []);
    /** What hurt a domain: `[event, address]`. @type {[number, bigint][][]} */
    this.touches = columns.domains.map(() => []);
    this.#times();
    this.#follow();
    this.end = count === 0 ? 1 : Math.max(this.time[count - 1] ?? 0, 1e-9);
  }

  #times() {
    const { at, kinds } = this.columns;
    const unit = this.clock === 'time' ? TICKS : 1;
    let now = 0;
    for (let index = 0; index < this.count; index++) {
      now += at[index] ?? 0;
      this.time[index] = now / unit;
      this.kind[index] = KIND[kinds[index] ?? 'p'] ?? 0;
    }
  }

  /** Who is in which domain, what is mapped there: from the requests alone. */
  #follow() {
    const { who, status, domain } = this.columns;
    /** @type {Map<number, Set<number>>} */
    const members = new Map();
    /** @type {Map<number, number>} */
    const domainOf = new Map();
    /** @type {Map<string, Mapping>[]} */
    const live = this.domains.map(() => new Map());
    const marks = { event: /** @type {number[]} */ ([]), lane: /** @type {number[]} */ ([]) };
    let attaches = 0;
    let maps = 0;
    this.mapIndex = new Int32Array(this.count).fill(-1);
    this.domainRow = new Int32Array(this.count).fill(-1);
    /** @param {number} endpoint @param {number} index */
    const leave = (endpoint, index) => {
      const row = domainOf.get(endpoint);
      if (row === undefined) return;
      domainOf.delete(endpoint);
      members.get(row)?.delete(endpoint);
      // A domain without endpoints is gone, and its mappings with it.
      if (members.get(row)?.size === 0)
        for (const one of live[row]?.values() ?? []) this.#end(one, index);
      if (members.get(row)?.size === 0) live[row]?.clear();
    };
    for (let index = 0; index < this.count; index++) {
      const { letter } = KINDS[this.kind[index] ?? 0] ?? KINDS[0] ?? { letter: '' };
      const subject = who[index] ?? 0;
      const good = status[index] === undefined;
      if (letter === 'm' || letter === 'u') {
        this.domainRow[index] = subject;
        if (letter === 'm') this.mapIndex[index] = maps++;
        if (good && letter === 'm') this.#map(subject, index, live[subject]);
        if (good && letter === 'u') this.#unmap(index, live[subject]);
        let drawn = 0;
        for (const endpoint of members.get(subject) ?? []) {
          if (drawn++ >= LANES_OF_A_MAP) break;
          marks.event.push(index);
          marks.lane.push(endpoint);
        }
        continue;
      }
      marks.event.push(index);
      marks.lane.push(subject);
      if (letter === 'a' || letter === 'd') {
        const row = domain[attaches++] ?? 0;
        this.domainRow[index] = row;
        if (!good) continue;
        if (letter === 'd' || domainOf.get(subject) !== row) leave(subject, index);
        if (letter === 'a') {
          domainOf.set(subject, row);
          members.set(row, (members.get(row) ?? new Set()).add(subject));
        }
        continue;
      }
      const row = domainOf.get(subject);
      if (row === undefined) continue;
      this.domainRow[index] = row;
      const address = this.address[index];
      if ((letter === 't' || letter === 'f') && address !== undefined && address !== '-') {
        this.touches[row]?.push([index, BigInt(`0x${address}`)]);
      }
    }
    this.marks = { event: Uint32Array.from(marks.event), lane: Uint32Array.from(marks.lane) };
  }

  /** @param {number} row @param {number} index @param {Map<string, Mapping> | undefined} live */
  #map(row, index, live) {
    const start = BigInt(`0x${this.address[index] ?? '0'}`);
    const size = BigInt(`0x${this.size[index] ?? '1'}`);
    const mapping = {
      start,
      end: start + size - 1n,
      physical: BigInt(`0x${this.physical[this.mapIndex?.[index] ?? 0] ?? '0'}`),
      flags: this.columns.flags[index] ?? '-',
      from: index,
      to: -1,
      fromTime: this.time[index] ?? 0,
      toTime: Infinity,
    };
    this.mappings[row]?.push(mapping);
    live?.set(this.address[index] ?? '', mapping);
  }

  /** @param {number} index @param {Map<string, Mapping> | undefined} live */
  #unmap(index, live) {
    const key = this.address[index] ?? '0';
    const start = BigInt(`0x${key}`);
    const end = start + BigInt(`0x${this.size[index] ?? '1'}`) - 1n;
    const exact = live?.get(key);
    if (exact !== undefined && exact.end === end) {
      this.#end(exact, index);
      live?.delete(key);
      return;
    }
    for (const [other, mapping] of live ?? []) {
      if (mapping.start < start || mapping.end > end) continue;
      this.#end(mapping, index);
      live?.delete(other);
    }
  }

  /** @param {Mapping} mapping @param {number} index */
  #end(mapping, index) {
    mapping.to = index;
    mapping.toTime = this.time[index] ?? 0;
  }

  /** Index of the first event at or after a time. @param {number} time */
  firstAt(time) {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.time[middle] ?? 0) < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Who an event is about. @param {number} index */
  subject(index) {
    const row = this.columns.who[index] ?? 0;
    const letter = this.columns.kinds[index];
    if (letter === 'm' || letter === 'u') return this.domainName(row);
    return this.endpoints[row]?.name ?? '';
  }

  /** @param {number} row */
  domainName(row) {
    const domain = this.domains[row];
    if (domain === undefined) return '';
    return `${domain.viommu === '' ? '' : `${domain.viommu} `}domain ${domain.domain}`;
  }

  /** One event in words. @param {number} index */
  describe(index) {
    const { flags, reasons, status, kinds } = this.columns;
    const letter = kinds[index] ?? '';
    const address = this.address[index] === '-' ? '' : `0x${this.address[index]}`;
    const bytes = this.size[index] === '-' ? '' : showBytes(BigInt(`0x${this.size[index]}`));
    const flag = flags[index] ?? '-';
    const domain = this.domainName(this.domainRow?.[index] ?? -1);
    const refused =
      status[index] === undefined ? '' : `; refused: ${STATUS[status[index]] ?? status[index]}`;
    const to = flag === 'w' ? 'writes' : 'reads';
    switch (letter) {
      case 'p':
        return `probed${refused}`;
      case 'a':
        return `attached to ${domain}${flag === 'b' ? ', bypassing' : ''}${refused}`;
      case 'd':
        return `detached from ${domain}${refused}`;
      case 'm': {
        const physical = this.physical[this.mapIndex?.[index] ?? -1] ?? '?';
        return `maps ${address} (${bytes}) to 0x${physical}, ${showFlags(flag)}${refused}`;
      }
      case 'u':
        return `unmaps ${address} (${bytes})${refused}`;
      case 't':
        return `${to} ${bytes} at ${address}, translated`;
      case 'b':
        return `${to} ${bytes} at ${address}, past the translation`;
      case 'i':
        return `MSI to ${address}`;
      case 'f': {
        let before = 0;
        for (let at = 0; at < index; at++) if (kinds[at] === 'f') before++;
        const why = { '?': 'unknown reason', d: 'no domain', m: 'nothing mapped' }[
          reasons[before] ?? '?'
        ];
        return `fault: ${flag === '-' ? 'access' : to} ${address}: ${why}`;
      }
      case 'h':
        return `host container: ${{ m: 'map', u: 'unmap', a: 'unmap all' }[flag] ?? ''} ${address} ${bytes}`;
      case 'g':
        return `the host refused: ${to} ${address}`;
      default:
        return '';
    }
  }

  /** A place on the clock, for people. @param {number} time */
  showTime(time) {
    if (this.clock === 'order') return `event ${Math.round(time)}`;
    if (time >= 1) return `${time.toFixed(4)} s`;
    return time >= 1e-3 ? `${(time * 1e3).toFixed(3)} ms` : `${(time * 1e6).toFixed(1)} µs`;
  }
}

/** @param {bigint} bytes */
function showBytes(bytes) {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  let left = bytes;
  let unit = 0;
  while (unit < units.length - 1 && left >= 1024n && left % 1024n === 0n) {
    left /= 1024n;
    unit++;
  }
  return bytes === 1n ? '1 byte' : `${left} ${units[unit]}`;
}

/** @param {string} flag */
function showFlags(flag) {
  return { r: 'read', w: 'write', x: 'read and write' }[flag] ?? 'no access';
}

/** An element with text in it. @param {string} name @param {string} [text] @param {string} [kind] */
function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind !== undefined) made.className = kind;
  return made;
}

/** @param {string} id */
function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`no element ${id}`);
  return found;
}
