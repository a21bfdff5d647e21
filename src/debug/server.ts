import { chmodSync, lstatSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname, resolve } from 'node:path';
import {
  JSONRPCErrorException,
  JSONRPCServer,
  type JSONRPCRequest,
  type JSONRPCResponse,
} from 'json-rpc-2.0';
import { makeDirectories } from '../bytes/index.ts';
import { LineSplitter } from './lines.ts';
import { DebugError, METHODS, type Answerer, type Json } from './protocol.ts';
import { connects, SocketError, SOCKET_PATH_MAX } from './socket.ts';

export interface DebugServerOptions {
  /** Clients at once; default 8. */
  readonly clients?: number;
  /** Bytes that may wait for a client before it misses `trace` notices; default 4 MiB. */
  readonly backlog?: number;
}

/** Requests of one client that wait for their answers; then its socket is not read. */
const PENDING_MAX = 64;

/** A socket that debuggers connect to. */
export interface DebugServer {
  readonly path: string;
  /** Disconnects everybody and removes the socket. */
  close(): Promise<void>;
}

/**
 * Listens on a Unix socket that only its owner can connect to (mode 0600), and passes JSON-RPC 2.0
 * requests, one a line, to the answerer. A directory that does not exist is made for the owner alone.
 *
 * @throws SocketError when the path cannot be had, or somebody listens there
 */
export async function serveDebug(
  path: string,
  answerer: Answerer,
  options: DebugServerOptions = {},
): Promise<DebugServer> {
  await clear(path);
  const clients = new Set<Client>();
  const server = createServer((socket) => {
    if (clients.size >= (options.clients ?? 8)) {
      socket.destroy();
      return;
    }
    const client = new Client(socket, answerer, options.backlog ?? 4 << 20);
    clients.add(client);
    socket.on('close', () => clients.delete(client));
  });
  await listen(server, path);
  answerer.onNotice = (method, params): void => {
    for (const client of clients) client.notify(method, params);
  };
  return {
    path,
    close: async () => {
      answerer.onNotice = undefined;
      // What was said last is to arrive.
      for (const client of clients) client.end();
      await new Promise<void>((done) => void server.close(() => done()));
      rmSync(path, { force: true });
    },
  };
}

async function clear(path: string): Promise<void> {
  if (Buffer.byteLength(path) > SOCKET_PATH_MAX) {
    throw new SocketError(
      `${path}: longer than the ${SOCKET_PATH_MAX} bytes that a socket's path may have`,
      'choose a shorter path',
    );
  }
  const directory = dirname(resolve(path));
  try {
    makeDirectories(directory, 0o700);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new SocketError(
      `${directory}: this directory cannot be made: ${why}`,
      'choose another path',
    );
  }
  const { uid, mode } = statSync(directory);
  const own = process.getuid?.() ?? uid;
  const isSticky = (mode & 0o1000) !== 0;
  if ((uid !== own && uid !== 0) || ((mode & 0o022) !== 0 && !isSticky)) {
    throw new SocketError(
      `${directory}: others may exchange files there`,
      'choose a directory that only you can write to',
    );
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket() || found.uid !== own) {
    throw new SocketError(
      `${path} is there already, and is no socket of yours`,
      'choose another path',
    );
  }
  if (await connects(path)) {
    throw new SocketError(`somebody listens on ${path} already`, 'choose another path');
  }
  // Left behind by a run that was killed.
  rmSync(path);
}

/** The socket comes into being with mode 0600, not with a moment in which it is open to all. */
function listen(server: Server, path: string): Promise<void> {
  return new Promise((done, fail) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      fail(
        new SocketError(
          `cannot listen on ${path}: ${error.code ?? error.message}`,
          'choose another path',
        ),
      );
    });
    const before = process.umask(0o177);
    try {
      server.listen(path, done);
    } finally {
      process.umask(before);
    }
    if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) chmodSync(path, 0o600);
  });
}

/** One connection. Whatever it sends, it gets an answer or is hung up on. */
class Client {
  readonly #socket: Socket;
  readonly #rpc: JSONRPCServer = new JSONRPCServer({ errorListener: () => undefined });
  readonly #lines: LineSplitter;
  readonly #backlog: number;
  #pending = 0;
  #missed = 0;

  constructor(socket: Socket, answerer: Answerer, backlog: number) {
    this.#socket = socket;
    this.#backlog = backlog;
    this.#lines = new LineSplitter((line) => void this.#line(line));
    for (const method of METHODS) {
      this.#rpc.addMethod(method, async (params: unknown) => answerer.handle(method, params));
    }
    this.#rpc.applyMiddleware(async (next, request, parameters) => {
      try {
        return await next(request, parameters);
      } catch (error) {
        if (error instanceof DebugError) {
          throw new JSONRPCErrorException(error.message, error.code);
        }
        throw error;
      }
    });
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes: Buffer) => {
      if (this.#lines.push(bytes)) return;
      this.#send(failure(-32600, 'a line is too long'));
      socket.end();
    });
  }

  notify(method: string, params: Json): void {
    if (method === 'trace' && this.#socket.writableLength > this.#backlog) {
      this.#missed++;
      return;
    }
    if (this.#missed > 0)
      this.#send({ jsonrpc: '2.0', method: 'missed', params: { count: this.#missed } });
    this.#missed = 0;
    this.#send({ jsonrpc: '2.0', method, params });
  }

  end(): void {
    this.#socket.end();
    // A client that does not read must not keep the run from ending.
    setTimeout(() => this.#socket.destroy(), 500).unref();
  }

  async #line(line: string): Promise<void> {
    let request: unknown;
    try {
      request = JSON.parse(line);
    } catch {
      this.#send(failure(-32700, 'no JSON'));
      return;
    }
    if (!isRequest(request)) {
      this.#send(failure(-32600, 'no request of JSON-RPC 2.0; batches are not taken'));
      return;
    }
    if (++this.#pending >= PENDING_MAX) this.#socket.pause();
    try {
      const response = await this.#rpc.receive(request);
      if (response !== null) this.#send(response);
    } finally {
      if (--this.#pending < PENDING_MAX && this.#socket.isPaused()) this.#socket.resume();
    }
  }

  #send(message: JSONRPCResponse | object): void {
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify(message)}\n`);
  }
}

function isRequest(value: unknown): value is JSONRPCRequest {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const { jsonrpc, method, id } = value as Partial<Record<string, unknown>>;
  const isId = id === undefined || id === null || typeof id === 'string' || typeof id === 'number';
  return jsonrpc === '2.0' && typeof method === 'string' && isId;
}

function failure(code: number, message: string): object {
  return { jsonrpc: '2.0', id: null, error: { code, message } };
}
