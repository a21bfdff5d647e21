import {
  parentPort,
  receiveMessageOnPort,
  workerData,
  type MessagePort,
} from 'node:worker_threads';
import { buildMachine } from '../machine/index.ts';
import { GuestMemory } from '../memory/index.ts';
import { LinuxSys } from './ffi.ts';
import { numberBuses, servedFunctions } from './functions.ts';
import { Outbox } from './outbox.ts';
import { QUESTIONS } from './questions.ts';
import { Server } from './server.ts';
import {
  SEEN,
  STOP,
  WOKEN,
  type Question,
  type ServerSetup,
  type SetupFunction,
  type ThreadData,
  type ThreadMessage,
} from './thread.ts';
import { ServerUnavailable } from './unavailable.ts';

/** Milliseconds that the loop waits at most: the flag to stop is looked at that often in any case. */
const WAIT = 500;

/** The thread of a server: one loop that owns sockets, guest memory, vIOMMUs and endpoints. */
async function run(data: ThreadData, questions: MessagePort): Promise<void> {
  const post = (message: ThreadMessage): void => parentPort?.postMessage(message);
  const shared = new Int32Array(data.shared);
  const held: { server?: Server } = {};
  const setup = await setUp(data, held, post);
  const sys = new LinuxSys();
  const machine = buildMachine(data.model, {
    ...setup.machine,
    memory: new GuestMemory(),
    // A round trip to QEMU's guest for each MAP is what costs most here.
    indirect: false,
  });
  numberBuses(machine);
  const server = new Server(sys, machine, (report) => post({ kind: 'report', report }));
  held.server = server;
  for (const source of setup.sources ?? []) server.listenTo(source);
  const outbox = new Outbox(
    (events, lost) => post({ kind: 'events', events, lost }),
    () => Atomics.load(shared, SEEN),
  );
  if (data.listen !== undefined) {
    machine.subscribe((event) => outbox.add(event), data.listen);
  }
  try {
    for (const served of servedFunctions(data.model, data.directory)) server.listen(served);
  } catch (error) {
    server.stop();
    throw unavailable(error, data.directory);
  }
  const answer = (): void => answerAll(questions, server, setup, data.directory, post);
  server.onWake = answer;
  post({ kind: 'ready', functions: server.functions, wakeFd: server.wakeFd });
  while (Atomics.load(shared, STOP) === 0) {
    server.step(outbox.patience ?? WAIT);
    outbox.flush();
  }
  answer();
  const { stats } = server;
  Atomics.wait(shared, WOKEN, 0, WAIT);
  server.stop();
  outbox.flush(true);
  post({ kind: 'ended', stats });
  questions.close();
  sys.end();
}

async function setUp(
  { model, setup }: ThreadData,
  held: { readonly server?: Server },
  post: (message: ThreadMessage) => void,
): Promise<ServerSetup> {
  if (setup === undefined) return {};
  const module = (await import(setup.module)) as { readonly setup: SetupFunction };
  const server = (): Server => {
    if (held.server === undefined) throw new Error('the machine is not built yet');
    return held.server;
  };
  return module.setup({
    model,
    data: setup.data,
    machine: () => server().machine,
    log: (text) => post({ kind: 'report', report: { kind: 'log', text } }),
    notice: (value) => post({ kind: 'notice', value }),
    hold: () => server().hold(),
    release: () => server().release(),
  });
}

function answerAll(
  port: MessagePort,
  server: Server,
  { questions }: ServerSetup,
  directory: string,
  post: (message: ThreadMessage) => void,
): void {
  for (;;) {
    const received = receiveMessageOnPort(port);
    if (received === undefined) return;
    const { id, question, argument } = received.message as Question;
    try {
      const own = questions?.[question];
      const known = QUESTIONS[question];
      if (own === undefined && known === undefined) {
        throw new RangeError(`nobody answers ${question}`);
      }
      const value = own ? own(argument) : known?.(server, directory, argument);
      post({ kind: 'answer', id, value });
    } catch (error) {
      post({ kind: 'failed', id, message: error instanceof Error ? error.message : String(error) });
    }
  }
}

function unavailable(error: unknown, directory: string): ServerUnavailable {
  const message = error instanceof Error ? error.message : String(error);
  return new ServerUnavailable(
    `no socket can be made in ${directory}: ${message}`,
    'use another directory: empty, writable, with a path of less than 90 characters',
    { cause: error },
  );
}

const { data, questions } = workerData as {
  readonly data: ThreadData;
  readonly questions: MessagePort;
};

try {
  await run(data, questions);
} catch (error) {
  if (!(error instanceof ServerUnavailable)) throw error;
  const { message, cure } = error;
  parentPort?.postMessage({ kind: 'unavailable', message, cure } satisfies ThreadMessage);
  questions.close();
}
