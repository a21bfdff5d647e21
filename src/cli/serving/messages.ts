import type { ServedTopology } from '../../backends/index.ts';
import type { DeviceEvent } from '../../scenario/index.ts';
import { eventRecord, showRecord } from '../../trace/index.ts';
import type { ServerProblem, ServerStats } from '../../vfio-user/index.ts';
import type { Io } from '../io.ts';

/** What a server says while it serves. */
export interface ServeMessages {
  ready(served: ServedTopology): void;
  connection(id: string, connected: boolean): void;
  reset(id: string): void;
  event(event: DeviceEvent): void;
  problem(problem: ServerProblem): void;
  note(text: string): void;
  ended(stats: ServerStats): void;
}

/** Text: the command line is the result, all else is said beside it. JSON: an object a line. */
export function serveMessages(format: 'text' | 'json', io: Io, verbose: boolean): ServeMessages {
  return format === 'json' ? jsonMessages(io) : textMessages(io, verbose);
}

function textMessages(io: Io, verbose: boolean): ServeMessages {
  const say = (text: string): void => io.err(`${text}\n`);
  return {
    ready: ({ functions, command }) => {
      say(`serving ${functions.map(({ id }) => id).join(', ')}; start QEMU with:`);
      io.out(`${command.join(' \\\n  ')}\n`);
    },
    connection: (id, connected) => say(`${id}: ${connected ? 'connected' : 'disconnected'}`),
    reset: (id) => {
      if (verbose) say(`${id}: reset`);
    },
    event: (event) => say(showRecord(eventRecord(0, event))),
    problem: ({ code, message, effect, cure }) =>
      say(`${message} [${code}]\n  effect: ${effect}\n  cure: ${cure}`),
    note: say,
    ended: ({ requests, interrupts }) =>
      say(`served ${requests} requests, raised ${interrupts} interrupts`),
  };
}

function jsonMessages(io: Io): ServeMessages {
  const say = (type: string, value: object): void =>
    io.out(`${JSON.stringify({ type, ...value })}\n`);
  return {
    ready: ({ functions, command, files }) => say('ready', { command, functions, files }),
    connection: (id, connected) => say(connected ? 'connected' : 'disconnected', { function: id }),
    reset: (id) => say('reset', { function: id }),
    event: (event) => io.out(`${JSON.stringify(eventRecord(0, event))}\n`),
    problem: (problem) => say('problem', problem),
    note: (text) => say('note', { text }),
    ended: (stats) => say('ended', stats),
  };
}
