import { ByteView } from '../../../src/bytes/index.ts';
import { translateSpan, type Mapping } from '../../../src/iommu/index.ts';
import { ACCESS_READ, ACCESS_WRITE, hiOf, loOf } from '../../../src/memory/index.ts';
import {
  VIRTIO_IOMMU_FAULT,
  VIRTIO_IOMMU_FAULT_F_ADDRESS,
  VIRTIO_IOMMU_FAULT_R_DOMAIN,
  VIRTIO_IOMMU_FAULT_R_UNKNOWN,
} from '../../../src/spec/virtio-iommu.ts';
import type { QtestEdu } from '../../support/qtest-board.ts';
import type { Random } from '../../sim/random.ts';
import {
  BASE,
  BUFFER_SIZE,
  FILLER,
  LAST_ADDRESS,
  MESSAGE_AT,
  MSI,
  PAGE,
  SCRATCH,
  SCRATCH_SIZE,
} from './layout.ts';
import { ACCESS_DEVIATIONS } from './other-deviations.ts';
import type { Ours } from './ours.ts';
import type { Side } from './side.ts';

/** The first half of a DMA device's buffer is what it writes, the second takes what it reads. */
const READS_AT = BUFFER_SIZE / 2;
const OFFSET = BigInt(PAGE - 1);

export interface Access {
  readonly edu: QtestEdu;
  readonly iova: bigint;
  readonly length: number;
  readonly kind: number;
}

/** A byte that a read may have brought; undefined: any. */
type Bytes = readonly (number | undefined)[];

interface Prediction {
  /** Data of a read, and whether a record comes. */
  readonly bytes: Bytes;
  readonly faults: boolean;
  readonly id?: keyof typeof ACCESS_DEVIATIONS;
}

interface Event {
  readonly used: number;
  readonly bytes: Uint8Array;
}

/** What is wanted of a buffer when it is looked at. */
interface Expected {
  readonly at: number;
  readonly access: Access;
  readonly allowed: readonly Prediction[];
}

export type Count = (id: string) => void;

/** DMA of the same endpoint in both worlds, and what comes of it. */
export class Accesses {
  readonly #ours: Ours;
  readonly #theirs: Side;
  readonly #count: Count;
  readonly #pattern: Uint8Array;
  readonly #expected = new Map<QtestEdu, Expected[]>();
  readonly #next = new Map<QtestEdu, number>();

  constructor(ours: Ours, theirs: Side, pattern: Uint8Array, count: Count) {
    this.#ours = ours;
    this.#theirs = theirs;
    this.#pattern = pattern;
    this.#count = count;
  }

