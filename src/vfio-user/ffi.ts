import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readlinkSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { arch, availableParallelism, endianness } from 'node:os';
import {
  AGAIN,
  BROKEN,
  MESSAGE_MAX,
  RX_SIZE,
  type FileIdentity,
  type PollEntry,
  type Sys,
} from './sys.ts';
import type { TapSys } from './tap-sys.ts';
import { ServerUnavailable } from './unavailable.ts';

// Constants of Linux that are the same on x86-64 and arm64.
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const EFD_FLAGS = SOCK_NONBLOCK | SOCK_CLOEXEC;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const POLLIN = 1;
const POLLOUT = 4;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
const EINTR = 4;
const EAGAIN = 11;
const TUNSETIFF = 0x4004_54ca;
const IFREQ_SIZE = 40;
const IFREQ_FLAGS = 16;
const IFF_TAP = 2;
const IFF_NO_PI = 0x1000;

const BACKLOG = 1;
const POLL_MAX = 512;
const FDS_MAX = 253;
const SUN_PATH = 108;

// The arena: structures for system calls at fixed places of one mapping.
const PAGE = 4096;
const AT_POLL = 0;
const AT_MSGHDR = PAGE;
const AT_IOVEC = AT_MSGHDR + 64;
const AT_WORD = AT_IOVEC + 64;
const AT_SOCKADDR = AT_WORD + 64;
const AT_CMSG = 2 * PAGE;
const CMSG_ROOM = 16 + 4 * FDS_MAX + 4;
const AT_RX = 4 * PAGE;
const AT_TX = AT_RX + RX_SIZE;
const ARENA = AT_TX + Math.ceil(MESSAGE_MAX / PAGE) * PAGE;

interface Koffi {
  load(path: string | null): { func(prototype: string): (...args: unknown[]) => unknown };
  view(pointer: bigint, length: number): ArrayBuffer;
  errno(): number;
}

type Call = (...args: number[]) => number;

interface Libc {
  readonly koffi: Koffi;
  readonly socket: Call;
  readonly bind: Call;
  readonly listen: Call;
  readonly accept4: Call;
  readonly eventfd: Call;
  readonly poll: Call;
  readonly recvmsg: Call;
  readonly send: Call;
  readonly read: Call;
  readonly write: Call;
  readonly close: Call;
  readonly fcntl: Call;
  /** -1, on failure, comes as a bigint: as a number it would not be exact. */
  readonly mmap: (...args: number[]) => number | bigint;
  readonly munmap: Call;
}

/** Makes the error that says what this machine lacks. */
type Unavailable = (message: string, cure: string, cause?: unknown) => Error;

function loadKoffi(what: string, through: string, unavailable: Unavailable): Koffi {
  if (process.platform !== 'linux' || endianness() !== 'LE' || !['x64', 'arm64'].includes(arch())) {
    throw unavailable(
      `${what} is not possible on ${process.platform} (${arch()})`,
      'use Linux on x86-64 or arm64, or another backend',
    );
  }
  try {
    return createRequire(import.meta.url)('koffi') as Koffi;
  } catch (error) {
    throw unavailable(
      `the package koffi, through which ${through}, cannot be loaded`,
      'npm install koffi (it is an optional dependency: do not install with --omit=optional)',
      error,
    );
  }
}

/** @throws ServerUnavailable when this machine cannot do it */
function libc(): Libc {
  const koffi = loadKoffi(
    'serving devices over vfio-user',
    'memory is shared with QEMU',
    (message, cure, cause) => new ServerUnavailable(message, cure, { cause }),
  );
  const lib = koffi.load(null);
  const call = (prototype: string): Call => lib.func(prototype) as Call;
  return {
    koffi,
    socket: call('int socket(int, int, int)'),
    bind: call('int bind(int, uintptr_t, uint32_t)'),
    listen: call('int listen(int, int)'),
    accept4: call('int accept4(int, uintptr_t, uintptr_t, int)'),
    eventfd: call('int eventfd(uint32_t, int)'),
    poll: call('int poll(uintptr_t, uint64_t, int)'),
    recvmsg: call('int64_t recvmsg(int, uintptr_t, int)'),
    send: call('int64_t send(int, uintptr_t, size_t, int)'),
    read: call('int64_t read(int, uintptr_t, size_t)'),
    write: call('int64_t write(int, uintptr_t, size_t)'),
    close: call('int close(int)'),
    fcntl: call('int fcntl(int, int, int)'),
    mmap: lib.func('uintptr_t mmap(uintptr_t, size_t, int, int, int, int64_t)') as Libc['mmap'],
    munmap: call('int munmap(uintptr_t, size_t)'),
  };
}

const CORES = availableParallelism();

function loadFile(): number | undefined {
  try {
    return openSync('/proc/loadavg', 'r');
  } catch {
    return undefined;
  }
}

