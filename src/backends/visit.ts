import type { Answerer } from '../debug/index.ts';
import type { NetLink, NetTap } from '../endpoints/index.ts';
import type { Machine } from '../machine/index.ts';
import type { Endpoint } from '../topology/index.ts';

/** A machine of ours that stands before its first instruction. */
export interface MachineTarget {
  readonly machine: Machine;
  /** Stops the guest; from within an event, before it executes anything after it. */
  readonly hold: () => void;
  readonly release: () => void;
  /** Nanoseconds since power-on. */
  readonly clock: () => bigint;
}

/** Whoever wants to look into a run; the answer is called when the run is over, however it ended. */
export type MachineVisitor = (target: MachineTarget) => Promise<() => Promise<void>>;

/** As {@link MachineVisitor}, of a machine in another thread: it is asked, not touched. */
export type RemoteVisitor = (machine: Answerer) => Promise<() => Promise<void>>;

/** Who sees the frames of a NIC. `clock`: nanoseconds since power-on. */
export type TapMaker = (endpoint: Endpoint, clock: () => bigint) => NetTap | undefined;

/**
 * Who is at the other end of a NIC's cable; undefined: the peer inside the process. `wake` is to be
 * called when frames were given to the guest at a time of the link's own.
 */
export type LinkMaker = (endpoint: Endpoint, wake: () => void) => NetLink | undefined;
