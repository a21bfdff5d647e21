import { contains, type Range } from '../../bytes/index.ts';
import { addressOf } from '../../memory/index.ts';
import {
  VIRTIO_IOMMU_MAP_F_MMIO,
  VIRTIO_IOMMU_MAP_F_READ,
  VIRTIO_IOMMU_MAP_F_WRITE,
  VIRTIO_IOMMU_S_OK,
} from '../../spec/virtio-iommu.ts';
import type { BufferSegment } from '../../virtio/index.ts';
import { segment, type Coherent, type Direction, type Dma, type Piece } from '../dma.ts';
import type { Ram } from '../ram.ts';
import type { Domain } from './domain.ts';
import { IovaAllocator } from './iova.ts';

const FLAGS: Readonly<Record<Direction, number>> = {
  'to-device': VIRTIO_IOMMU_MAP_F_READ,
  'from-device': VIRTIO_IOMMU_MAP_F_WRITE,
  both: VIRTIO_IOMMU_MAP_F_READ | VIRTIO_IOMMU_MAP_F_WRITE,
};

/** IOVAs are handed out in pages of this size at least, however small the granule. */
const PAGE_MIN = 4096n;

/** The DMA API over a domain (drivers/iommu/dma-iommu.c). */
export class IommuMapper implements Dma {
  readonly translated = true;
  readonly #domain: Domain;
  readonly #ram: Ram;
  readonly #iovas: IovaAllocator;
  /** Bytes of each mapping that was handed out, by its first IOVA. */
  readonly #taken = new Map<bigint, bigint>();
  /** IOVA of each doorbell's page that was mapped. */
  readonly #doorbells = new Map<bigint, bigint>();
  readonly #windows: Range[] = [];
  /** Requests that the device refused. Linux does not hear of them, and goes on (6.8 and later). */
  refused = 0;

  constructor(domain: Domain, ram: Ram, aperture: Range) {
    const { granule } = domain.viommu;
    this.#domain = domain;
    this.#ram = ram;
    this.#iovas = new IovaAllocator(aperture, granule > PAGE_MIN ? granule : PAGE_MIN, []);
  }

  /** Keeps a region free. Messages that go into an MSI region need no mapping. */
  reserve(range: Range, msi: boolean): void {
    this.#iovas.exclude(range);
    if (msi) this.#windows.push(range);
  }

  map(pieces: readonly Piece[], direction: Direction): BufferSegment[] | undefined {
    const { granule } = this.#iovas;
    const runs = pieces.map(({ gpa, length }) => {
      const offset = gpa % granule;
      return {
        phys: gpa - offset,
        offset,
        length,
        size: this.#iovas.rounded(offset + BigInt(length)),
      };
    });
    const total = runs.reduce((sum, { size }) => sum + size, 0n);
    const start = this.#iovas.take(total);
    if (start === undefined) return undefined;
    this.#taken.set(start, total);
    const segments: { address: bigint; length: number }[] = [];
    let iova = start;
    for (const run of merged(runs)) {
      this.#send(
        this.#domain.map({ start: iova, end: iova + run.size - 1n }, run.phys, FLAGS[direction]),
      );
      iova += run.size;
    }
    iova = start;
    for (const { offset, length, size } of runs) {
      const last = segments.at(-1);
      const address = iova + offset;
      if (last !== undefined && last.address + BigInt(last.length) === address)
        last.length += length;
      else segments.push({ address, length });
      iova += size;
    }
    return segments.map(({ address, length }) => segment(address, length));
  }

  unmap(segments: readonly BufferSegment[]): void {
    for (const { hi, lo } of segments) {
      const address = addressOf(hi, lo);
      const start = address - (address % this.#iovas.granule);
      const size = this.#taken.get(start);
      // Later segments of the same mapping went with the first.
      if (size === undefined) continue;
      this.#taken.delete(start);
      this.#send(this.#domain.unmap({ start, end: start + size - 1n }));
      this.#iovas.give(start, size);
    }
  }

  allocate(bytes: number): Coherent | undefined {
    const gpa = this.#ram.pages(bytes);
    const [mapped] = this.map([{ gpa, length: bytes }], 'both') ?? [];
    if (mapped === undefined) {
      this.#ram.release(gpa, bytes);
      return undefined;
    }
    return { gpa, address: addressOf(mapped.hi, mapped.lo), bytes };
  }

  free({ gpa, address, bytes }: Coherent): void {
    this.unmap([segment(address, bytes)]);
    this.#ram.release(gpa, bytes);
  }

  /** iommu_dma_prepare_msi: a page in an MSI region is itself, another is mapped once for all. */
  doorbell(doorbell: bigint): bigint | undefined {
    const { granule } = this.#iovas;
    const offset = doorbell % granule;
    const page = doorbell - offset;
    if (this.#windows.some((window) => contains(window, doorbell))) return doorbell;
    const known = this.#doorbells.get(page);
    if (known !== undefined) return known + offset;
    const iova = this.#iovas.take(granule);
    if (iova === undefined) return undefined;
    const flags = VIRTIO_IOMMU_MAP_F_WRITE | VIRTIO_IOMMU_MAP_F_MMIO;
    const status = this.#domain.map({ start: iova, end: iova + granule - 1n }, page, flags);
    if (status !== VIRTIO_IOMMU_S_OK) {
      this.#iovas.give(iova, granule);
      return undefined;
    }
    this.#doorbells.set(page, iova);
    return iova + offset;
  }

  #send(status: number): void {
    if (status !== VIRTIO_IOMMU_S_OK) this.refused++;
  }
}

/** Neighbours in RAM become one MAP. */
function merged(
  runs: readonly { readonly phys: bigint; readonly size: bigint }[],
): { phys: bigint; size: bigint }[] {
  const out: { phys: bigint; size: bigint }[] = [];
  for (const { phys, size } of runs) {
    const last = out.at(-1);
    if (last !== undefined && last.phys + last.size === phys) last.size += size;
    else out.push({ phys, size });
  }
  return out;
}
