import { lstatSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';

/** Of `sockaddr_un.sun_path`, less its end. */
export const SOCKET_PATH_MAX = 107;

/** A socket that cannot be had, or must not be trusted. */
export class SocketError extends Error {
  override readonly name = 'SocketError';
  readonly cure: string;

  constructor(message: string, cure: string, options?: ErrorOptions) {
    super(message, options);
    this.cure = cure;
  }
}

/**
 * Refuses what is no socket, another user's, or open to others.
 *
 * @returns what must still be so after connecting
 * @throws SocketError
 */
export function trust(path: string): { readonly ino: number; readonly dev: number } {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) {
    throw new SocketError(`there is no ${path}`, 'start a run with --debug SOCKET, and name that');
  }
  if (!found.isSocket()) throw new SocketError(`${path} is no socket`, 'name the one of --debug');
  if (found.uid !== (process.getuid?.() ?? found.uid)) {
    throw new SocketError(
      `${path} belongs to another user (${found.uid})`,
      'debug runs of your own',
    );
  }
  if ((found.mode & 0o077) !== 0) {
    const mode = (found.mode & 0o777).toString(8);
    throw new SocketError(
      `${path} is open to others (mode ${mode})`,
      'take their rights away: chmod 600',
    );
  }
  return { ino: found.ino, dev: found.dev };
}

/** @throws SocketError when nobody answers, or it cannot be trusted */
export async function connectTrusted(path: string): Promise<Socket> {
  const before = trust(path);
  const socket = createConnection(path);
  await new Promise<void>((done, fail) => {
    socket.once('connect', done);
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const why =
        error.code === 'ECONNREFUSED'
          ? 'nobody listens there any more'
          : (error.code ?? error.message);
      fail(
        new SocketError(`cannot connect to ${path}: ${why}`, 'start the run again', {
          cause: error,
        }),
      );
    });
  });
  const after = trust(path);
  if (after.ino === before.ino && after.dev === before.dev) return socket;
  socket.destroy();
  throw new SocketError(`${path} was exchanged`, 'use a directory that only you can write to');
}

/** Whether somebody listens on a path. */
export function connects(path: string): Promise<boolean> {
  return new Promise((answer) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      answer(true);
    });
    socket.once('error', () => answer(false));
  });
}
