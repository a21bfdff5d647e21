import type { ServedTopology } from '../../backends/index.ts';
import { EnvironmentError } from '../../guest/index.ts';
import type { ServerReport } from '../../vfio-user/index.ts';
import type { ServeMessages } from './messages.ts';

export interface WatchOptions {
  /** Seconds until somebody must have connected. */
  readonly wait?: number;
  /** Whether the end of a QEMU is not the end. */
  readonly stay?: boolean;
  /** Whether events are printed. */
  readonly verbose?: boolean;
}

/** Milliseconds between two looks at what the devices did. */
const EVENTS_MS = 100;

/** Follows a server's connections, and knows when it is over. */
export class Watch {
  readonly #messages: ServeMessages;
  readonly #options: WatchOptions;
  readonly #clients = new Set<string>();
  #everConnected = false;
  /** Problems that make what the guest saw worthless. */
  #failed = false;
  #over: () => void = () => undefined;

  constructor(messages: ServeMessages, options: WatchOptions) {
    this.#messages = messages;
    this.#options = options;
  }

  /** Functions that have a client now. */
  get connected(): number {
    return this.#clients.size;
  }

  report(report: ServerReport): void {
    switch (report.kind) {
      case 'connected':
        this.#everConnected = true;
        this.#clients.add(report.function);
        this.#messages.connection(report.function, true);
        break;
      case 'disconnected':
        this.#clients.delete(report.function);
        this.#messages.connection(report.function, false);
        if (this.#clients.size === 0 && this.#options.stay !== true) this.#over();
        break;
      case 'reset':
        this.#messages.reset(report.function);
        break;
      case 'problem':
        this.#failed = true;
        this.#messages.problem(report.problem);
        break;
      case 'log':
        this.#messages.note(report.text);
        break;
      default:
        report satisfies never;
    }
  }

  /**
   * Resolves when the last client is gone, or the user ends it; tells whether something went wrong.
   *
   * @throws EnvironmentError when nobody came in time
   */
  async untilOver(served: ServedTopology, signal: AbortSignal): Promise<boolean> {
    const { wait, verbose } = this.#options;
    const over = new Promise<void>((resolve) => {
      this.#over = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
      if (signal.aborted) resolve();
    });
    let late = false;
    const timer =
      wait === undefined
        ? undefined
        : setTimeout(() => {
            late = !this.#everConnected;
            if (late) this.#over();
          }, wait * 1000);
    const live =
      verbose === true ? setInterval(() => void this.#tell(served), EVENTS_MS) : undefined;
    try {
      await Promise.race([over, served.ended]);
      if (verbose === true) await this.#tell(served);
    } finally {
      clearTimeout(timer);
      clearInterval(live);
    }
    if (late) throw nobodyCame(wait ?? 0, served);
    return this.#failed;
  }

  async #tell(served: ServedTopology): Promise<void> {
    // A server that is over has said so by `ended`.
    const events = await served.events().catch(() => []);
    for (const event of events) this.#messages.event(event);
  }
}

function nobodyCame(wait: number, { functions }: ServedTopology): EnvironmentError {
  return new EnvironmentError(
    'env/program-failed',
    `No QEMU connected to ${functions.map(({ socket }) => socket).join(', ')} within ${wait} s`,
    'Start QEMU with the command line that was printed; its messages say what it did instead.',
  );
}
