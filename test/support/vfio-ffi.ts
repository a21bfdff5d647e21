import { ftruncateSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';

/** What the other side of a vfio-user socket needs: a VMM's system calls. */

interface Koffi {
  load(path: string | null): { func(prototype: string): (...args: unknown[]) => unknown };
  view(pointer: bigint, length: number): ArrayBuffer;
  address(value: unknown): bigint;
  errno(): number;
}

type Call = (...args: (number | bigint | string | Uint8Array)[]) => number;

const koffi = createRequire(import.meta.url)('koffi') as Koffi;
const lib = koffi.load(null);
const call = (prototype: string): Call => lib.func(prototype) as Call;

const libc = {
  socket: call('int socket(int, int, int)'),
  connect: call('int connect(int, void *, uint32_t)'),
  memfd: call('int memfd_create(const char *, uint32_t)'),
  eventfd: call('int eventfd(uint32_t, int)'),
  sendmsg: call('int64_t sendmsg(int, void *, int)'),
  recv: call('int64_t recv(int, void *, size_t, int)'),
  poll: call('int poll(void *, uint64_t, int)'),
  mmap: call('uintptr_t mmap(uintptr_t, size_t, int, int, int, int64_t)'),
  munmap: call('int munmap(uintptr_t, size_t)'),
  close: call('int close(int)'),
};

const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
const MSG_DONTWAIT = 0x40;
const EFD_NONBLOCK = 0o4000;

export function closeFd(fd: number): void {
  libc.close(fd);
}

/** A connected socket; -1 when nobody listens. */
export function connectTo(path: string): number {
  const fd = libc.socket(1, 1 | SOCK_CLOEXEC, 0);
  const address = Buffer.alloc(110);
  address.writeUInt16LE(1, 0);
  address.write(path, 2);
  if (libc.connect(fd, address, address.length) === 0) return fd;
  libc.close(fd);
  return -1;
}

/** An anonymous file of that many bytes. */
export function memfd(size: number): number {
  const fd = libc.memfd('guest', 1);
  ftruncateSync(fd, size);
  return fd;
}

/** The file's bytes, shared; `release` takes them back and must be last. */
export function mapShared(fd: number, size: number): { bytes: Uint8Array; release: () => void } {
  const at = libc.mmap(0, size, 3, 1, fd, 0);
  const bytes = new Uint8Array(koffi.view(BigInt(at), size));
  return { bytes, release: () => void libc.munmap(at, size) };
}

export function makeEventfd(): number {
  return libc.eventfd(0, EFD_NONBLOCK | SOCK_CLOEXEC);
}

/** Takes an eventfd's count. */
export function takeCount(fd: number): number {
  const word = Buffer.alloc(8);
  try {
    readSync(fd, word);
  } catch {
    return 0;
  }
  return Number(word.readBigUInt64LE());
}

// Their addresses stand in structures that the kernel reads: they must outlive every call.
const PAYLOAD = Buffer.alloc(0x4_0000);
const CONTROL = Buffer.alloc(1024);
const IOVEC = Buffer.alloc(16);
const HEADER = Buffer.alloc(56);
IOVEC.writeBigUInt64LE(koffi.address(PAYLOAD), 0);
HEADER.writeBigUInt64LE(koffi.address(IOVEC), 16);
HEADER.writeBigUInt64LE(1n, 24);
HEADER.writeBigUInt64LE(koffi.address(CONTROL), 32);

/** Sends all bytes, descriptors with the first. False when the other side is gone. */
export function sendAll(fd: number, bytes: Uint8Array, fds: readonly number[] = []): boolean {
  let done = 0;
  let pass = fds;
  while (done < bytes.length) {
    const rest = bytes.subarray(done, done + PAYLOAD.length);
    PAYLOAD.set(rest);
    IOVEC.writeBigUInt64LE(BigInt(rest.length), 8);
    CONTROL.writeBigUInt64LE(BigInt(16 + 4 * pass.length), 0);
    CONTROL.writeInt32LE(1, 8);
    CONTROL.writeInt32LE(1, 12);
    for (const [index, one] of pass.entries()) CONTROL.writeInt32LE(one, 16 + 4 * index);
    const room = pass.length === 0 ? 0 : 16 + Math.ceil((4 * pass.length) / 8) * 8;
    HEADER.writeBigUInt64LE(BigInt(room), 40);
    const sent = libc.sendmsg(fd, HEADER, MSG_NOSIGNAL);
    if (sent < 0) return false;
    done += sent;
    pass = [];
  }
  return true;
}

/** What comes within that time: bytes, none at the end of the stream; undefined when nothing does. */
export function receiveSome(fd: number, milliseconds: number): Uint8Array | undefined {
  const entry = Buffer.alloc(8);
  entry.writeInt32LE(fd, 0);
  entry.writeInt16LE(1, 4);
  if (libc.poll(entry, 1, milliseconds) <= 0) return undefined;
  const bytes = Buffer.alloc(0x2_0000);
  const got = libc.recv(fd, bytes, bytes.length, MSG_DONTWAIT);
  return new Uint8Array(bytes.subarray(0, Math.max(0, got)));
}
