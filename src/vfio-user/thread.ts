import type { ListenOptions, Machine, MachineEvent, MachineOptions } from '../machine/index.ts';
import type { Model } from '../topology/index.ts';
import type { ServedFunction } from './functions.ts';
import type { ServerReport, ServerStats } from './server.ts';

/** What a setup module is given. */
export interface SetupContext {
  readonly model: Model;
  /** `setup.data` of the options, cloned. */
  readonly data: unknown;
  /** The machine; only to be asked for once it was built, in answers to questions. */
  readonly machine: () => Machine;
  /** Says something to whoever runs the server: a thread that waits cannot print. */
  readonly log: (text: string) => void;
  /** Gives `onNotice` a value, which is cloned. */
  readonly notice: (value: unknown) => void;
  /**
   * Holds the devices after the message that is being handled, and lets them go on. To be called in
   * events of the machine and in answers to questions; these are answered meanwhile.
   */
  readonly hold: () => void;
  readonly release: () => void;
}

/** Something besides QEMU that has news for a device. */
export interface Source {
  /** Ready to be read when there is some. */
  readonly fd: number;
  /** Takes some of it; false when nothing will come any more. It must not wait. */
  readonly work: () => boolean;
}

/** What it gives. */
export interface ServerSetup {
  readonly machine?: Pick<MachineOptions, 'store' | 'link' | 'tap' | 'random'>;
  /** Listened to along with the sockets; their descriptors are not the server's to close. */
  readonly sources?: readonly Source[];
  /** Names for `ask`. They answer at once: arguments and answers are cloned between threads. */
  readonly questions?: Readonly<Record<string, (argument: unknown) => unknown>>;
}

/** What a setup module exports as `setup`. */
export type SetupFunction = (context: SetupContext) => ServerSetup | Promise<ServerSetup>;

/** A module that the thread imports, by the URL of its file. */
export interface SetupModule {
  readonly module: string;
  readonly data?: unknown;
}

/** What the thread is started with. */
export interface ThreadData {
  readonly model: Model;
  readonly directory: string;
  readonly setup?: SetupModule;
  /** Absent: nobody wants events. */
  readonly listen?: ListenOptions;
  /** Three 32-bit words: {@link STOP}, {@link SEEN} and {@link WOKEN}. */
  readonly shared: SharedArrayBuffer;
}

/** Index of the word that is not 0 when the thread is to end. */
export const STOP = 0;
/** Index of the word that counts the batches of events that were taken. */
export const SEEN = 1;
/**
 * Index of the word that is not 0 once the wake descriptor was written to for the last time. Before,
 * the thread must not close it: its number could be another file's by then.
 */
export const WOKEN = 2;

export interface Question {
  readonly id: number;
  readonly question: string;
  readonly argument: unknown;
}

/** What the thread says. */
export type ThreadMessage =
  | {
      readonly kind: 'ready';
      readonly functions: readonly ServedFunction[];
      readonly wakeFd: number;
    }
  | { readonly kind: 'unavailable'; readonly message: string; readonly cure: string }
  | { readonly kind: 'events'; readonly events: readonly MachineEvent[]; readonly lost: number }
  | { readonly kind: 'report'; readonly report: ServerReport }
  | { readonly kind: 'notice'; readonly value: unknown }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly message: string }
  | { readonly kind: 'ended'; readonly stats: ServerStats };
