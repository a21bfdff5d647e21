import { structBytes } from '../../../src/bytes/index.ts';
import type { IommuDevice } from '../../../src/iommu/index.ts';
import { VIRTIO_IOMMU_REQ_HEAD, VIRTIO_IOMMU_REQ_TAIL } from '../../../src/spec/virtio-iommu.ts';
import {
  attachBytes,
  detachBytes,
  mapBytes,
  probeBytes,
  unmapBytes,
} from '../../support/iommu-rig.ts';
import type { Random } from '../../sim/random.ts';
import { LAST_ADDRESS, PAGE, SCRATCH, SCRATCH_SIZE } from './layout.ts';
import type { Wire } from './side.ts';

const GRANULE = BigInt(PAGE);
const TAIL = VIRTIO_IOMMU_REQ_TAIL.size;
const HEAD = VIRTIO_IOMMU_REQ_HEAD.size;
/** Pages from each of these on are where most ranges lie. */
const PLACES: readonly bigint[] = [
  0n,
  0x4000_0000n,
  0xfedf_8000n,
  0xfeef_8000n,
  0xffff_c000n,
  0x8000_0000_0000_0000n - 8n * GRANULE,
  LAST_ADDRESS + 1n - 16n * GRANULE,
];
const PLACE_PAGES = 16;

/** Makes requests from numbers, with an eye on the state of our device so that many make sense. */
export class Generator {
  readonly #random: Random;
  readonly #device: IommuDevice;
  readonly #endpoints: readonly number[];

  constructor(random: Random, device: IommuDevice, endpoints: readonly number[]) {
    this.#random = random;
    this.#device = device;
    this.#endpoints = endpoints;
  }

  next(): Wire {
    const random = this.#random;
    let readable = this.#request();
    let writable = (readable[0] === 5 ? this.#device.state.settings.probeSize : 0) + TAIL;
    if (random.chance(1, 12)) this.#dirtyHead(readable);
    if (random.chance(1, 50))
      readable = readable.slice(0, random.below(readable.length - HEAD + 1) + HEAD);
    else if (random.chance(1, 30)) readable = this.#longer(readable);
    // Less room than a PROBE needs is what QEMU 7.2 ends itself on: that has a test of its own.
    if (random.chance(1, 40)) writable += random.below(600);
    return this.#framed(readable, writable);
  }

  /** A wire that is too short for a device to answer at all: each side treats it in its own way. */
  unanswerable(): Wire {
    const random = this.#random;
    const readable = this.#request();
    if (random.chance(1, 2)) return this.#framed(readable.slice(0, random.below(HEAD)), TAIL);
    return this.#framed(readable, random.below(TAIL));
  }

  #request(): Uint8Array {
    const kind = this.#random.below(100);
    if (kind < 38) return this.#map();
    if (kind < 62) return this.#unmap();
    if (kind < 80) return this.#attach();
    if (kind < 90) return this.#detach();
    if (kind < 96) return probeBytes(this.#endpoint(), this.#junk({ reserved: this.#bytes(64) }));
    return this.#unknown();
  }

  #attach(): Uint8Array {
    const random = this.#random;
    const flags = random.chance(1, 30) ? random.next() : random.chance(1, 6) ? 1 : 0;
    const reserved = random.chance(1, 30) ? this.#bytes(4) : new Uint8Array(4);
    return attachBytes(this.#domain(), this.#endpoint(), { flags, reserved });
  }

  #detach(): Uint8Array {
    const id = this.#endpoint();
    const own = this.#device.state.endpoints.get(id)?.domain?.id;
    const domain = own === undefined || this.#random.chance(1, 4) ? this.#domain() : own;
    return detachBytes(domain, id, this.#junk({ reserved: this.#bytes(8) }));
  }

  #map(): Uint8Array {
    const random = this.#random;
    const [start, end] = this.#range();
    const flags = random.chance(1, 40) ? random.next() : random.chance(1, 8) ? random.below(8) : 3;
    return mapBytes(this.#domain(), start, end, this.#physical(), flags);
  }

  #unmap(): Uint8Array {
    const random = this.#random;
    const domain = this.#domain();
    const mappings = this.#device.state.domains.get(domain)?.mappings;
    if (mappings === undefined || mappings.size === 0 || random.chance(2, 5)) {
      return unmapBytes(domain, ...this.#range(), this.#junk({ reserved: this.#bytes(4) }));
    }
    const all = [...mappings.entries()];
    const from = random.below(all.length);
    const to = Math.min(all.length - 1, from + random.below(4));
    const start = all[from]?.start ?? 0n;
    let end = all[to]?.end ?? 0n;
    if (random.chance(1, 4)) end -= GRANULE;
    return unmapBytes(domain, start, BigInt.asUintN(64, end));
  }

  #unknown(): Uint8Array {
    const readable = this.#bytes(HEAD + this.#random.below(80));
    if ((readable[0] ?? 0) >= 1 && (readable[0] ?? 0) <= 5) readable[0] = 0;
    return readable;
  }