/** A mapping, which is never given back while views of it may be about. */
interface Mapping {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** Linux, through libc. All FFI of the product is in this file. */
export class LinuxSys implements Sys {
  readonly rx: Uint8Array;
  readonly tx: Uint8Array;
  readonly fds: number[] = [];
  readonly #libc: Libc;
  readonly #arena: number;
  readonly #data: DataView;
  readonly #maps = new Map<Uint8Array, Mapping>();
  readonly #idle: Mapping[] = [];
  /** Descriptor of the system's load, where it tells. */
  readonly #load: number | undefined;
  readonly #text = Buffer.alloc(64);

  /** @throws ServerUnavailable without koffi, or on another system than Linux */
  constructor() {
    this.#libc = libc();
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const arena = this.#libc.mmap(0, ARENA, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (typeof arena !== 'number') throw this.#error('mmap');
    this.#arena = arena;
    const buffer = this.#libc.koffi.view(BigInt(this.#arena), ARENA);
    this.#data = new DataView(buffer);
    this.rx = new Uint8Array(buffer, AT_RX, RX_SIZE);
    this.tx = new Uint8Array(buffer, AT_TX, MESSAGE_MAX);
    this.#load = loadFile();
    this.#u64(AT_MSGHDR + 16, this.#arena + AT_IOVEC);
    this.#u64(AT_MSGHDR + 24, 1);
    this.#u64(AT_MSGHDR + 32, this.#arena + AT_CMSG);
    this.#u64(AT_IOVEC, this.#arena + AT_RX);
    this.#u64(AT_IOVEC + 8, RX_SIZE);
  }

  listen(path: string): number {
    const name = Buffer.from(path);
    if (name.length >= SUN_PATH) throw new Error(`${path} is longer than a socket's path can be`);
    const { socket, bind, listen } = this.#libc;
    const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) throw this.#error('socket');
    this.#data.setUint16(AT_SOCKADDR, AF_UNIX, true);
    const place = new Uint8Array(this.#data.buffer, AT_SOCKADDR + 2, SUN_PATH);
    place.fill(0);
    place.set(name);
    const bound = bind(fd, this.#arena + AT_SOCKADDR, 2 + SUN_PATH);
    if (bound < 0 || listen(fd, BACKLOG) < 0) {
      const error = this.#error(path);
      this.close(fd);
      throw error;
    }
    return fd;
  }

  unlisten(fd: number, path: string): void {
    this.close(fd);
    rmSync(path, { force: true });
  }

  accept(fd: number): number {
    const got = this.#libc.accept4(fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return got < 0 ? AGAIN : got;
  }

  eventfd(): number {
    const fd = this.#libc.eventfd(0, EFD_FLAGS);
    if (fd < 0) throw this.#error('eventfd');
    return fd;
  }

  poll(entries: readonly PollEntry[], milliseconds: number): number {
    const data = this.#data;
    const count = Math.min(entries.length, POLL_MAX);
    for (let i = 0; i < count; i++) {
      const { fd, wantsToSend } = entries[i] as PollEntry;
      data.setInt32(AT_POLL + 8 * i, fd, true);
      // The results are in the upper half.
      data.setUint32(AT_POLL + 8 * i + 4, wantsToSend ? POLLOUT : POLLIN, true);
    }
    const ready = this.#libc.poll(this.#arena + AT_POLL, count, milliseconds);
    for (let i = 0; i < count; i++) {
      const entry = entries[i] as PollEntry;
      entry.ready = ready > 0 && data.getUint16(AT_POLL + 8 * i + 6, true) !== 0;
    }
    return Math.max(0, ready);
  }

  receive(fd: number): number {
    this.fds.length = 0;
    this.#u64(AT_MSGHDR + 40, CMSG_ROOM);
    const flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
    const got = this.#libc.recvmsg(fd, this.#arena + AT_MSGHDR, flags);
    if (got < 0) return this.#outcome();
    if (this.#data.getUint32(AT_MSGHDR + 40, true) > 0) this.#takeFds();
    return got;
  }

  send(fd: number, length: number): number {
    const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    const sent = this.#libc.send(fd, this.#arena + AT_TX, length, flags);
    return sent < 0 ? this.#outcome() : sent;
  }

  signal(fd: number): void {
    this.#u64(AT_WORD, 1);
    this.#libc.write(fd, this.#arena + AT_WORD, 8);
  }

  drain(fd: number): void {
    this.#libc.read(fd, this.#arena + AT_WORD, 8);
  }

  close(fd: number): void {
    this.#libc.close(fd);
  }

  spareCore(): boolean {
    if (this.#load === undefined) return false;
    const read = readSync(this.#load, this.#text, 0, this.#text.length, 0);
    // Three averages, then threads that run and all threads: `0.10 0.20 0.30 2/345 6789`.
    const [, running] = / (\d+)\//u.exec(this.#text.toString('latin1', 0, read)) ?? [];
    return running !== undefined && Number(running) <= CORES;
  }

  identify(fd: number): FileIdentity | undefined {
    try {
      const { dev, ino, size, ...stat } = fstatSync(fd, { bigint: true });
      const regular = (stat.mode & 0o170000n) === 0o100000n;
      return { key: `${dev}:${ino}`, size: Number(size), regular };
    } catch {
      return undefined;
    }
  }

  isEventfd(fd: number): boolean {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) !== 'anon_inode:[eventfd]') return false;
    } catch {
      return false;
    }
    // One that is full must not stop the server.
    const { fcntl } = this.#libc;
    return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK) >= 0;
  }

