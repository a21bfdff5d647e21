import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import type { ListenOptions, MachineEvent } from '../machine/index.ts';
import type { Model } from '../topology/index.ts';
import type { ServedFunction } from './functions.ts';
import type { ServerReport, ServerStats } from './server.ts';
import {
  SEEN,
  STOP,
  WOKEN,
  type Question,
  type SetupModule,
  type ThreadData,
  type ThreadMessage,
} from './thread.ts';
import { ServerUnavailable } from './unavailable.ts';

export interface ServeOptions {
  readonly model: Model;
  /** Where the sockets are made: it exists, is the user's own, and has a path of less than 90 bytes. */
  readonly directory: string;
  /** Kinds of vIOMMU events to hear of. */
  readonly listen?: ListenOptions;
  /** Machine events in order. `lost`: as many were dropped just before, for want of time. */
  readonly onEvents?: (events: readonly MachineEvent[], lost: number) => void;
  readonly onReport?: (report: ServerReport) => void;
  /** Told what the setup module gives notice of. */
  readonly onNotice?: (value: unknown) => void;
  /** For what cannot be cloned into a thread: disks, NIC peers, taps, and further questions. */
  readonly setup?: SetupModule;
}

/** Devices that a VMM can plug in now. */
export interface VfioUserServer {
  readonly functions: readonly ServedFunction[];
  /**
   * Asks the thread: `stats`, `snapshot`, `plug`, `unplug`, or a question of the setup module.
   * Rejects when it cannot be answered, or the thread is over.
   */
  ask(question: string, argument?: unknown): Promise<unknown>;
  /**
   * Closes all sockets and ends the thread. QEMU is to be ended before: it aborts when a device's
   * server goes.
   */
  stop(): Promise<ServerStats>;
  /** Settles when the thread is over; rejects with what it died of, which is our own mistake. */
  readonly ended: Promise<void>;
}

interface Asked {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

const ONE = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);

/** A thread that serves. */
class ServerThread implements VfioUserServer {
  functions: readonly ServedFunction[] = [];
  readonly ended: Promise<void>;
  /** Settles when all sockets listen. */
  readonly ready: Promise<void>;
  readonly #options: ServeOptions;
  readonly #shared = new Int32Array(new SharedArrayBuffer(12));
  readonly #questions: MessagePort;
  readonly #asked = new Map<number, Asked>();
  #next = 0;
  #wakeFd: number | undefined;
  #stats: ServerStats = { requests: 0, refused: 0, interrupts: 0, connected: 0 };

  constructor(options: ServeOptions) {
    this.#options = options;
    const { model, directory, setup, listen, onEvents } = options;
    const { port1, port2 } = new MessageChannel();
    this.#questions = port1;
    // Waiting for answers is no reason for a process to stay; the thread is.
    port1.unref();
    const data: ThreadData = {
      model,
      directory,
      shared: this.#shared.buffer,
      ...(setup === undefined ? {} : { setup }),
      ...(onEvents === undefined ? {} : { listen: listen ?? {} }),
    };
    const worker = start({ data, questions: port2 }, [port2]);
    let over: (error?: Error) => void = () => undefined;
    this.ended = new Promise((resolve, reject) => {
      over = (error) => (error === undefined ? resolve() : reject(error));
    });
    // Whoever does not look at `ended` learns of a failure by `ask` and `stop`.
    this.ended.catch(() => undefined);
    this.ready = new Promise((resolve, reject) => {
      worker.on('message', (message: ThreadMessage) => {
        if (message.kind === 'unavailable') {
          reject(new ServerUnavailable(message.message, message.cure));
        } else if (message.kind === 'ready') {
          this.functions = message.functions;
          this.#wakeFd = message.wakeFd;
          resolve();
        } else {
          this.#take(message);
        }
      });
      worker.on('error', (error: Error) => {
        reject(error);
        over(error);
      });
      worker.on('exit', () => {
        const error = new Error('the server has ended');
        reject(error);
        this.#gone(error);
        over();
      });
    });
  }

  ask(question: string, argument?: unknown): Promise<unknown> {
    const fd = this.#wakeFd;
    if (fd === undefined) return Promise.reject(new Error('the server has ended'));
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#questions.postMessage({ id, question, argument } satisfies Question);
      writeSync(fd, ONE);
    });
  }

  async stop(): Promise<ServerStats> {
    const fd = this.#wakeFd;
    // From now on the descriptor is the thread's to close.
    this.#wakeFd = undefined;
    if (fd !== undefined) {
      Atomics.store(this.#shared, STOP, 1);
      writeSync(fd, ONE);
      Atomics.store(this.#shared, WOKEN, 1);
      Atomics.notify(this.#shared, WOKEN);
    }
    await this.ended;
    return this.#stats;
  }

  #take(message: ThreadMessage): void {
    const { onEvents, onReport, onNotice } = this.#options;
    switch (message.kind) {
      case 'events':
        Atomics.add(this.#shared, SEEN, 1);
        onEvents?.(message.events, message.lost);
        break;
      case 'report':
        onReport?.(message.report);
        break;
      case 'notice':
        onNotice?.(message.value);
        break;
      case 'answer':
        this.#asked.get(message.id)?.resolve(message.value);
        this.#asked.delete(message.id);
        break;
      case 'failed':
        this.#asked.get(message.id)?.reject(new Error(message.message));
        this.#asked.delete(message.id);
        break;
      case 'ended':
        this.#stats = message.stats;
        break;
      default:
    }
  }

  #gone(error: Error): void {
    this.#wakeFd = undefined;
    this.#questions.close();
    for (const { reject } of this.#asked.values()) reject(error);
    this.#asked.clear();
  }
}

/** From sources (tests, benchmarks) the thread needs jiti, as whoever started us does. */
function start(workerData: unknown, transferList: MessagePort[]): Worker {
  const suffix = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  const file = new URL(`./worker${suffix}`, import.meta.url);
  if (suffix === '.js') return new Worker(file, { workerData, transferList });
  const jiti = createRequire(import.meta.url).resolve('jiti/package.json');
  const register = pathToFileURL(join(dirname(jiti), 'lib', 'jiti-register.mjs')).href;
  return new Worker(file, { workerData, transferList, execArgv: ['--import', register] });
}

/**
 * Serves every PCI function of a topology. It resolves when all sockets listen: QEMU may be started
 * then, and must be ended before `stop`.
 *
 * @throws ServerUnavailable without koffi, on another system than Linux, or without sockets
 */
export async function serve(options: ServeOptions): Promise<VfioUserServer> {
  const thread = new ServerThread(options);
  await thread.ready;
  return thread;
}