  #domain(): number {
    const random = this.#random;
    if (random.chance(1, 25)) return random.pick([0xffff_ffff, 0x8000_0000, 0x7fff_ffff, 0x1_0000]);
    if (random.chance(1, 40)) return random.next();
    return random.below(5);
  }

  #endpoint(): number {
    const random = this.#random;
    const id = random.pick(this.#endpoints);
    // Few enough that the same one comes again.
    if (random.chance(1, 20)) return id + 0x1_0000 * random.pick([1, 1, 1, 0xffff]);
    if (random.chance(1, 20)) return random.chance(1, 2) ? random.below(0x1_0000) : random.next();
    return id;
  }

  #range(): [start: bigint, end: bigint] {
    const random = this.#random;
    if (random.chance(1, 60)) return [this.#word(), this.#word()];
    const from = random.pick(PLACES) + GRANULE * BigInt(random.below(PLACE_PAGES));
    if (random.chance(1, 60)) return [random.chance(1, 2) ? 0n : from, LAST_ADDRESS];
    let end = from + GRANULE * BigInt(1 + random.below(random.chance(1, 5) ? PLACE_PAGES : 4)) - 1n;
    let start = from;
    if (random.chance(1, 25)) start += BigInt(random.below(PAGE));
    if (random.chance(1, 25)) end -= BigInt(random.below(PAGE));
    if (end > LAST_ADDRESS) end = LAST_ADDRESS;
    if (random.chance(1, 80)) [start, end] = [end, start];
    return [start, end];
  }

  #physical(): bigint {
    const random = this.#random;
    if (random.chance(1, 30)) return this.#word();
    if (random.chance(1, 30)) return LAST_ADDRESS + 1n - GRANULE * BigInt(1 + random.below(8));
    const page = random.below(SCRATCH_SIZE / PAGE - PLACE_PAGES);
    return BigInt(SCRATCH + page * PAGE);
  }

  /** Aligned more often than not. */
  #word(): bigint {
    const value = (BigInt(this.#random.next()) << 32n) | BigInt(this.#random.next());
    return this.#random.chance(2, 3) ? value & ~(GRANULE - 1n) : value;
  }

  #bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#random.below(256));
  }

  /** What a device must ignore, now and then. */
  #junk<T>(fields: T): T | Record<string, never> {
    return this.#random.chance(1, 6) ? fields : {};
  }

  #dirtyHead(readable: Uint8Array): void {
    readable.set(
      structBytes(VIRTIO_IOMMU_REQ_HEAD, 'le', {
        type: readable[0] ?? 0,
        reserved: this.#bytes(3),
      }),
    );
  }

  #longer(readable: Uint8Array): Uint8Array {
    const longer = new Uint8Array(readable.length + 1 + this.#random.below(40));
    longer.set(readable);
    longer.set(this.#bytes(longer.length - readable.length), readable.length);
    return longer;
  }

  #framed(readable: Uint8Array, writable: number): Wire {
    const cuts = { readable: this.#cuts(readable.length), writable: this.#cuts(writable) };
    return { readable, writable, cuts, indirect: !this.#random.chance(1, 8) };
  }

  #cuts(length: number): number[] {
    const random = this.#random;
    if (length === 0 || random.chance(3, 4)) return [];
    return Array.from(
      { length: 1 + random.below(8) },
      () => 1 + random.below(random.pick([4, 40])),
    );
  }
}
