import type { Machine } from '../machine/index.ts';
import { Connection } from './connection.ts';
import { endpointFunction, type ServedFunction } from './functions.ts';
import { GuestRam, type ClientMaps } from './guest-ram.ts';
import { Patience } from './patience.ts';
import { internalProblem, ramNotShared, type ServerProblem } from './problem.ts';
import { ServedDevice } from './served-device.ts';
import { Session } from './session.ts';
import { looksUnshared } from './shared-ram.ts';
import type { PollEntry, Sys } from './sys.ts';
import type { Source } from './thread.ts';

/** Looks for requests between two looks at the sockets, which take ten times as long. */
const LOOKS = 10;

/** What happens on the sockets, and what went wrong. */
export type ServerReport =
  /** A client that said something; one that only looked whether somebody listens is not told of. */
  | { readonly kind: 'connected' | 'disconnected'; readonly function: string }
  /** DEVICE_RESET: the guest's machine was reset, or the function alone. */
  | { readonly kind: 'reset'; readonly function: string }
  | { readonly kind: 'problem'; readonly problem: ServerProblem }
  | { readonly kind: 'log'; readonly text: string };

/** Sums over all functions. */
export interface ServerStats {
  readonly requests: number;
  readonly refused: number;
  readonly interrupts: number;
  /** Functions with a client now. */
  readonly connected: number;
}

interface Slot {
  readonly served: ServedFunction;
  readonly device: ServedDevice;
  readonly listener: PollEntry;
  connection?: Connection;
  maps?: ClientMaps;
  /** Whether the connection was told of. */
  told?: boolean;
}

interface Listened {
  readonly source: Source;
  readonly entry: PollEntry;
}

/**
 * Serves functions of a machine to a VMM: one listening socket each, one connection at a time. All
 * happens in {@link step}, on one thread; an answer is complete before the next message is looked at.
 */
export class Server {
  readonly machine: Machine;
  /** Told when somebody signalled the wake descriptor. */
  onWake: (() => void) | undefined;
  readonly #sys: Sys;
  readonly #ram: GuestRam;
  readonly #report: (report: ServerReport) => void;
  readonly #slots: Slot[] = [];
  #sources: Listened[] = [];
  readonly #wake: PollEntry;
  #entries: PollEntry[] = [];
  readonly #patience: Patience;
  /** Whether drivers of vIOMMUs were told not to notify. */
  #watches = false;
  #requests = 0;
  #refused = 0;
  #faults = 0;
  #held = false;
  #resumed = false;
  #toldOfRam = false;

  /** The machine must have been made with an empty memory: its windows are the VMM's. */
  constructor(sys: Sys, machine: Machine, report: (report: ServerReport) => void) {
    this.#sys = sys;
    this.#patience = new Patience(() => sys.spareCore());
    this.machine = machine;
    this.#report = report;
    this.#ram = new GuestRam(sys, machine.memory, machine.model.memory);
    this.#wake = { fd: sys.eventfd(), wantsToSend: false, ready: false };
    this.#arrange();
  }

  /** An eventfd: adding to it ends a `step` that waits. */
  get wakeFd(): number {
    return this.#wake.fd;
  }

  get functions(): ServedFunction[] {
    return this.#slots.map(({ served }) => served);
  }

  /**
   * Begins to listen for a client of a function that the machine has.
   *
   * @throws Error when the socket cannot be made, RangeError for a function that is not there
   */
  listen(served: ServedFunction): void {
    const fn = this.machine.unit(served.id)?.pci?.fn;
    if (fn === undefined) throw new RangeError(`the machine has no PCI function ${served.id}`);
    const fd = this.#sys.listen(served.socket);
    const listener = { fd, wantsToSend: false, ready: false };
    this.#slots.push({ served, device: new ServedDevice(fn, this.#sys), listener });
    this.#arrange();
  }

  /** Takes what comes from there, until it says that nothing will. */
  listenTo(source: Source): void {
    this.#sources.push({ source, entry: { fd: source.fd, wantsToSend: false, ready: false } });
    this.#arrange();
  }

