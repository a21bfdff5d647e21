/**
 * What a disk is made of. Offsets and lengths are bytes, multiples of 512, inside `size`. Nothing
 * here may throw: false is an I/O error that the guest is told of.
 */
export interface BlockStore {
  /** Bytes: a multiple of 512, below 2^53. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Fills all of `into`. */
  read(offset: number, into: Uint8Array): boolean;
  write(offset: number, from: Uint8Array): boolean;
  /** What was written is kept from now on. */
  flush(): boolean;
  /** Writes zeros; where absent, neither WRITE_ZEROES nor DISCARD is offered. */
  zero?(offset: number, length: number): boolean;
  /** Contents, for snapshots; where absent, they are kept by whoever owns the store. */
  snapshot?(): Uint8Array;
  restore?(contents: Uint8Array): void;
}

/** A disk in memory. */
export class MemoryStore implements BlockStore {
  readonly bytes: Uint8Array;
  readonly readOnly: boolean;

  /** @throws RangeError when it is empty or no multiple of 512 bytes: our own mistake */
  constructor(bytes: Uint8Array, readOnly = false) {
    if (bytes.length === 0 || bytes.length % 512 !== 0) {
      throw new RangeError(`a disk of ${bytes.length} bytes`);
    }
    this.bytes = bytes;
    this.readOnly = readOnly;
  }

  get size(): number {
    return this.bytes.length;
  }

  read(offset: number, into: Uint8Array): boolean {
    into.set(this.bytes.subarray(offset, offset + into.length));
    return true;
  }

  write(offset: number, from: Uint8Array): boolean {
    this.bytes.set(from, offset);
    return true;
  }

  flush(): boolean {
    return true;
  }

  zero(offset: number, length: number): boolean {
    this.bytes.fill(0, offset, offset + length);
    return true;
  }

  snapshot(): Uint8Array {
    return this.bytes.slice();
  }

  restore(contents: Uint8Array): void {
    this.bytes.set(contents.subarray(0, this.bytes.length));
  }
}
