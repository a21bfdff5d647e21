/** What a file descriptor that came over a socket is. */
export interface FileIdentity {
  /** Names the file while somebody has it open: device and inode. */
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** Whether it can be mapped: a regular file, which memfd and hugetlbfs make too. */
  readonly regular: boolean;
}

/** Something to wait for. Entries stay in place: `ready` is written anew by each `poll`. */
export interface PollEntry {
  readonly fd: number;
  /** Wait for room to send, instead of for something to receive. */
  wantsToSend: boolean;
  ready: boolean;
}

/** The other end closed its side. */
export const CLOSED = 0;
/** Nothing there, or no room now. */
export const AGAIN = -1;
/** The connection is broken. */
export const BROKEN = -2;

/**
 * The few things that the server asks of the operating system. Descriptors are numbers; nothing
 * blocks but `poll`. All of the room is written against this, so that it can be tested without FFI.
 */
export interface Sys {
  /** What `receive` received; at least {@link RX_SIZE} bytes. */
  readonly rx: Uint8Array;
  /** What `send` sends; at least {@link MESSAGE_MAX} bytes. */
  readonly tx: Uint8Array;
  /** Descriptors that came with the last `receive`: the caller's to close. */
  readonly fds: number[];

  /** @throws Error naming path and reason when nothing can listen there */
  listen(path: string): number;
  /** Ends that, and removes the path. */
  unlisten(fd: number, path: string): void;
  /** A connection that waits, or {@link AGAIN}. */
  accept(fd: number): number;
  /** An eventfd of value 0. */
  eventfd(): number;
  /** Waits until an entry is ready, at most that long; 0 does not wait. How many are. */
  poll(entries: readonly PollEntry[], milliseconds: number): number;
  /** Number of bytes in `rx`, {@link CLOSED}, {@link AGAIN} or {@link BROKEN}. */
  receive(fd: number): number;
  /** Number of bytes taken of `tx[0 .. length)`, {@link AGAIN} or {@link BROKEN}. */
  send(fd: number, length: number): number;
  /** Adds one to an eventfd. */
  signal(fd: number): void;
  /** Takes an eventfd's count away. */
  drain(fd: number): void;
  close(fd: number): void;

  /** Whether no more threads want to run than there are cores: one may spin without harm. */
  spareCore(): boolean;

  identify(fd: number): FileIdentity | undefined;
  isEventfd(fd: number): boolean;
  /**
   * Maps a part of a file; undefined when that is not possible. The bytes stay valid until `unmap`,
   * and can be touched, though they mean nothing then, until `end`.
   *
   * @param offset a multiple of 4096
   */
  map(fd: number, offset: number, length: number, writable: boolean): Uint8Array | undefined;
  unmap(bytes: Uint8Array): void;
  /** Gives everything back. Nothing that came from `map`, `rx` and `tx` may be touched afterwards. */
  end(): void;
}

/** Most bytes of a message with its header. Larger ones end the connection. */
export const MESSAGE_MAX = 0x1_0040;
export const RX_SIZE = 0x2_0000;
