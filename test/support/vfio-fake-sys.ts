import {
  AGAIN,
  BROKEN,
  CLOSED,
  MESSAGE_MAX,
  RX_SIZE,
  type FileIdentity,
  type PollEntry,
  type Sys,
} from '../../src/vfio-user/sys.ts';

interface FakeFile extends FileIdentity {
  readonly bytes: Uint8Array;
}

interface Chunk {
  readonly bytes: Uint8Array;
  readonly fds: readonly number[];
}

/** An operating system in memory, which knows what is open and what is mapped. */
export class FakeSys implements Sys {
  readonly rx: Uint8Array = new Uint8Array(RX_SIZE);
  readonly tx: Uint8Array = new Uint8Array(MESSAGE_MAX);
  readonly fds: number[] = [];
  /** Descriptors that are open. */
  readonly open: Set<number> = new Set();
  readonly mapped: Set<Uint8Array> = new Set();
  /** Eventfds and their counts. */
  readonly counts: Map<number, number> = new Map();
  readonly sent: number[] = [];
  /** What comes, chunk by chunk as the kernel would give it. */
  readonly incoming: Chunk[] = [];
  /** Bytes that `send` takes before it says that there is no room. */
  room = Infinity;
  hungUp = false;
  readonly #files = new Map<number, FakeFile>();
  #next = 100;

  /** A descriptor of a file; the same key means the same file. */
  file(size: number, key = `file${this.#next}`, regular = true): number {
    const known = [...this.#files.values()].find((one) => one.key === key);
    const fd = this.#fd();
    this.#files.set(fd, known ?? { key, size, regular, bytes: new Uint8Array(size) });
    return fd;
  }

  bytesOf(fd: number): Uint8Array {
    return this.#files.get(fd)?.bytes ?? new Uint8Array(0);
  }

  listen(): number {
    return this.#fd();
  }
  unlisten(fd: number): void {
    this.close(fd);
  }
  accept(): number {
    return this.#fd();
  }
  eventfd(): number {
    const fd = this.#fd();
    this.counts.set(fd, 0);
    return fd;
  }
  /** What `spareCore` answers. */
  spare = false;
  spareCore(): boolean {
    return this.spare;
  }
  poll(entries: readonly PollEntry[]): number {
    for (const entry of entries) entry.ready = true;
    return entries.length;
  }
  receive(): number {
    const chunk = this.incoming.shift();
    if (chunk === undefined) return this.hungUp ? CLOSED : AGAIN;
    this.rx.set(chunk.bytes);
    this.fds.push(...chunk.fds);
    return chunk.bytes.length;
  }
  send(_fd: number, length: number): number {
    if (this.hungUp) return BROKEN;
    const taken = Math.min(length, this.room);
    if (taken === 0) return AGAIN;
    this.room -= taken;
    for (const byte of this.tx.subarray(0, taken)) this.sent.push(byte);
    return taken;
  }
  signal(fd: number): void {
    this.counts.set(fd, (this.counts.get(fd) ?? 0) + 1);
  }
  drain(fd: number): void {
    this.counts.set(fd, 0);
  }
  close(fd: number): void {
    if (!this.open.delete(fd)) throw new Error(`${fd} is closed twice`);
  }
  identify(fd: number): FileIdentity | undefined {
    return this.#files.get(fd);
  }
  isEventfd(fd: number): boolean {
    return this.counts.has(fd);
  }
  map(fd: number, offset: number, length: number): Uint8Array | undefined {
    const file = this.#files.get(fd);
    if (file === undefined || !this.open.has(fd)) return undefined;
    const bytes = file.bytes.subarray(offset, offset + length);
    this.mapped.add(bytes);
    return bytes;
  }
  unmap(bytes: Uint8Array): void {
    if (!this.mapped.delete(bytes)) throw new Error('unmapped twice');
  }
  end(): void {
    this.mapped.clear();
  }

  #fd(): number {
    const fd = this.#next++;
    this.open.add(fd);
    return fd;
  }
}