  /** Plugs an endpoint of the topology into the machine and listens. */
  plug(id: string, directory: string): ServedFunction {
    const endpoint = this.machine.model.endpoints.find((one) => one.id === id);
    const [served] = endpoint === undefined ? [] : endpointFunction(endpoint, directory);
    if (endpoint === undefined || served === undefined) {
      throw new RangeError(`${id} is no PCI endpoint of the topology`);
    }
    this.machine.plug(endpoint);
    this.listen(served);
    return served;
  }

  /** Pulls an endpoint; its client, if there still is one, loses the connection. */
  unplug(id: string): boolean {
    if (!this.machine.unplug(id)) return false;
    // Below a root port all functions of the slot went.
    for (const slot of this.#slots.slice()) {
      if (this.machine.unit(slot.served.id) === undefined) this.#remove(slot);
    }
    return true;
  }

  /** Whether messages wait, and devices do nothing. */
  get held(): boolean {
    return this.#held;
  }

  /**
   * Holds the devices after the message that is being handled, as a break of a debugger does. The
   * guest goes on until it waits for a reply; only the wake descriptor is listened to.
   */
  hold(): void {
    this.#held = true;
    this.#arrange();
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#resumed = true;
    this.#arrange();
  }

  /** Waits for something to do, at most that long, and does it. */
  step(milliseconds: number): void {
    const { machine } = this;
    const busy = !this.#held && (this.#resumed || machine.isWaiting);
    const ready = this.#sys.poll(this.#entries, busy ? 0 : milliseconds);
    if (ready > 0 || this.#resumed) {
      if (!this.#held && this.#patience.begin()) this.#workOn();
      else this.#work();
    }
    if (!this.#held && machine.isWaiting) {
      this.#guarded('pending work', () => machine.runPending());
    }
  }

  /** Does what there is to do, and looks for more as long as {@link Patience} says. */
  #workOn(): void {
    const { machine } = this;
    this.#watch(true);
    let ready = true;
    for (;;) {
      // A guest's message that was sent before its request comes first.
      if (ready) this.#work();
      if (!this.#watches) return;
      const served = this.#guarded('requests', () => machine.look());
      if (machine.isWaiting || !this.#patience.goesOn(ready || served === true)) break;
      for (let look = 0; look < LOOKS && !machine.hasRequests;) look++;
      ready = this.#sys.poll(this.#entries, 0) > 0;
    }
    this.#watch(false);
  }

  /** Tells drivers whether requests are seen without a notification. */
  #watch(on: boolean): void {
    this.#watches = on;
    this.#guarded('requests', () => {
      this.machine.watch(on);
      // Some may have come before their drivers knew that they have to notify again.
      if (!on && !this.#held) this.machine.look();
    });
  }