  /** A random access that both worlds can show; undefined when the one thought of is none. */
  choose(random: Random, edus: readonly QtestEdu[]): Access | undefined {
    const edu = random.pick(edus);
    const kind = random.chance(1, 2) ? ACCESS_READ : ACCESS_WRITE;
    const iova = this.#address(random, edu);
    const room = LAST_ADDRESS - iova + 1n;
    const wanted = random.chance(1, 4) ? 1 + random.below(64) : random.pick([1, 2, 4]);
    const length = room < BigInt(wanted) ? Number(room) : wanted;
    const access = { edu, iova, length, kind };
    if (this.#isShowable(access)) return access;
    const small = { edu, iova: iova & ~3n, length: 4, kind };
    return this.#isShowable(small) ? small : undefined;
  }

  /**
   * Does it in both worlds; throws when records differ.
   *
   * @param isPacked QEMU's used lengths are 0 in packed rings
   */
  run(access: Access, isPacked: boolean): void {
    const { edu, iova, length, kind } = access;
    const allowed = this.#predict(access);
    if (kind === ACCESS_READ) {
      const at = this.#next.get(edu) ?? READS_AT;
      this.#next.set(edu, at + length);
      this.#expected.set(edu, [...(this.#expected.get(edu) ?? []), { at, access, allowed }]);
      this.#ours.dma(edu.rid).read(hiOf(iova), loOf(iova), new Uint8Array(length));
      edu.load(iova, at, length);
    } else {
      const isMessage = iova >= MSI.start && iova <= MSI.end;
      const at = isMessage ? MESSAGE_AT : Number(iova % 64n);
      this.#write(access, at);
      edu.store(iova, at, length);
    }
    this.#compareEvents(access, allowed, isPacked);
  }

  /** Whether the buffer of a device is what it must be; throws otherwise. */
  checkBuffer(edu: QtestEdu, buffer: Uint8Array): void {
    for (const { at, access, allowed } of this.#expected.get(edu) ?? []) {
      const found = buffer.subarray(at, at + access.length);
      const fits = allowed.find(({ bytes }) =>
        bytes.every((byte, i) => byte === undefined || byte === found[i]),
      );
      if (fits === undefined) {
        const hex = Buffer.from(found).toString('hex');
        const wanted = allowed.map(({ bytes }) =>
          Buffer.from(bytes.map((b) => b ?? 0)).toString('hex'),
        );
        throw new Error(`${show(access)}: QEMU read ${hex}, allowed are ${wanted.join(', ')}`);
      }
      if (fits.id !== undefined) this.#count(fits.id);
    }
  }

  #write({ edu, iova, length }: Access, at: number): void {
    const dma = this.#ours.dma(edu.rid);
    const [hi, lo] = [hiOf(iova), loOf(iova)];
    // A doorbell takes only whole words.
    if (length === 4) {
      dma.writeU32(hi, lo, new DataView(this.#pattern.buffer).getUint32(at, true));
    } else dma.write(hi, lo, this.#pattern, at, length);
  }

  #mappings(edu: QtestEdu): Mapping[] {
    const domain = this.#ours.device.state.endpoints.get(edu.rid)?.domain;
    return domain === undefined ? [] : [...domain.mappings.entries()];
  }

  #address(random: Random, edu: QtestEdu): bigint {
    const mappings = this.#mappings(edu);
    if (random.chance(1, 16)) return 0xfee0_0000n + BigInt(4 * random.below(0x4_0000));
    if (random.chance(1, 16)) return LAST_ADDRESS - BigInt(random.below(3));
    const near = mappings.length > 0 && !random.chance(1, 8) ? random.pick(mappings) : undefined;
    if (near === undefined) return BigInt(SCRATCH + random.below(SCRATCH_SIZE - 64));
    const inside =
      near.start + BigInt(random.below(Number((near.end - near.start) % 0x10_0000n) + 1));
    const choices = [near.start, near.end, near.end - 3n, near.end + 1n, near.start - 4n, inside];
    return BigInt.asUintN(64, random.chance(1, 6) ? near.start - 1n : random.pick(choices));
  }

  /** Whether it can be told what QEMU's memory does with it. */
  #isShowable(access: Access): boolean {
    const { edu, iova, length, kind } = access;
    const next = this.#next.get(edu) ?? READS_AT;
    if (kind === ACCESS_READ && next + length > BUFFER_SIZE) return false;
    // Where QEMU may use a neighbour, a write would hit memory that is not ours to write.
    if (kind === ACCESS_WRITE && (iova & OFFSET) === OFFSET) return false;
    const { state, translation } = this.#ours.device;
    const span = translateSpan(state, translation, edu.rid, iova, BigInt(length), kind);
    // QEMU refuses an access in pieces of at most four bytes, each with a record of its own.
    if ('fault' in span) return length <= 4 && iova % BigInt(length) === 0n && length !== 3;
    if ((iova & OFFSET) === OFFSET && length > 1) return false;
    return span.pieces.every(({ how, physical, length: bytes }) =>
      how === 'msi'
        ? length === 4 && iova % 4n === 0n
        : physical >= BigInt(SCRATCH) && physical + bytes <= BigInt(SCRATCH + SCRATCH_SIZE),
    );
  }

