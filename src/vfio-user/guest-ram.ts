import { overlaps, showRange, type Range } from '../bytes/index.ts';
import type { GuestMemory, GuestWindow } from '../memory/index.ts';
import {
  EACCES,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOMEM,
  ENOSPC,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
} from '../spec/vfio-user.ts';
import type { Sys } from './sys.ts';

/** Node 20 ends the process over a view of more than 4 GiB; a view this large costs it 4 ms. */
const CHUNK = 2n ** 30n;
const PAGE = 4096n;
/** Maps of one connection. A q35 has about 30 while its firmware runs. */
export const MAPS_MAX = 4096;
/** Chunks of files that are mapped at once: 1 TiB when all are full. */
const CHUNKS_MAX = 1024;

/** A DMA_MAP request. */
export interface MapRequest {
  readonly flags: number;
  /** Bytes from the start of the file. */
  readonly offset: bigint;
  readonly address: bigint;
  readonly size: bigint;
}

interface DmaMap {
  readonly range: Range;
  readonly windows: readonly GuestWindow[];
}

/** Why RAM cannot be used; `problem` when the user should be told. */
export interface MapOutcome {
  readonly errno: number;
  readonly ramWithoutFd?: string;
}

/**
 * The guest's memory, from the files that a VMM passes. Each file is mapped once and whole, in chunks
 * of 1 GiB; DMA_MAP and DMA_UNMAP only edit a table, as firmware makes a VMM do dozens of times.
 *
 * Every function of a VMM is told of the same memory over its own connection. The maps of one of them,
 * the leader, are the windows of the machine; when it goes, the next takes over.
 */
export class GuestRam {
  readonly #sys: Sys;
  readonly #memory: GuestMemory;
  readonly #ram: readonly Range[];
  readonly #chunks = new Map<string, Uint8Array>();
  readonly #clients: ClientMaps[] = [];

  /** @param ram where the topology has RAM: what must not come without a descriptor */
  constructor(sys: Sys, memory: GuestMemory, ram: readonly Range[]) {
    this.#sys = sys;
    this.#memory = memory;
    this.#ram = ram;
  }

  /** The maps of a new connection. */
  open(): ClientMaps {
    const client = new ClientMaps(this);
    this.#clients.push(client);
    return client;
  }

  /** Chunks of files that are mapped now. */
  get chunks(): number {
    return this.#chunks.size;
  }

  isRam(range: Range): boolean {
    return this.#ram.some((ram) => overlaps(ram, range));
  }

