import type { Socket } from 'node:net';
import { JSONRPCClient, type JSONRPCResponse } from 'json-rpc-2.0';
import { ANSWER_MAX, LineSplitter } from './lines.ts';
import { DebugError, type Json, type Method } from './protocol.ts';
import { connectTrusted, SocketError } from './socket.ts';

/** A notice of the server. */
export interface Notice {
  readonly method: string;
  readonly params: Json;
}

/** A debugger's end of the socket. */
export class DebugClient {
  /** Told of `stopped`, `continued`, `trace`, `missed` and `ended`. */
  onNotice: ((notice: Notice) => void) | undefined;
  /** Told once when the other side is gone. */
  onClose: (() => void) | undefined;
  readonly #socket: Socket;
  readonly #rpc: JSONRPCClient;
  #closed = false;

  /** @throws SocketError */
  static async connect(path: string): Promise<DebugClient> {
    return new DebugClient(await connectTrusted(path));
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#rpc = new JSONRPCClient((request) => {
      if (this.#closed) return Promise.reject(gone());
      socket.write(`${JSON.stringify(request)}\n`);
      return Promise.resolve();
    });
    const lines = new LineSplitter((line) => this.#line(line), ANSWER_MAX);
    socket.on('data', (bytes: Buffer) => {
      if (!lines.push(bytes)) socket.destroy();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#closed = true;
      this.#rpc.rejectAllPendingRequests('the run is over');
      this.onClose?.();
    });
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** @throws DebugError for an answer that is an error, SocketError when the connection is lost */
  async ask(method: Method, params: object = {}): Promise<Json> {
    try {
      return (await this.#rpc.request(method, params)) as Json;
    } catch (error) {
      if (this.#closed) throw gone(error);
      const { code, message } = error as { code?: unknown; message?: unknown };
      if (typeof code !== 'number') throw error;
      throw new DebugError(code, String(message));
    }
  }

  close(): void {
    this.#socket.end();
  }

  #line(line: string): void {
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      // Not our server.
      this.#socket.destroy();
      return;
    }
    if (typeof message !== 'object' || message === null) return;
    const { method, params } = message as { method?: unknown; params?: Json };
    if (typeof method === 'string') this.onNotice?.({ method, params: params ?? {} });
    else this.#rpc.receive(message as JSONRPCResponse);
  }
}

function gone(cause?: unknown): SocketError {
  return new SocketError('the connection is lost: the run is over', 'start the run again', {
    cause,
  });
}
