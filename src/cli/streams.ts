import type { Writable } from 'node:stream';

/** What became of a stream that results go to. */
export interface StreamGuard {
  /** Resolves when all that was written has arrived, or never will. */
  readonly settled: () => Promise<void>;
  /** Why results were lost: a full disk, say. A reader that left (`| head`) is no loss. */
  readonly lost: () => NodeJS.ErrnoException | undefined;
}

/**
 * Keeps errors of a stream from ending the process in the middle of its work: `| head` reads what
 * it wants and leaves, but the guest still runs to its verdict, and the exit code stays what it is.
 */
export function guardStream(stream: Writable): StreamGuard {
  let lost: NodeJS.ErrnoException | undefined;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') lost ??= error;
  });
  return {
    settled: () =>
      new Promise((resolve) => {
        // Errors are told a tick after the write that failed.
        stream.write('', () => setImmediate(resolve));
      }),
    lost: () => lost,
  };
}
