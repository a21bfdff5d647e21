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
import { MapTable } from './map-table.ts';
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
  readonly owner: ClientMaps;
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
 * Every function of a VMM is told of the same memory over its own connection, of each change at its own
 * time, and loses all of it before it is pulled. The machine has what any connection has mapped; where
 * two disagree for a moment, the older connection is right.
 */
export class GuestRam {
  readonly #sys: Sys;
  readonly #memory: GuestMemory;
  readonly #ram: readonly Range[];
  readonly #chunks = new Map<string, Uint8Array>();
  /** By age. */
  readonly #clients: ClientMaps[] = [];
  /** What the machine's memory is made of now. */
  readonly #shown = new MapTable<DmaMap>();

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

  /** For a connection: it has this map more. */
  added(map: DmaMap): void {
    const others = this.#shown.overlapping(map.range);
    const age = this.#clients.indexOf(map.owner);
    if (others.some(({ owner }) => this.#clients.indexOf(owner) < age)) return;
    for (const other of others) this.#hide(other);
    this.#show(map);
  }

  /** For a connection: it has this map no more. Others may have it still. */
  removed(map: DmaMap): void {
    if (!this.#shown.has(map)) return;
    this.#hide(map);
    for (const client of this.#clients) {
      for (const other of client.overlapping(map.range)) {
        if (this.#shown.overlapping(other.range).length === 0) this.#show(other);
      }
    }
  }

  /** For a connection: it is gone, with all its maps. When it was the last, so is the guest. */
  closed(client: ClientMaps): void {
    const index = this.#clients.indexOf(client);
    if (index < 0) return;
    this.#clients.splice(index, 1);
    if (this.#clients.length > 0) return;
    for (const chunk of this.#chunks.values()) this.#sys.unmap(chunk);
    this.#chunks.clear();
  }

  #show(map: DmaMap): void {
    this.#shown.put(map);
    for (const window of map.windows) this.#memory.addWindow(window);
  }

  #hide(map: DmaMap): void {
    this.#shown.delete(map);
    for (const { gpa } of map.windows) this.#memory.removeWindow(gpa);
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
  readonly #maps = new MapTable<DmaMap>();

  constructor(ram: GuestRam) {
    this.#ram = ram;
  }

  get size(): number {
    return this.#maps.size;
  }

  overlapping(range: Range): DmaMap[] {
    return this.#maps.overlapping(range);
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
    if (this.#maps.overlapping(range).length > 0) return { errno: EEXIST };
    if (this.#maps.size >= MAPS_MAX) return { errno: ENOSPC };
    if (fd === undefined) {
      // Flash and ROMs come without one; nobody does DMA there.
      if ((flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0 && this.#ram.isRam(range)) {
        return { errno: EINVAL, ramWithoutFd: showRange(range) };
      }
      this.#put({ owner: this, range, windows: [] });
      return { errno: 0 };
    }
    const windows = this.#ram.windowsOf(fd, request);
    if (typeof windows === 'number') return { errno: windows };
    this.#put({ owner: this, range, windows });
    return { errno: 0 };
  }

  /** Removes the maps in a range, none of which may reach out of it. @returns an errno */
  unmap(address: bigint, size: bigint): number {
    if (size === 0n || address + size > 2n ** 64n) return EINVAL;
    const range = { start: address, end: address + size - 1n };
    const hit = this.#maps.overlapping(range);
    if (hit.length === 0) return ENOENT;
    if (hit.some((map) => map.range.start < range.start || map.range.end > range.end)) {
      return EINVAL;
    }
    for (const map of hit) this.#remove(map);
    return 0;
  }

  unmapAll(): void {
    for (const map of this.#maps.values()) this.#remove(map);
  }

  /** The connection is gone. */
  close(): void {
    this.unmapAll();
    this.#ram.closed(this);
  }

  #put(map: DmaMap): void {
    this.#maps.put(map);
    this.#ram.added(map);
  }

  #remove(map: DmaMap): void {
    this.#maps.delete(map);
    this.#ram.removed(map);
  }
}
