import { FormatError } from '../bytes/index.ts';
import { EINVAL, EIO, EMSGSIZE, ENOTSUP, EPROTO, VFIO_USER_VERSION } from '../spec/vfio-user.ts';
import { COMMANDS, type Target } from './commands.ts';
import type { ClientMaps } from './guest-ram.ts';
import { encodeReply, type Request } from './message.ts';
import { internalProblem, protocolProblem, ramWithoutFd, type ServerProblem } from './problem.ts';
import type { ServedDevice } from './served-device.ts';
import { FDS_MAX, negotiate } from './version.ts';

/** What a session tells the server. */
export interface SessionEvents {
  problem(problem: ServerProblem): void;
  reset(): void;
}

/** Requests by kind, since the session began. */
export interface SessionCounters {
  requests: number;
  refused: number;
}

/** Problems that are told of one connection: a client could make them without end. */
const PROBLEMS_MAX = 8;

/**
 * The protocol on one connection: a request in, at most one reply out. It does no I/O. Whatever is in
 * a request, and whatever goes wrong inside, it gets an answer, so that no guest waits for ever.
 */
export class Session {
  readonly counters: SessionCounters = { requests: 0, refused: 0 };
  /** The stream cannot be trusted any more: the connection is to be closed after the reply. */
  over = false;
  readonly #target: Target;
  readonly #id: string;
  readonly #out: DataView;
  readonly #events: SessionEvents;
  #agreed = false;
  #told = 0;

  /** @param out where replies are put */
  constructor(device: ServedDevice, maps: ClientMaps, out: DataView, events: SessionEvents) {
    this.#id = device.fn.name;
    this.#out = out;
    this.#events = events;
    this.#target = {
      device,
      maps,
      out,
      replyLength: 0,
      ramWithoutFd: (range) => this.#tell(ramWithoutFd(this.#id, range)),
      wasReset: () => events.reset(),
    };
  }

  /** @returns bytes of the reply in `out`; 0 when none is due */
  handle(request: Request): number {
    this.counters.requests++;
    const target = this.#target;
    target.replyLength = 0;
    const errno = this.#run(request);
    if (errno !== 0) this.counters.refused++;
    return request.noReply ? 0 : encodeReply(this.#out, request, target.replyLength, errno);
  }

  /** Something came that is no message at all. */
  broken(what: string): void {
    this.over = true;
    this.#blame(what, 'the connection was closed, and QEMU ends with it');
  }

  #run(request: Request): number {
    if (request.fds.length > FDS_MAX) {
      this.#blame(`${request.fds.length} descriptors came with one message`, 'it was refused');
      return EINVAL;
    }
    if (request.command === VFIO_USER_VERSION) return this.#version(request);
    const command = COMMANDS.get(request.command);
    if (!this.#agreed) {
      this.broken(`command ${request.command} came before the version was agreed on`);
      return EPROTO;
    }
    if (command === undefined) {
      this.#blame(`command ${request.command} is unknown`, 'it was refused');
      return ENOTSUP;
    }
    if (request.length < command.least) {
      const size = `${request.length} bytes, at least ${command.least} are needed`;
      this.#blame(`${command.name} has ${size}`, 'it was refused');
      return EMSGSIZE;
    }
    try {
      return command.run(this.#target, request);
    } catch (error) {
      if (error instanceof FormatError) {
        this.#blame(`${command.name}: ${error.message}`, 'it was refused');
        return EINVAL;
      }
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#tell(internalProblem(this.#id, `${command.name}: ${text}`));
      return EIO;
    }
  }

  #version(request: Request): number {
    if (this.#agreed) {
      this.#blame('the version was asked for twice', 'the second request was refused');
      return EINVAL;
    }
    const { errno, length, why } = negotiate(request, this.#out);
    if (errno !== 0) {
      this.broken(`the client asks for ${why ?? 'something else'}; this server has version 0.0`);
      return errno;
    }
    this.#target.replyLength = length;
    this.#agreed = true;
    return 0;
  }

  #blame(what: string, effect: string): void {
    this.#tell(protocolProblem(this.#id, what, effect));
  }

  #tell(problem: ServerProblem): void {
    if (this.#told++ < PROBLEMS_MAX) this.#events.problem(problem);
  }
}
