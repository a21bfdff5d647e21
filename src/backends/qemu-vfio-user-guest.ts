import { vfioUserProperties, type QemuProcess } from '../qemu/index.ts';
import type { DeviceRecord } from '../scenario/index.ts';
import { isHotplugged, type Model } from '../topology/index.ts';
import type { ServedFunction, VfioUserServer } from '../vfio-user/index.ts';
import { planName } from './plan.ts';
import type { ConsoleWatch } from './qemu-console.ts';

/** One boot of the guest. */
export interface BootSeen {
  readonly console: ConsoleWatch;
  readonly device: DeviceRecord;
  /** sha256 of what lies where the guest wrote, by endpoint. */
  readonly backing: ReadonlyMap<string, string>;
  /** Of each DMA that was aimed, in order, whether it reached what it must not. */
  readonly harmed: readonly boolean[];
}

/** What the server's thread knows of the boot that is over. */
export async function bootSeen(server: VfioUserServer, console: ConsoleWatch): Promise<BootSeen> {
  return {
    console,
    device: (await server.ask('record')) as DeviceRecord,
    backing: (await server.ask('written')) as ReadonlyMap<string, string>,
    harmed: (await server.ask('harmed')) as readonly boolean[],
  };
}

/** Records of the report that ask the machine for something. */
const TALK: ReadonlySet<string> = new Set(['aim', 'dma', 'unbind', 'bind', 'await']);

/** What a guest asks for while it runs: devices plugged in, answers on its console, a second boot. */
export class GuestLink {
  running: QemuProcess | undefined;
  /** The first boot, once there is a second. */
  before: BootSeen | undefined;
  readonly notes: string[] = [];
  readonly #model: Model;
  readonly #server: VfioUserServer;
  /** Plugged in while the guest runs, by the name that it gives them. */
  readonly #later: ReadonlyMap<string, ServedFunction>;
  readonly #plugged = new Set<string>();
  /** A reset is not noticed for now. */
  #unarmed = false;

  constructor(model: Model, server: VfioUserServer) {
    this.#model = model;
    this.#server = server;
    const later = model.endpoints.filter((endpoint) => isHotplugged(model, endpoint));
    this.#later = new Map(
      later.flatMap((endpoint): [string, ServedFunction][] => {
        const served = server.functions.find(({ id }) => id === endpoint.id);
        const name = planName(endpoint);
        return served === undefined || name === undefined ? [] : [[name, served]];
      }),
    );
  }

  /** Functions that are in the machine from the start. */
  get atStart(): ServedFunction[] {
    const later = new Set(Array.from(this.#later.values(), ({ id }) => id));
    return this.#server.functions.filter(({ id }) => !later.has(id));
  }

  /** A line of the guest's report. */
  record(kind: string, fields: ReadonlyMap<string, string>): void {
    const at = fields.get('at') ?? '';
    if (this.#unarmed) this.#try('wait for the end of the second boot', this.#arm());
    if (kind === 'plugin') this.#try(`plug ${at}`, this.#plug(at));
    else if (TALK.has(kind)) this.#try(`answer ${kind} of ${at}`, this.#talk(kind, fields));
  }

  /** The guest was reset: once, it may go on. What was plugged in stays in. */
  async stopped(
    reason: string,
    running: QemuProcess,
    console: ConsoleWatch,
  ): Promise<(() => Promise<void>) | undefined> {
    if (reason !== 'guest-reset' || this.before !== undefined) return undefined;
    this.before = await bootSeen(this.#server, console);
    // Until the second boot says its first word: SeaBIOS resets the machine once more by itself.
    await running.qmp.execute('set-action', { reboot: 'reset' });
    const done = new Promise<void>((resolve) => {
      const off = running.qmp.onEvent(({ event }) => {
        if (event !== 'RESET') return;
        off();
        resolve();
      });
    });
    await running.qmp.execute('system_reset');
    await done;
    this.#unarmed = true;
    await this.#server.ask('watch');
    return async () => {
      await running.qmp.execute('cont');
    };
  }

  /** The next reset is the end. */
  async #arm(): Promise<void> {
    this.#unarmed = false;
    await this.running?.qmp.execute('set-action', { reboot: 'shutdown' });
  }

  async #plug(at: string): Promise<void> {
    const served = this.#later.get(at);
    if (served === undefined || this.#plugged.has(at)) return;
    this.#plugged.add(at);
    const { driver, ...properties } = vfioUserProperties(this.#model, served);
    await this.running?.qmp.execute('device_add', { driver, ...properties });
  }

  async #talk(kind: string, fields: ReadonlyMap<string, string>): Promise<void> {
    const answer = await this.#server.ask('talk', { kind, fields: [...fields] });
    if (typeof answer === 'string') this.running?.type(answer);
  }

  #try(what: string, work: Promise<void>): void {
    work.catch((error: unknown) => {
      if (this.notes.length < 10) this.notes.push(`could not ${what}: ${String(error)}`);
    });
  }
}
