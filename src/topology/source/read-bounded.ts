import { closeSync, constants, fstatSync, openSync, readSync, statSync, type Stats } from 'node:fs';

/** The bytes of a file, or why there are none. */
export type BoundedRead =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** More than was asked for. */
  | { readonly kind: 'too-large' }
  /** `code` is that of the system, or `not-a-file`; `reason` says it in words. */
  | { readonly kind: 'unreadable'; readonly code: string; readonly reason: string };

/**
 * Reads a regular file of at most `max` bytes.
 *
 * Never waits: a pipe, a socket or a device that a name leads to is refused, not read, since
 * opening one can block for ever and no signal ends that. Never throws.
 */
export function readBounded(path: string, max: number): BoundedRead {
  let handle: number | undefined;
  try {
    const odd = oddity(statSync(path));
    if (odd !== undefined) return { kind: 'unreadable', code: 'not-a-file', reason: odd };
    // It can be another file by now: the open must not wait either, and what is open is asked again.
    handle = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = fstatSync(handle);
    const changed = oddity(stat);
    if (changed !== undefined) return { kind: 'unreadable', code: 'not-a-file', reason: changed };
    return readAll(handle, stat.size, max);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return { kind: 'unreadable', code, reason: REASONS[code] ?? code };
  } finally {
    if (handle !== undefined) closeSync(handle);
  }
}

function readAll(handle: number, size: number, max: number): BoundedRead {
  // Files of /proc and /sys have a size of 0, and others can grow: the end is where reading ends.
  let buffer = new Uint8Array(Math.min(Math.max(size, 4096), max) + 1);
  let length = 0;
  for (;;) {
    const got = readSync(handle, buffer, length, buffer.length - length, null);
    if (got === 0) return { kind: 'bytes', bytes: buffer.subarray(0, length) };
    length += got;
    if (length > max) return { kind: 'too-large' };
    if (length < buffer.length) continue;
    const grown = new Uint8Array(Math.min(2 * length, max + 1));
    grown.set(buffer);
    buffer = grown;
  }
}

/** What a file is when it is no regular one. */
function oddity(stat: Stats): string | undefined {
  if (stat.isFile()) return undefined;
  if (stat.isDirectory()) return 'it is a directory';
  if (stat.isFIFO()) return 'it is a pipe, not a regular file';
  if (stat.isSocket()) return 'it is a socket, not a regular file';
  return 'it is a device, not a regular file';
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'a part of the path is not a directory',
  EACCES: 'permission denied',
  EPERM: 'the operation is not permitted',
  EISDIR: 'it is a directory',
  ELOOP: 'symbolic links lead in a circle',
  ENAMETOOLONG: 'the name is too long',
  EAGAIN: 'it has nothing to read yet',
  EIO: 'the disk has an error',
  EMFILE: 'too many files are open',
  ERR_INVALID_ARG_VALUE: 'there is a NUL in its name',
};
