import { EnvironmentError } from '../guest/index.ts';
import { QemuError, type QemuProcess } from '../qemu/index.ts';
import type { BootHooks, BootInput } from '../scenario/index.ts';
import {
  serve,
  ServerUnavailable,
  type ServedFunction,
  type ServerProblem,
  type ServerReport,
  type VfioUserServer,
} from '../vfio-user/index.ts';
import type { VfioUserPrepared, VfioUserRunOptions } from './qemu-vfio-user-prepare.ts';
import { reboots, vfioUserArgv } from './qemu-vfio-user-prepare.ts';
import { RemoteInspector } from './remote-debug.ts';
import { bootSeen, GuestLink, type BootSeen } from './qemu-vfio-user-guest.ts';
import { watchMachine, type Watched } from './qemu-watch.ts';
import type { OpenTap } from './taps.ts';
import type { LiveEvents } from './vfio-user-setup.ts';

/** Milliseconds between two looks at what the devices did, for whoever wants to see it live. */
const LIVE_MS = 100;

/** What came of one QEMU and its server. */
export interface SessionResult extends BootSeen {
  readonly seen: Watched;
  /** The boot before this one, when the guest rebooted. */
  readonly before?: BootSeen;
  readonly problems: readonly ServerProblem[];
  readonly notes: readonly string[];
}

/** The file of the server's setup, as source or built. */
function setupModule(): string {
  const suffix = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  return new URL(`./vfio-user-setup${suffix}`, import.meta.url).href;
}

/** Starts a server for the topology; what this machine lacks for it becomes an `EnvironmentError`. */
export async function startServer(
  { model, seed }: Pick<BootInput, 'model' | 'seed'>,
  directory: string,
  live: boolean,
  onReport: (report: ServerReport) => void,
  onNotice?: (value: unknown) => void,
  opened: readonly OpenTap[] = [],
): Promise<VfioUserServer> {
  const taps = opened.map(({ attachment, tap }) => ({
    endpoint: attachment.endpoint,
    name: tap.name,
    fd: tap.fd,
  }));
  try {
    const setup = { module: setupModule(), data: { seed, live, taps } };
    const server = await serve({
      model,
      directory,
      setup,
      onReport,
      ...(onNotice === undefined ? {} : { onNotice }),
    });
    await server.ask('watch');
    return server;
  } catch (error) {
    if (!(error instanceof ServerUnavailable)) throw error;
    throw new EnvironmentError('env/program-missing', error.message, error.cure, { cause: error });
  }
}

/** What is known of the sockets of a session. */
class Connections {
  readonly problems: ServerProblem[] = [];
  readonly notes: string[] = [];
  readonly #seen = new Set<string>();

  take(report: ServerReport): void {
    if (report.kind === 'connected') this.#seen.add(report.function);
    // Of a guest that never stops the first ones tell the most.
    else if (report.kind === 'problem' && this.problems.length < 20) {
      this.problems.push(report.problem);
    }
  }

  missing(functions: readonly ServedFunction[]): string[] {
    return functions.map(({ id }) => id).filter((id) => !this.#seen.has(id));
  }
}

/**
 * One server and one QEMU, which share one life: the server listens before QEMU starts, and is ended
 * after QEMU; a QEMU whose server goes aborts.
 *
 * Throws `BootAborted`, {@link EnvironmentError}, {@link QemuError}.
 */
export async function runSession(
  input: BootInput,
  hooks: BootHooks,
  options: VfioUserRunOptions,
  prepared: VfioUserPrepared,
  directory: string,
): Promise<SessionResult> {
  const connections = new Connections();
  hooks.progress?.('serving the devices');
  const live = hooks.event !== undefined;
  const take = (report: ServerReport): void => connections.take(report);
  const inspector = new RemoteInspector();
  const notice = (value: unknown): void => void inspector.take(value);
  const server = await startServer(input, directory, live, take, notice, options.opened);
  inspector.connect(server);
  const dead = new AbortController();
  let stopping = false;
  server.ended.then(
    () => stopping || dead.abort(),
    () => dead.abort(),
  );
  const stopLive = live ? tellLive(server, hooks) : undefined;
  let leave: (() => Promise<void>) | undefined;
  try {
    leave = await options.visit?.(inspector);
    const guest = new GuestLink(input.model, server);
    const argv = vfioUserArgv(input.model, prepared, guest.atStart, options);
    const seen = await watchMachine(input, hooks, options, {
      qemu: prepared.qemu,
      argv,
      started: (running) => {
        guest.running = running;
        refuseUnconnected(guest.atStart, connections, running);
      },
      record: (kind, fields) => guest.record(kind, fields),
      ...(reboots(input.model)
        ? { stopped: (reason, running, console) => guest.stopped(reason, running, console) }
        : {}),
      ...(options.connectTime === undefined ? {} : { answerTime: options.connectTime * 1000 }),
      signal: dead.signal,
    }).catch((error: unknown) => {
      throw explained(error, guest.atStart, connections);
    });
    // A server that died is a mistake of ours, whatever came of the guest.
    if (dead.signal.aborted) await server.ended;
    await stopLive?.();
    return {
      seen,
      ...(await bootSeen(server, seen.console)),
      ...(guest.before === undefined ? {} : { before: guest.before }),
      problems: connections.problems,
      notes: [
        ...connections.notes,
        ...guest.notes,
        ...((await server.ask('taps')) as readonly string[]),
      ],
    };
  } finally {
    await stopLive?.();
    stopping = true;
    inspector.end();
    await leave?.();
    await server.stop().catch(() => undefined);
  }
}

/** QEMU connects while it makes its machine, so that one which runs has connected to everything. */
function refuseUnconnected(
  functions: readonly ServedFunction[],
  connections: Connections,
  running: QemuProcess,
): void {
  const missing = connections.missing(functions);
  if (missing.length > 0) connections.notes.push(neverConnected(missing, functions));
  if (missing.length === functions.length && missing.length > 0) running.kill();
}

function neverConnected(missing: readonly string[], functions: readonly ServedFunction[]): string {
  const all = missing.length === functions.length;
  return `QEMU never connected to ${all ? 'any' : `${missing.length}`} of the ${functions.length} sockets: ${missing.join(', ')}`;
}

/** A failure of QEMU, with what its connections say of it. */
function explained(
  error: unknown,
  functions: readonly ServedFunction[],
  connections: Connections,
): unknown {
  if (!(error instanceof QemuError)) return error;
  const missing = connections.missing(functions);
  const [problem] = connections.problems;
  const more = [
    ...(missing.length === 0 ? [] : [neverConnected(missing, functions)]),
    ...(problem === undefined ? [] : [`${problem.message}; ${problem.effect}`]),
  ];
  if (more.length === 0) return error;
  const { code, message, story } = error;
  const [first = '', ...rest] = message.split('\n');
  const told = [`${first}. ${more.join('. ')}`, ...(story === undefined ? rest : [])].join('\n');
  return new QemuError(code, told, story, { cause: error });
}

/** Passes on what the devices did; the returned function takes the rest and ends it. */
function tellLive(server: VfioUserServer, hooks: BootHooks): () => Promise<void> {
  let over = false;
  const take = async (): Promise<void> => {
    const { events } = (await server.ask('events')) as LiveEvents;
    for (const event of events) hooks.event?.(event);
  };
  const timer = setInterval(() => {
    take().catch(() => clearInterval(timer));
  }, LIVE_MS);
  return async () => {
    if (over) return;
    over = true;
    clearInterval(timer);
    await take().catch(() => undefined);
  };
}
