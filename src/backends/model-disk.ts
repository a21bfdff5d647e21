import { createHash } from 'node:crypto';
import { ByteSink, ByteView } from '../bytes/index.ts';
import type { BlockStore } from '../endpoints/index.ts';
import { diskSector, type DiskImage } from '../qemu/index.ts';
import { VIRTIO_BLK_SECTOR as SECTOR_SIZE } from '../spec/virtio-blk.ts';

/** A sector that was written, in a snapshot: its number, then its bytes. */
const SAVED_SIZE = 8 + SECTOR_SIZE;

/** Where checks write on a disk of so many bytes: away from what is read, on a page of the guest. */
export function middleOf(size: number): number {
  return Math.floor(size / 2 / 4096) * 4096;
}

/**
 * The disk image that other backends write to a file, made sector by sector as it is read. What the
 * guest wrote is kept beside it.
 */
export class PatternStore implements BlockStore {
  readonly size: number;
  readonly readOnly = false;
  readonly #image: DiskImage;
  readonly #written = new Map<number, Uint8Array>();

  constructor(image: DiskImage) {
    this.#image = image;
    this.size = Math.floor(Number(image.size) / SECTOR_SIZE) * SECTOR_SIZE;
  }

  read(offset: number, into: Uint8Array): boolean {
    for (let at = 0; at < into.length; at += SECTOR_SIZE) {
      const bytes = this.#sector((offset + at) / SECTOR_SIZE);
      into.set(bytes.subarray(0, Math.min(SECTOR_SIZE, into.length - at)), at);
    }
    return true;
  }

  /** A piece may begin or end inside a sector: a guest cuts its buffers where it likes. */
  write(offset: number, from: Uint8Array): boolean {
    for (let at = 0; at < from.length;) {
      const index = Math.floor((offset + at) / SECTOR_SIZE);
      const inside = (offset + at) % SECTOR_SIZE;
      const count = Math.min(SECTOR_SIZE - inside, from.length - at);
      const sector = this.#sector(index).slice();
      sector.set(from.subarray(at, at + count), inside);
      this.#written.set(index, sector);
      at += count;
    }
    return true;
  }

  flush(): boolean {
    return true;
  }

  /** SHA-256 (hex) of what the disk has there now. */
  sha256(offset: number, length: number): string {
    const bytes = new Uint8Array(length);
    this.read(offset, bytes);
    return createHash('sha256').update(bytes).digest('hex');
  }

  snapshot(): Uint8Array {
    const sink = new ByteSink('le', this.#written.size * SAVED_SIZE);
    for (const [index, bytes] of [...this.#written].toSorted(([a], [b]) => a - b)) {
      sink.u64(BigInt(index)).raw(bytes);
    }
    return sink.bytes();
  }

  restore(contents: Uint8Array): void {
    this.#written.clear();
    const view = new ByteView(contents, 'le', 'disk');
    for (let at = 0; at + SAVED_SIZE <= contents.length; at += SAVED_SIZE) {
      this.#written.set(Number(view.u64(at)), view.slice(at + 8, SECTOR_SIZE).slice());
    }
  }

  #sector(index: number): Uint8Array {
    const written = this.#written.get(index);
    return written ?? Buffer.from(diskSector(this.#image, BigInt(index)), 'latin1');
  }
}
