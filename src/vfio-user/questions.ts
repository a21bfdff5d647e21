import type { MachineState } from '../machine/index.ts';
import type { Server } from './server.ts';

/** A question that the thread itself can answer. */
type Answer = (server: Server, directory: string, argument: unknown) => unknown;

/** What may be asked of every server, beside what its setup adds. */
export const QUESTIONS: Readonly<Record<string, Answer>> = {
  /** Counters of all functions. */
  stats: (server) => server.stats,
  /** Everything of the machine but RAM as plain data: registers, queues, domains. */
  snapshot: ({ machine }) => machine.snapshot({ ram: false }),
  /** Puts such a state back. The VMM must be stopped, and its RAM as it was then. */
  restore: ({ machine }, _directory, state) => {
    machine.restore(state as MachineState);
  },
  /** Plugs in an endpoint by its id; the function that can be given to QEMU then. */
  plug: (server, directory, id) => server.plug(text(id), directory),
  /** Pulls an endpoint; false when there is none. */
  unplug: (server, _directory, id) => server.unplug(text(id)),
};

function text(argument: unknown): string {
  if (typeof argument === 'string') return argument;
  throw new TypeError('an id is needed');
}