  #work(): void {
    // What was held back lies in connections whose sockets may have nothing more.
    const all = this.#resumed;
    this.#resumed = false;
    for (const slot of this.#slots) {
      if (this.#held) break;
      if (slot.connection !== undefined) this.#serve(slot, slot.connection, all);
      else if (slot.listener.ready) this.#accept(slot);
    }
    for (const listened of this.#sources) {
      if (this.#held) break;
      if (listened.entry.ready) this.#hear(listened);
    }
    // Whoever holds in the middle of it leaves the rest for later.
    if (all && this.#held) this.#resumed = true;
    else if (all) this.#guarded('requests', () => this.machine.look());
    if (this.#watches && (this.#held || this.#wake.ready)) this.#watch(false);
    if (this.#wake.ready) {
      this.#wake.ready = false;
      this.#sys.drain(this.#wake.fd);
      this.onWake?.();
    }
  }

  get stats(): ServerStats {
    const sessions = this.#slots.flatMap(({ connection }) => connection?.session.counters ?? []);
    return {
      requests: sessions.reduce((sum, { requests }) => sum + requests, this.#requests),
      refused: sessions.reduce((sum, { refused }) => sum + refused, this.#refused),
      interrupts: this.#slots.reduce((sum, { device }) => sum + device.irqs.signalled, 0),
      connected: sessions.length,
    };
  }

  /** Closes everything but what the system holds: see `Sys.end`. */
  stop(): void {
    for (const slot of this.#slots.slice()) this.#remove(slot);
    this.#sys.close(this.#wake.fd);
    this.#entries = [];
  }

  #serve(slot: Slot, connection: Connection, always: boolean): void {
    if (!connection.entry.ready && !always) return;
    connection.entry.ready = false;
    const outcome = this.#guarded(slot.served.id, () => connection.work());
    if (slot.told !== true && connection.session.counters.requests > 0) {
      slot.told = true;
      this.#report({ kind: 'connected', function: slot.served.id });
    }
    if (outcome !== true) this.#disconnect(slot);
  }

  #hear(listened: Listened): void {
    listened.entry.ready = false;
    if (this.#guarded('a source', () => listened.source.work()) === true) return;
    this.#sources = this.#sources.filter((one) => one !== listened);
    this.#arrange();
  }

  #accept(slot: Slot): void {
    slot.listener.ready = false;
    const fd = this.#sys.accept(slot.listener.fd);
    if (fd < 0) return;
    const { served, device } = slot;
    const { tx } = this.#sys;
    const maps = this.#ram.open();
    const out = new DataView(tx.buffer, tx.byteOffset, tx.byteLength);
    const session = new Session(device, maps, out, {
      problem: (problem) => this.#problem(problem),
      reset: () => this.#report({ kind: 'reset', function: served.id }),
    });
    slot.maps = maps;
    slot.connection = new Connection(this.#sys, fd, session, () => this.#held);
    device.onDriven = () => this.#driven(slot);
    this.#arrange();
  }

  /** The guest runs and drives this function: once it may do DMA, RAM cannot be empty. */
  #driven({ device, served }: Slot): void {
    if (!device.fn.dma.enabled) return;
    device.onDriven = undefined;
    if (looksUnshared(this.machine.memory)) this.#problem(ramNotShared(served.id));
  }

  /** Each function of a VMM has the same trouble with its memory: once is enough. */
  #problem(problem: ServerProblem): void {
    if (problem.code.startsWith('vfio-user/ram-')) {
      if (this.#toldOfRam) return;
      this.#toldOfRam = true;
    }
    this.#report({ kind: 'problem', problem });
  }

  #disconnect(slot: Slot): void {
    const { connection, device, maps, served, told } = slot;
    if (connection === undefined) return;
    const { requests, refused } = connection.session.counters;
    this.#requests += requests;
    this.#refused += refused;
    device.onDriven = undefined;
    this.#guarded(served.id, () => device.abandon());
    maps?.close();
    connection.close();
    delete slot.connection;
    delete slot.maps;
    delete slot.told;
    this.#arrange();
    // The next VMM is another.
    if (this.#slots.every((one) => one.connection === undefined)) this.#toldOfRam = false;
    if (told === true) this.#report({ kind: 'disconnected', function: served.id });
  }

  #remove(slot: Slot): void {
    this.#disconnect(slot);
    this.#sys.unlisten(slot.listener.fd, slot.served.socket);
    this.#slots.splice(this.#slots.indexOf(slot), 1);
    this.#arrange();
  }

  #arrange(): void {
    const mine = this.#held
      ? []
      : this.#slots.map(({ connection, listener }) => connection?.entry ?? listener);
    const others = this.#held ? [] : this.#sources.map(({ entry }) => entry);
    this.#entries = [this.#wake, ...mine, ...others];
  }

  /** Our own mistake in one place must not stop the others. */
  #guarded<T>(what: string, run: () => T): T | undefined {
    try {
      return run();
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      if (this.#faults++ < 8) {
        this.#report({ kind: 'problem', problem: internalProblem(what, text) });
      }
      return undefined;
    }
  }
}