  /** What may come of it in QEMU; usually one thing. */
  #predict(access: Access): Prediction[] {
    const { edu, iova, length, kind } = access;
    const { device } = this.#ours;
    const own = this.#own(access);
    const endpoint = device.state.endpoints.get(edu.rid);
    const { domain } = endpoint ?? {};
    const isMsi = endpoint?.regions.list.some(
      ({ range }) => iova >= range.start && iova <= range.end,
    );
    if (domain === undefined) {
      if (isMsi !== true || device.state.unattachedBypass) return [own];
      const bytes = Array.from({ length }, () => undefined);
      return [own, { bytes, faults: false, id: 'access-msi-unattached' }];
    }
    if (isMsi === true && kind === ACCESS_READ) {
      const bytes = Array.from({ length }, () => undefined);
      return [{ bytes, faults: false, id: 'access-msi-read' }];
    }
    if (domain.bypass || isMsi === true) return [own];
    const mappings = this.#mappings(edu);
    if (iova === LAST_ADDRESS) {
      const whole = mappings[0]?.start === 0n && mappings[0].end === LAST_ADDRESS;
      if (whole || own.faults) return [own];
      return [{ bytes: [0], faults: true, id: 'access-last-byte' }];
    }
    const right = mappings.find(({ start }) => start === iova + 1n);
    if ((iova & OFFSET) !== OFFSET || right === undefined) return [own];
    const below = this.#below(right);
    return mappings.some(({ end }) => end === iova) ? [own, below] : [below];
  }

  /** What comes of it in ours. */
  #own({ edu, iova, length, kind }: Access): Prediction {
    const { state, translation } = this.#ours.device;
    const span = translateSpan(state, translation, edu.rid, iova, BigInt(length), kind);
    if ('fault' in span) return { bytes: Array.from({ length }, () => 0), faults: true };
    const bytes = span.pieces.flatMap(({ physical, length: size }) =>
      Array.from({ length: Number(size) }, (_, i) => this.#byte(physical + BigInt(i))),
    );
    return { bytes, faults: false };
  }

  /** The mapping that starts after the byte, used for it. */
  #below({ flags, physical }: Mapping): Prediction {
    if ((flags & ACCESS_READ) === 0) return { bytes: [0], faults: true, id: 'access-below' };
    return { bytes: [this.#byte(physical - 1n)], faults: false, id: 'access-below' };
  }

  #byte(physical: bigint): number | undefined {
    const inside = physical >= BigInt(SCRATCH) && physical < BigInt(SCRATCH + SCRATCH_SIZE);
    return inside ? this.#ours.ram[Number(physical) - BASE] : undefined;
  }

  #compareEvents(access: Access, allowed: readonly Prediction[], isPacked: boolean): void {
    const ours = this.#ours.takeEvents();
    const theirs = this.#theirs.takeEvents().map(({ used, bytes }) => {
      const isLost = isPacked && used === 0;
      if (isLost) this.#count('packed-used-length');
      return { used: isLost ? VIRTIO_IOMMU_FAULT.size : used, bytes };
    });
    const differs = (): never => {
      const [a, b] = [ours, theirs].map((list) => list.map(showEvent).join(', ') || 'none');
      const domain = this.#ours.device.state.endpoints.get(access.edu.rid)?.domain;
      const where = domain ? `domain ${domain.id}, bypass ${domain.bypass}` : 'no domain';
      const bypass = [this.#ours, this.#theirs].map((side) => side.config()[36]).join(' and ');
      const state = `${where}, config.bypass ${bypass}, features 0x${this.#ours.features.toString(16)}`;
      throw new Error(`${show(access)}, ${state}: records of ours ${a}; of QEMU ${b}`);
    };
    const [mine] = ours;
    const [other] = theirs;
    if (ours.length > 1 || theirs.length > 1) differs();
    if (mine !== undefined && other !== undefined) {
      if (!this.#sameEvent(access, mine, other)) differs();
    } else if (mine !== other && allowed.every(({ id }) => id === undefined)) differs();
    const deviating = allowed.find(({ id }) => id !== undefined);
    if (mine === undefined && other !== undefined && deviating?.faults !== true) differs();
    if (mine !== undefined && other === undefined && deviating?.faults !== false) differs();
    if (mine === other || (mine !== undefined && other !== undefined)) return;
    if (deviating?.id !== undefined) this.#count(deviating.id);
    // One has used a buffer that the other still has.
    (mine === undefined ? this.#theirs : this.#ours).giveEventBuffers([VIRTIO_IOMMU_FAULT.size]);
  }

  #sameEvent(access: Access, mine: Event, other: Event): boolean {
    const { size, offsets } = VIRTIO_IOMMU_FAULT;
    if (other.used !== size || mine.used !== size) return false;
    const bytes = other.bytes.slice();
    const read = (from: Uint8Array): ReturnType<typeof VIRTIO_IOMMU_FAULT.read> =>
      VIRTIO_IOMMU_FAULT.read(new ByteView(from, 'le', 'record'), 0);
    const [a, b] = [read(mine.bytes), read(other.bytes)];
    const isUnattached = a.reason === VIRTIO_IOMMU_FAULT_R_DOMAIN;
    if (isUnattached && b.reason === VIRTIO_IOMMU_FAULT_R_UNKNOWN) {
      bytes[offsets.reason] = a.reason;
      this.#count('fault-unattached');
    }
    // QEMU finds nothing at the last address: for it even what may not be read is not mapped.
    const unmapped =
      access.iova === LAST_ADDRESS ||
      !this.#mappings(access.edu).some(
        ({ start, end }) => start <= access.iova && access.iova <= end,
      );
    if (b.flags === VIRTIO_IOMMU_FAULT_F_ADDRESS && (isUnattached || unmapped)) {
      if (a.flags !== (VIRTIO_IOMMU_FAULT_F_ADDRESS | access.kind)) return false;
      new DataView(bytes.buffer).setUint32(offsets.flags, a.flags, true);
      this.#count('fault-direction');
    }
    const rest = bytes.subarray(size).every((byte) => byte === FILLER);
    return rest && Buffer.compare(bytes, mine.bytes) === 0;
  }
}

function show({ edu, iova, length, kind }: Access): string {
  const what = kind === ACCESS_READ ? 'read' : 'write';
  return `endpoint ${edu.rid}: ${what} of ${length} bytes at 0x${iova.toString(16)}`;
}

function showEvent({ used, bytes }: Event): string {
  return `${used}:${Buffer.from(bytes.subarray(0, VIRTIO_IOMMU_FAULT.size)).toString('hex')}`;
}
