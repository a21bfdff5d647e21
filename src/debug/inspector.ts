import { showEvent, USUAL_KINDS, type IommuEvent, type IommuEventKind } from '../iommu/index.ts';
import type { Machine } from '../machine/index.ts';
import { dump, list, stat, translate } from './answers.ts';
import { meets, type Break } from './breaks.ts';
import { Injections } from './injections.ts';
import { endpointOf, viommusOf } from './places.ts';
import {
  DEBUG_ERRORS,
  DEBUG_PROTOCOL,
  DebugError,
  json,
  METHODS,
  readParams,
  type Answerer,
  type Json,
  type Method,
  type Params,
} from './protocol.ts';

/** How the guest of a machine is stopped. */
export interface RunControl {
  /**
   * The guest must not go on after the event that is being told, or, between events, at all. May
   * block and call `handle` meanwhile, where the guest runs in a thread of its own.
   */
  hold(): void;
  release(): void;
  /** Nanoseconds since the machine began, where it has a clock. */
  clock(): bigint | undefined;
}

/** What a client is told first. */
export interface MachineInfo {
  readonly tool: string;
  readonly backend: string;
}

/** Why the guest does not run. */
interface Stop {
  readonly reason: 'break' | 'pause' | 'wait';
  readonly break?: number;
  readonly viommu?: string;
  readonly event?: string;
  readonly time?: bigint;
}

/** Breaks at once; each is looked at with every event. */
const BREAKS_MAX = 1000;

/**
 * A running machine, asked, stopped and disturbed. Synchronous: a question is answered from the state
 * of that moment, and an event that meets a break stops the guest before it is over. It does no I/O,
 * so that it can live wherever the machine lives.
 */
export class Inspector implements Answerer {
  /** Told of `stopped`, `continued`, `trace` and `ended`. */
  onNotice: ((method: string, params: Json) => void) | undefined;
  readonly #machine: Machine;
  readonly #control: RunControl;
  readonly #info: MachineInfo;
  readonly #breaks: Break[] = [];
  readonly #injections: Injections;
  #ids = 0;
  #stop: Stop | undefined;
  #ended = false;
  #print: 'off' | 'print' | 'flood' = 'off';
  #subscriptions: (() => void)[] = [];

  constructor(machine: Machine, control: RunControl, info: MachineInfo) {
    this.#machine = machine;
    this.#control = control;
    this.#info = info;
    this.#injections = new Injections(machine);
  }

  get isStopped(): boolean {
    return this.#stop !== undefined;
  }

  /** @throws DebugError */
  handle(method: string, params: unknown): Json {
    if (!METHODS.includes(method as Method)) {
      const known = METHODS.join(', ');
      throw new DebugError(
        DEBUG_ERRORS.noMethod,
        `there is no method ${method.slice(0, 80)}: ${known}`,
      );
    }
    return this.#answer(method as Method, params);
  }

  /** Holds the guest before its first instruction. */
  wait(): void {
    this.#halt({ reason: 'wait' });
  }

