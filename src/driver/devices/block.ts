import { ByteSink } from '../../bytes/index.ts';
import {
  VIRTIO_BLK_CONFIG,
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_REQ,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_SECTOR,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
} from '../../spec/virtio-blk.ts';
import { featureBits, type BufferSegment, type DriverQueue } from '../../virtio/index.ts';
import type { BoundDriver } from '../device.ts';
import type { Piece } from '../dma.ts';
import type { VirtioBinding } from '../virtio/binding.ts';

const FEATURES = featureBits(
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_RO,
);

/** Bytes of one request. */
const REQUEST_BYTES = 65536;
/** Where the status byte is in the page of a request's head. */
const STATUS_AT = 256n;

/** Why a request did not work. */
export type BlockError = 'timeout' | 'I/O error' | 'no IOVA';

/** A virtio-blk that a driver is bound to: requests one after the other, data in single pages. */
export class BlockDriver implements BoundDriver {
  readonly name = 'virtio_blk';
  /** Bytes. */
  readonly size: bigint;
  readonly #binding: VirtioBinding;
  readonly #queue: DriverQueue;
  readonly #head: bigint;
  readonly #done = new Map<number, number>();
  #stuck = false;

  static bind(binding: VirtioBinding): BlockDriver | undefined {
    if (!binding.negotiate(FEATURES)) return undefined;
    const held: { driver?: BlockDriver } = {};
    const [queue] = binding.open([{ used: () => held.driver?.used(), indirect: true }]) ?? [];
    if (queue === undefined) {
      binding.fail();
      return undefined;
    }
    held.driver = new BlockDriver(binding, queue);
    return held.driver;
  }

  private constructor(binding: VirtioBinding, queue: DriverQueue) {
    this.#binding = binding;
    this.#queue = queue;
    this.size = binding.config64(VIRTIO_BLK_CONFIG.offsets.capacity) * BigInt(VIRTIO_BLK_SECTOR);
    this.#head = binding.kernel.ram.pages(VIRTIO_BLK_REQ.size);
    queue.enableInterrupts(true);
    binding.ready();
  }

  /** Reads `length` bytes; offsets and lengths are multiples of 512. */
  read(offset: bigint, length: number): Uint8Array | BlockError {
    const out = new Uint8Array(length);
    for (let at = 0; at < length; at += REQUEST_BYTES) {
      const count = Math.min(REQUEST_BYTES, length - at);
      const got = this.#transfer(VIRTIO_BLK_T_IN, offset + BigInt(at), count, undefined);
      if (typeof got === 'string') return got;
      out.set(got, at);
    }
    return out;
  }

  write(offset: bigint, bytes: Uint8Array): BlockError | undefined {
    for (let at = 0; at < bytes.length; at += REQUEST_BYTES) {
      const part = bytes.subarray(at, at + REQUEST_BYTES);
      const got = this.#transfer(VIRTIO_BLK_T_OUT, offset + BigInt(at), part.length, part);
      if (typeof got === 'string') return got;
    }
    const flushed = this.#transfer(VIRTIO_BLK_T_FLUSH, 0n, 0, undefined);
    return typeof flushed === 'string' ? flushed : undefined;
  }

  remove(): void {
    this.#binding.close();
    this.#binding.kernel.ram.release(this.#head, VIRTIO_BLK_REQ.size);
  }

  /** One request: head, data in pages of their own, status. */
  #transfer(
    type: number,
    offset: bigint,
    length: number,
    from: Uint8Array | undefined,
  ): Uint8Array | BlockError {
    // A device that did not answer may still access what it was given: nothing more is sent.
    if (this.#stuck) return 'timeout';
    const { ram } = this.#binding.kernel;
    const pages = this.#pages(length);
    let at = 0;
    for (const { gpa, length: size } of pages) {
      if (from !== undefined) ram.write(gpa, from.subarray(at, at + size));
      at += size;
    }
    const status = this.#send(type, offset, pages, from === undefined);
    if (status === 'timeout') {
      this.#stuck = true;
      return status;
    }
    const out = new Uint8Array(length);
    at = 0;
    for (const { gpa, length: size } of pages) {
      out.set(ram.read(gpa, size), at);
      at += size;
      ram.release(gpa, size);
    }
    if (typeof status === 'string') return status;
    if (status === VIRTIO_BLK_S_OK) return out;
    this.#binding.kernel.log.print(
      `I/O error, dev vd, sector ${offset / BigInt(VIRTIO_BLK_SECTOR)}`,
    );
    return 'I/O error';
  }

  #send(
    type: number,
    offset: bigint,
    pages: readonly Piece[],
    reads: boolean,
  ): number | BlockError {
    const { kernel, dma } = this.#binding;
    const sink = new ByteSink('le', VIRTIO_BLK_REQ.size);
    VIRTIO_BLK_REQ.write(sink, { type, sector: offset / BigInt(VIRTIO_BLK_SECTOR) });
    kernel.ram.write(this.#head, sink.bytes());
    kernel.ram.write(this.#head + STATUS_AT, Uint8Array.of(0xff));
    const head = dma.map([{ gpa: this.#head, length: VIRTIO_BLK_REQ.size }], 'to-device');
    const tail = dma.map([{ gpa: this.#head + STATUS_AT, length: 1 }], 'from-device');
    const data = pages.length === 0 ? [] : dma.map(pages, reads ? 'from-device' : 'to-device');
    if (head === undefined || tail === undefined || data === undefined) return 'no IOVA';
    const readable: BufferSegment[] = reads ? head : [...head, ...data];
    const writable: BufferSegment[] = reads ? [...data, ...tail] : tail;
    const id = this.#queue.add(readable, writable, true);
    if (id === undefined) return 'I/O error';
    this.#binding.kick(0);
    if (!kernel.waitFor(() => this.#done.has(id))) return 'timeout';
    this.#done.delete(id);
    const [status = 0xff] = kernel.ram.read(this.#head + STATUS_AT, 1);
    for (const part of [head, tail, data]) dma.unmap(part);
    return status;
  }

  /** Pages for data, no two of them neighbours where that can be had: each needs a MAP of its own. */
  #pages(length: number): Piece[] {
    const { ram } = this.#binding.kernel;
    const pages: Piece[] = [];
    const size = Number(ram.pageSize);
    const gaps: bigint[] = [];
    for (let at = 0; at < length; at += size) {
      pages.push({ gpa: ram.pages(size), length: Math.min(size, length - at) });
      gaps.push(ram.pages(size));
    }
    for (const gap of gaps) ram.release(gap, size);
    return pages;
  }

  /** Interrupts say that buffers are back; which, the ring says. */
  used(): void {
    for (let used = this.#queue.poll(); used !== undefined; used = this.#queue.poll()) {
      this.#done.set(used.id, used.length);
    }
  }
}
