import { hex, showRange } from '../bytes/index.ts';
import type { DeviceEvent } from '../scenario/index.ts';
import { LiveMappings, type Live } from './mappings.ts';
import type { RunEnd, RunHeader } from './record.ts';
import type { TraceSink } from './writer.ts';

/** Seconds to the format's microseconds. */
const MICROSECONDS = 1e6;

/** The thread of what concerns no endpoint; endpoint IDs have 32 bits. */
const NOBODY = 2 ** 32;

interface Note {
  readonly id: number;
  readonly tid: number;
}

interface Domain {
  readonly endpoints: Set<number>;
  readonly mappings: LiveMappings<Note>;
}

/** One vIOMMU of one run: a process of the viewer. */
interface Process {
  readonly pid: number;
  readonly domains: Map<number, Domain>;
  readonly threads: Set<number>;
}

interface Run {
  readonly topology: string;
  readonly processes: Map<string, Process>;
  /** Microseconds: where things without a time are put. */
  now: number;
}

/**
 * A trace for Perfetto and chrome://tracing (the Trace Event Format): a process for each vIOMMU, a
 * thread for each endpoint, a slice for the life of each mapping, an instant for everything else.
 */
export class ChromeTrace implements TraceSink {
  readonly #write: (text: string) => void;
  readonly #runs: Run[] = [];
  #pids = 0;
  #ids = 0;
  #first = true;

  constructor(write: (text: string) => void) {
    this.#write = write;
    write('{"displayTimeUnit":"ns","traceEvents":[\n');
  }

  begin({ topology }: RunHeader): number {
    return this.#runs.push({ topology, processes: new Map(), now: 0 }) - 1;
  }

  event(run: number, event: DeviceEvent): void {
    const state = this.#runs[run];
    if (state === undefined) return;
    // A backend without a clock has an order, which shows as microseconds.
    state.now = event.time === undefined ? event.order : event.time * MICROSECONDS;
    const process = this.#process(state, event.viommu ?? 'vIOMMU');
    if ((event.status ?? 0) !== 0) {
      const name = `${event.kind} refused, status ${event.status ?? 0}`;
      this.#instant(state, process, tidOf(process, event), name, 'request', argsOf(event));
      return;
    }
    if (event.kind === 'map') this.#map(state, process, event);
    else if (event.kind === 'unmap') this.#unmap(state, process, event);
    else this.#other(state, process, event);
  }

  console(run: number, text: string, time?: number): void {
    const state = this.#runs[run];
    if (state === undefined) return;
    if (time !== undefined) state.now = time * MICROSECONDS;
    const process = this.#process(state, 'console');
    this.#instant(state, process, NOBODY, text, 'console', {});
  }

  end(run: number, { outcome }: RunEnd): void {
    const state = this.#runs[run];
    if (state === undefined) return;
    for (const process of state.processes.values()) {
      for (const { mappings } of process.domains.values()) {
        this.#endAll(state, process, mappings.clear());
      }
      process.domains.clear();
    }
    const process = this.#process(state, 'console');
    this.#instant(state, process, NOBODY, `run ends: ${outcome}`, 'console', {});
  }

  close(): void {
    for (const run of this.#runs.keys()) this.#flush(run);
    this.#write('\n]}\n');
  }

  #flush(run: number): void {
    const state = this.#runs[run];
    for (const process of state?.processes.values() ?? []) {
      for (const { mappings } of process.domains.values()) {
        if (state !== undefined) this.#endAll(state, process, mappings.clear());
      }
    }
  }

  #map(state: Run, process: Process, event: DeviceEvent & { kind: 'map' }): void {
    const { virt } = event;
    const domain = domainOf(process, event.domain);
    const note = { id: this.#ids++, tid: tidOf(process, event) };
    domain.mappings.add(virt, note);
    this.#thread(process, note.tid);
    this.#put(slice('b', state.now, process.pid, note, showRange(virt), argsOf(event)));
  }