  /** For a connection: the windows that a part of a file gives, or an errno. */
  windowsOf(fd: number, { flags, offset, address, size }: MapRequest): GuestWindow[] | number {
    const file = this.#sys.identify(fd);
    if (file === undefined || !file.regular) return EINVAL;
    // A page beyond the end of a file kills whoever touches it.
    if (offset + size > BigInt(file.size)) return EINVAL;
    const writable = (flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0;
    const windows: GuestWindow[] = [];
    for (let done = 0n; done < size;) {
      const at = offset + done;
      const index = at / CHUNK;
      const chunk = this.#chunk(fd, `${file.key}/${index}/${writable}`, {
        start: index * CHUNK,
        length: BigInt(file.size) - index * CHUNK,
        writable,
      });
      if (typeof chunk === 'number') return chunk;
      const from = at - index * CHUNK;
      const rest = CHUNK - from;
      const length = size - done < rest ? size - done : rest;
      const bytes = chunk.subarray(Number(from), Number(from + length));
      if (BigInt(bytes.length) !== length) return EINVAL;
      windows.push({ gpa: address + done, bytes, writable });
      done += length;
    }
    return windows;
  }

  /** For a connection: it has these windows more. */
  added(client: ClientMaps, windows: readonly GuestWindow[]): void {
    if (client === this.#clients[0]) for (const window of windows) this.#memory.addWindow(window);
  }

  removed(client: ClientMaps, windows: readonly GuestWindow[]): void {
    if (client !== this.#clients[0]) return;
    for (const { gpa } of windows) this.#memory.removeWindow(gpa);
  }

  /** For a connection: it is gone. When it was the last, so is the guest. */
  closed(client: ClientMaps): void {
    const index = this.#clients.indexOf(client);
    if (index < 0) return;
    this.#clients.splice(index, 1);
    if (index > 0) return;
    this.#memory.setWindows(this.#clients[0]?.windows() ?? []);
    if (this.#clients.length > 0) return;
    for (const chunk of this.#chunks.values()) this.#sys.unmap(chunk);
    this.#chunks.clear();
  }

  #chunk(
    fd: number,
    key: string,
    part: { readonly start: bigint; readonly length: bigint; readonly writable: boolean },
  ): Uint8Array | number {
    const known = this.#chunks.get(key);
    if (known !== undefined) return known;
    if (this.#chunks.size >= CHUNKS_MAX) return ENOSPC;
    const length = Number(part.length < CHUNK ? part.length : CHUNK);
    const bytes = this.#sys.map(fd, Number(part.start), length, part.writable);
    if (bytes === undefined) return part.writable ? EACCES : ENOMEM;
    this.#chunks.set(key, bytes);
    return bytes;
  }
}

/** What one connection mapped. */
export class ClientMaps {
  readonly #ram: GuestRam;
  readonly #maps = new Map<bigint, DmaMap>();
  /** Starts of the maps, ascending. */
  readonly #starts: bigint[] = [];

  constructor(ram: GuestRam) {
    this.#ram = ram;
  }

  get size(): number {
    return this.#maps.size;
  }

  windows(): GuestWindow[] {
    return [...this.#maps.values()].flatMap(({ windows }) => windows);
  }

  /** @param fd the file, or undefined for memory that the VMM keeps to itself */
  map(request: MapRequest, fd: number | undefined): MapOutcome {
    const { flags, offset, address, size } = request;
    const end = address + size - 1n;
    const pages = [offset, address, size].every((value) => value % PAGE === 0n);
    const known = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    if (!pages || size === 0n || end >= 2n ** 64n || (flags & ~known) !== 0) {
      return { errno: EINVAL };
    }
    const range = { start: address, end };
    if (this.#overlapping(range).length > 0) return { errno: EEXIST };
    if (this.#maps.size >= MAPS_MAX) return { errno: ENOSPC };
    if (fd === undefined) {
      // Flash and ROMs come without one; nobody does DMA there.
      if ((flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0 && this.#ram.isRam(range)) {
        return { errno: EINVAL, ramWithoutFd: showRange(range) };
      }
      this.#put({ range, windows: [] });
      return { errno: 0 };
    }
    const windows = this.#ram.windowsOf(fd, request);
    if (typeof windows === 'number') return { errno: windows };
    this.#put({ range, windows });
    return { errno: 0 };
  }

  /** Removes the maps in a range, none of which may reach out of it. @returns an errno */
  unmap(address: bigint, size: bigint): number {
    if (size === 0n || address + size > 2n ** 64n) return EINVAL;
    const range = { start: address, end: address + size - 1n };
    const hit = this.#overlapping(range);
    if (hit.length === 0) return ENOENT;
    if (hit.some((map) => map.range.start < range.start || map.range.end > range.end)) {
      return EINVAL;
    }
    for (const { range: one, windows } of hit) {
      this.#maps.delete(one.start);
      this.#starts.splice(this.#indexOf(one.start), 1);
      this.#ram.removed(this, windows);
    }
    return 0;
  }

  unmapAll(): void {
    for (const { windows } of this.#maps.values()) this.#ram.removed(this, windows);
    this.#maps.clear();
    this.#starts.length = 0;
  }

  /** The connection is gone. */
  close(): void {
    this.#ram.closed(this);
    this.#maps.clear();
    this.#starts.length = 0;
  }

  #put(map: DmaMap): void {
    this.#maps.set(map.range.start, map);
    this.#starts.splice(this.#indexOf(map.range.start), 0, map.range.start);
    this.#ram.added(this, map.windows);
  }

  /** Index of the first map that starts at that address or later. */
  #indexOf(start: bigint): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((this.#starts[mid] ?? 0n) < start) low = mid + 1;
      else high = mid;
    }
    return low;
  }

  #overlapping(range: Range): DmaMap[] {
    const found: DmaMap[] = [];
    for (let i = Math.max(0, this.#indexOf(range.start) - 1); i < this.#starts.length; i++) {
      const map = this.#maps.get(this.#starts[i] ?? 0n);
      if (map === undefined || map.range.start > range.end) break;
      if (overlaps(map.range, range)) found.push(map);
    }
    return found;
  }
}
