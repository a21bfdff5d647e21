import { hiOf, loOf } from '../memory/index.ts';
import type { BufferSegment } from '../virtio/index.ts';
import type { Ram } from './ram.ts';

/** A piece of RAM that a device is to access. */
export interface Piece {
  readonly gpa: bigint;
  readonly length: number;
}

/** What a device may do with it. */
export type Direction = 'to-device' | 'from-device' | 'both';

/** Memory that CPU and device share for as long as a driver is bound. */
export interface Coherent {
  readonly gpa: bigint;
  /** For the device. */
  readonly address: bigint;
  readonly bytes: number;
}

/** Linux' DMA API, as far as drivers here use it. */
export interface Dma {
  /** Whether an IOMMU stands in between. */
  readonly translated: boolean;
  /** Makes pieces reachable; undefined when no IOVA is left. Neighbours become one segment. */
  map(pieces: readonly Piece[], direction: Direction): BufferSegment[] | undefined;
  unmap(segments: readonly BufferSegment[]): void;
  allocate(bytes: number): Coherent | undefined;
  free(memory: Coherent): void;
  /**
   * The address to which a device must write a message that is for `doorbell`; undefined when the
   * IOMMU cannot map it.
   */
  doorbell(doorbell: bigint): bigint | undefined;
}

export function segment(address: bigint, length: number): BufferSegment {
  return { hi: hiOf(address), lo: loOf(address), length };
}

/** No IOMMU: devices are given guest-physical addresses. */
export class DirectMapper implements Dma {
  readonly translated = false;
  readonly #ram: Ram;

  constructor(ram: Ram) {
    this.#ram = ram;
  }

  map(pieces: readonly Piece[]): BufferSegment[] {
    return pieces.map(({ gpa, length }) => segment(gpa, length));
  }

  unmap(): void {}

  allocate(bytes: number): Coherent {
    const gpa = this.#ram.pages(bytes);
    return { gpa, address: gpa, bytes };
  }

  free({ gpa, bytes }: Coherent): void {
    this.#ram.release(gpa, bytes);
  }

  doorbell(doorbell: bigint): bigint {
    return doorbell;
  }
}