  map(fd: number, offset: number, length: number, writable: boolean): Uint8Array | undefined {
    const index = this.#idle.findIndex(({ bytes }) => bytes.length === length);
    const [reused] = index < 0 ? [] : this.#idle.splice(index, 1);
    const protection = PROT_READ | (writable ? PROT_WRITE : 0);
    const flags = MAP_SHARED | MAP_NORESERVE | (reused === undefined ? 0 : MAP_FIXED);
    const at = reused?.address ?? 0;
    const address = this.#libc.mmap(at, length, protection, flags, fd, offset);
    if (typeof address !== 'number') {
      if (reused !== undefined) this.#idle.push(reused);
      return undefined;
    }
    const bytes = reused?.bytes ?? new Uint8Array(this.#libc.koffi.view(BigInt(address), length));
    this.#maps.set(bytes, { address, bytes });
    return bytes;
  }

  unmap(bytes: Uint8Array): void {
    const mapping = this.#maps.get(bytes);
    if (mapping === undefined) return;
    this.#maps.delete(bytes);
    // A view of memory that is gone kills the process. Zeros take its place; the range is used again.
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    this.#libc.mmap(mapping.address, bytes.length, PROT_READ | PROT_WRITE, flags, -1, 0);
    this.#idle.push(mapping);
  }

  end(): void {
    for (const { address, bytes } of [...this.#maps.values(), ...this.#idle]) {
      this.#libc.munmap(address, bytes.length);
    }
    this.#maps.clear();
    this.#idle.length = 0;
    if (this.#load !== undefined) this.close(this.#load);
    this.#libc.munmap(this.#arena, ARENA);
  }

  #takeFds(): void {
    const data = this.#data;
    const limit = AT_CMSG + Math.min(data.getUint32(AT_MSGHDR + 40, true), CMSG_ROOM);
    let at = AT_CMSG;
    while (at + 16 <= limit) {
      const length = data.getUint32(at, true);
      if (length < 16) break;
      const rights =
        data.getInt32(at + 8, true) === SOL_SOCKET && data.getInt32(at + 12, true) === SCM_RIGHTS;
      const end = rights ? Math.min(at + length, limit) : at;
      for (let fd = at + 16; fd + 4 <= end; fd += 4) this.fds.push(data.getInt32(fd, true));
      at += Math.ceil(length / 8) * 8;
    }
  }

  #outcome(): number {
    const errno = this.#libc.koffi.errno();
    return errno === EAGAIN || errno === EINTR ? AGAIN : BROKEN;
  }

  #error(what: string): Error {
    return new Error(`${what}: error ${this.#libc.koffi.errno()}`);
  }

  #u64(at: number, value: number): void {
    this.#data.setUint32(at, value >>> 0, true);
    this.#data.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  }
}

type Ioctl = (fd: number, request: number, argument: Uint8Array) => number;

/** TAP interfaces of Linux: Node itself can do all but give one its name. */
export class LinuxTapSys implements TapSys {
  readonly #koffi: Koffi;
  readonly #ioctl: Ioctl;

  /** @throws what `unavailable` makes, without koffi or on another system than Linux */
  constructor(unavailable: Unavailable) {
    this.#koffi = loadKoffi('a TAP interface', 'Linux is asked for it', unavailable);
    const prototype = 'int ioctl(int, unsigned long, uint8_t *)';
    this.#ioctl = this.#koffi.load(null).func(prototype) as Ioctl;
  }

  open(): number {
    const { O_RDWR, O_NONBLOCK: nonblock } = constants;
    return attempt(() => openSync('/dev/net/tun', O_RDWR | nonblock));
  }

  attach(fd: number, name: string): number {
    const request = Buffer.alloc(IFREQ_SIZE);
    request.write(name, 0, IFREQ_FLAGS - 1, 'latin1');
    request.writeUInt16LE(IFF_TAP | IFF_NO_PI, IFREQ_FLAGS);
    return this.#ioctl(fd, TUNSETIFF, request) < 0 ? -this.#koffi.errno() : 0;
  }

  read(fd: number, into: Uint8Array): number {
    return attempt(() => readSync(fd, into));
  }

  write(fd: number, frame: Uint8Array): number {
    return attempt(() => writeSync(fd, frame));
  }

  close(fd: number): void {
    closeSync(fd);
  }
}

/** What Node throws has the errno's negative in it. */
function attempt(call: () => number): number {
  try {
    return call();
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    if (typeof errno !== 'number' || errno >= 0) throw error;
    return errno;
  }
}