  /** The run is over: nobody is stopped, refused or told any more. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#breaks.splice(0);
    this.#injections.end();
    this.#print = 'off';
    this.#follow();
    if (this.#stop !== undefined) this.#resume();
    this.#notify('ended', {});
  }

  #answer(method: Method, params: unknown): Json {
    const machine = this.#machine;
    switch (method) {
      case 'hello':
      case 'status':
        readParams(method, params);
        return this.#status();
      case 'list':
        return list(machine, readParams(method, params));
      case 'stat':
        return stat(machine, readParams(method, params));
      case 'dump':
        return dump(machine, readParams(method, params));
      case 'translate':
        return translate(machine, readParams(method, params));
      case 'print':
        return this.#setPrint(readParams(method, params));
      case 'fault':
        return this.#injections.inject(readParams(method, params));
      case 'break':
        return this.#addBreak(readParams(method, params));
      case 'breaks':
        readParams(method, params);
        return json(this.#breaks);
      case 'delete':
        return this.#delete(readParams(method, params));
      case 'pause':
        readParams(method, params);
        return this.#pause();
      case 'continue':
        readParams(method, params);
        return this.#continue();
      default:
        return method satisfies never;
    }
  }

  #status(): Json {
    const { model } = this.#machine;
    return json({
      protocol: DEBUG_PROTOCOL,
      ...this.#info,
      topology: model.name,
      state: this.#ended ? 'ended' : this.#stop === undefined ? 'running' : 'stopped',
      stop: this.#stop,
      time: this.#control.clock(),
      viommus: [...this.#machine.viommus.keys()],
      print: this.#print,
    });
  }

  #setPrint({ on, flood = false }: Params<'print'>): Json {
    this.#print = on ? (flood ? 'flood' : 'print') : 'off';
    this.#follow();
    return json({ print: this.#print });
  }

  #addBreak(params: Params<'break'>): Json {
    const { on, n, viommu, endpoint, address } = params;
    if (this.#breaks.length >= BREAKS_MAX) {
      throw new DebugError(DEBUG_ERRORS.wrongState, `there are ${BREAKS_MAX} breaks already`);
    }
    if (on === 'address' && address === undefined) {
      throw new DebugError(DEBUG_ERRORS.invalidParams, 'break: address: which one?');
    }
    viommusOf(this.#machine, viommu);
    const who = endpoint === undefined ? undefined : endpointOf(this.#machine, endpoint, viommu);
    const owner = who?.id ?? viommu;
    const made: Break = {
      id: ++this.#ids,
      on,
      hits: 0,
      ...(n === undefined ? {} : { n }),
      ...(owner === undefined ? {} : { viommu: owner }),
      ...(who === undefined ? {} : { endpoint: who.endpoint }),
      ...(address === undefined ? {} : { address }),
    };
    this.#breaks.push(made);
    this.#follow();
    return json(made);
  }

  #delete({ id }: Params<'delete'>): Json {
    const index = this.#breaks.findIndex((one) => one.id === id);
    if (index < 0) throw new DebugError(DEBUG_ERRORS.notFound, `there is no break ${id}`);
    const [gone] = this.#breaks.splice(index, 1);
    this.#follow();
    return json(gone);
  }

  #pause(): Json {
    if (this.#ended) throw new DebugError(DEBUG_ERRORS.wrongState, 'the run is over');
    if (this.#stop === undefined) this.#halt({ reason: 'pause' });
    return this.#status();
  }

  #continue(): Json {
    if (this.#stop === undefined) {
      throw new DebugError(
        DEBUG_ERRORS.wrongState,
        this.#ended ? 'the run is over' : 'the guest runs',
      );
    }
    this.#resume();
    return this.#status();
  }

  #halt(stop: Stop): void {
    const time = this.#control.clock();
    this.#stop = time === undefined ? stop : { ...stop, time };
    for (const { device } of this.#machine.viommus.values()) device.suspend();
    this.#notify('stopped', json(this.#stop));
    this.#control.hold();
  }

  /** A vIOMMU that goes on with what it had in work may meet the next break at once. */
  #resume(): void {
    this.#stop = undefined;
    this.#notify('continued', {});
    for (const { device } of this.#machine.viommus.values()) {
      device.proceed();
      if (this.isStopped) return;
    }
    this.#control.release();
  }

  /** Listens to as little as is needed: translations are as frequent as DMA. */
  #follow(): void {
    for (const end of this.#subscriptions.splice(0)) end();
    const everyAccess = this.#print === 'flood' || this.#breaks.some(({ on }) => on === 'address');
    if (this.#print === 'off' && this.#breaks.length === 0) return;
    const kinds: IommuEventKind[] = everyAccess
      ? [...USUAL_KINDS, 'translation']
      : [...USUAL_KINDS];
    this.#subscriptions = Array.from(this.#machine.viommus, ([id, { device }]) => {
      // What endpoints keep of translations from before would not be told.
      if (everyAccess) device.state.epoch++;
      return device.stream.subscribe((event) => this.#event(id, event), kinds);
    });
  }

  #event(viommu: string, event: IommuEvent): void {
    const device = this.#machine.viommus.get(viommu)?.device;
    if (device === undefined) return;
    if (event.kind === 'translation') device.state.epoch++;
    if (this.#print === 'flood' || (this.#print === 'print' && event.kind !== 'translation')) {
      this.#notify('trace', json({ viommu, line: showEvent(event), time: this.#control.clock() }));
    }
    const members = (domain: number): ReadonlySet<number> =>
      new Set([...(device.state.domains.get(domain)?.endpoints ?? [])].map(({ id }) => id));
    let hit: Break | undefined;
    for (const one of this.#breaks) {
      if (!meets(one, viommu, event, members)) continue;
      one.hits++;
      if (one.n === undefined || one.hits === one.n) hit ??= one;
    }
    if (hit === undefined || this.isStopped) return;
    if (hit.n !== undefined) {
      this.#breaks.splice(this.#breaks.indexOf(hit), 1);
      // Not from within the stream's own round of listeners' next event: the list is copied there.
      this.#follow();
    }
    this.#halt({ reason: 'break', break: hit.id, viommu, event: showEvent(event) });
  }

  #notify(method: string, params: Json): void {
    this.onNotice?.(method, params);
  }
}