  #unmap(state: Run, process: Process, event: DeviceEvent & { kind: 'unmap' }): void {
    const { mappings } = domainOf(process, event.domain);
    this.#endAll(state, process, mappings.removeWithin(event.virt));
  }

  #other(state: Run, process: Process, event: DeviceEvent): void {
    if (event.kind === 'attach') this.#attach(state, process, event.endpoint, event.domain);
    if (event.kind === 'detach') this.#leave(state, process, event.endpoint);
    const tid = tidOf(process, event);
    this.#instant(state, process, tid, nameOf(event), event.kind, argsOf(event));
  }

  #attach(state: Run, process: Process, endpoint: number, domain: number): void {
    const joins = process.domains.get(domain)?.endpoints.has(endpoint) === true;
    if (!joins) this.#leave(state, process, endpoint);
    domainOf(process, domain).endpoints.add(endpoint);
  }

  /** A domain dies with its last endpoint, and its mappings with it. */
  #leave(state: Run, process: Process, endpoint: number): void {
    for (const [id, { endpoints, mappings }] of process.domains) {
      if (!endpoints.delete(endpoint) || endpoints.size > 0) continue;
      this.#endAll(state, process, mappings.clear());
      process.domains.delete(id);
    }
  }

  #endAll(state: Run, process: Process, list: readonly Live<Note>[]): void {
    for (const { range, note } of list) {
      this.#put(slice('e', state.now, process.pid, note, showRange(range), {}));
    }
  }

  #instant(
    state: Run,
    process: Process,
    tid: number,
    name: string,
    cat: string,
    args: object,
  ): void {
    this.#thread(process, tid);
    this.#put({ ph: 'i', s: 't', ts: state.now, pid: process.pid, tid, name, cat, args });
  }

  #process(state: Run, name: string): Process {
    const known = state.processes.get(name);
    if (known !== undefined) return known;
    const process = { pid: ++this.#pids, domains: new Map(), threads: new Set<number>() };
    state.processes.set(name, process);
    const args = { name: `${state.topology}: ${name}` };
    this.#put({ ph: 'M', name: 'process_name', pid: process.pid, tid: 0, args });
    return process;
  }

  #thread({ pid, threads }: Process, tid: number): void {
    if (threads.has(tid)) return;
    threads.add(tid);
    const args = { name: tid === NOBODY ? 'requests' : `endpoint ${hex(tid)}` };
    this.#put({ ph: 'M', name: 'thread_name', pid, tid, args });
  }

  #put(event: object): void {
    this.#write(`${this.#first ? '' : ',\n'}${JSON.stringify(event)}`);
    this.#first = false;
  }
}

/** Mappings overlap in time as they like, which only nestable asynchronous slices can. */
function slice(
  ph: 'b' | 'e',
  ts: number,
  pid: number,
  { id, tid }: Note,
  name: string,
  args: object,
): object {
  return { ph, cat: 'mapping', id: hex(id), ts, pid, tid, name, args };
}

function domainOf(process: Process, id: number): Domain {
  const known = process.domains.get(id);
  if (known !== undefined) return known;
  const domain = { endpoints: new Set<number>(), mappings: new LiveMappings<Note>() };
  process.domains.set(id, domain);
  return domain;
}

/** The endpoint an event is of; for a domain's, the first one in it. */
function tidOf(process: Process, event: DeviceEvent): number {
  if ('endpoint' in event) return event.endpoint;
  if (!('domain' in event)) return NOBODY;
  return process.domains.get(event.domain)?.endpoints.values().next().value ?? NOBODY;
}

function nameOf(event: DeviceEvent): string {
  switch (event.kind) {
    case 'access':
      return `${event.write ? 'write' : 'read'} ${hex(event.iova)}`;
    case 'fault':
      return `fault: ${event.reason}${event.address === undefined ? '' : ` ${hex(event.address)}`}`;
    case 'msi':
      return `MSI ${hex(event.address)}`;
    case 'attach':
    case 'detach':
      return `${event.kind} domain ${event.domain}`;
    default:
      return event.kind;
  }
}

function argsOf(event: DeviceEvent): object {
  const { text, status } = event;
  const common = {
    ...(status === undefined ? {} : { status }),
    ...(text === undefined ? {} : { text }),
  };
  if (event.kind !== 'map') return common;
  return { ...common, domain: event.domain, phys: hex(event.phys), flags: event.flags };
}
