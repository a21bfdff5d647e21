import { ACCESS_WRITE } from '../../../src/memory/index.ts';
import {
  VIRTIO_IOMMU_F_BYPASS_CONFIG,
  VIRTIO_IOMMU_REQ_TAIL,
  VIRTIO_IOMMU_T_ATTACH,
  VIRTIO_IOMMU_T_DETACH,
  VIRTIO_IOMMU_T_MAP,
  VIRTIO_IOMMU_T_PROBE,
  VIRTIO_IOMMU_T_UNMAP,
} from '../../../src/spec/virtio-iommu.ts';
import {
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../../../src/spec/virtio.ts';
import { featureBits } from '../../../src/virtio/index.ts';
import type { QtestEdu } from '../../support/qtest-board.ts';
import type { Random } from '../../sim/random.ts';
import { Accesses, type Count } from './access.ts';
import { REQUEST_DEVIATIONS, type RequestDeviation } from './deviations.ts';
import { Generator } from './generate.ts';
import {
  BUFFER_SIZE,
  DUMP,
  FILLER,
  MESSAGE,
  MESSAGE_AT,
  PATTERN,
  SCRATCH,
  SCRATCH_SIZE,
} from './layout.ts';
import { BREAKING_DEVIATIONS } from './other-deviations.ts';
import type { Ours } from './ours.ts';
import type { Answer, Side, Wire } from './side.ts';
import { View } from './view.ts';

const REQUEST_TYPES: ReadonlyMap<number, string> = new Map([
  [VIRTIO_IOMMU_T_ATTACH, 'attach'],
  [VIRTIO_IOMMU_T_DETACH, 'detach'],
  [VIRTIO_IOMMU_T_MAP, 'map'],
  [VIRTIO_IOMMU_T_UNMAP, 'unmap'],
  [VIRTIO_IOMMU_T_PROBE, 'probe'],
]);
const TAIL = VIRTIO_IOMMU_REQ_TAIL.size;
const BASIC = featureBits(VIRTIO_F_VERSION_1, VIRTIO_IOMMU_F_BYPASS_CONFIG);
/** In how many of six rounds each is negotiated; packed rings hide QEMU's used lengths. */
const RING_CHOICES = [
  [VIRTIO_RING_F_INDIRECT_DESC, 5],
  [VIRTIO_RING_F_EVENT_IDX, 4],
  [VIRTIO_F_RING_PACKED, 2],
] as const;

export interface World {
  readonly ours: Ours;
  readonly theirs: Side;
  readonly edus: readonly QtestEdu[];
  readonly endpoints: readonly number[];
  /** What PROBE answers for every endpoint, without the tail. */
  readonly properties: Uint8Array;
}

/** A request that ours has answered, with all that QEMU may say to it. */
interface Asked {
  readonly wire: Wire;
  readonly mine: Answer;
  readonly story: string;
  readonly deviation: RequestDeviation | undefined;
  readonly allowed: readonly Answer[] | 'any';
}

/** Some thousand requests and accesses from one seed, between two resets of both devices. */
export class Round {
  readonly #world: World;
  readonly #random: Random;
  readonly #count: Count;
  readonly #generator: Generator;
  readonly #pattern: Uint8Array;
  readonly #accesses: Accesses;
  #features = 0n;
  requests = 0;
  accesses = 0;
  /** How many requests of each type ours gave each status: `map 0`, `none` when unwritten. */
  readonly answers: Map<string, number> = new Map();

  constructor(world: World, random: Random, count: Count) {
    this.#world = world;
    this.#random = random;
    this.#count = count;
    const { ours, theirs, endpoints } = world;
    this.#generator = new Generator(random, ours.device, endpoints);
    this.#pattern = this.#noise(BUFFER_SIZE);
    this.#pattern.set(MESSAGE, MESSAGE_AT);
    this.#accesses = new Accesses(ours, theirs, this.#pattern, count);
  }

  /** @throws Error at the first difference that is in no list */
  run(length: number): void {
    this.#start();
    while (this.requests < length) {
      this.#batch(Math.min(length - this.requests, 1 + this.#random.below(255)));
      const some = this.#random.chance(2, 3) ? this.#random.below(24) : 0;
      for (let i = 0; i < some; i++) this.#access();
    }
    if (this.#random.chance(2, 3)) this.#break();
    this.#finish();
  }

  #noise(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => 1 + this.#random.below(255));
  }

  #both(): readonly Side[] {
    return [this.#world.ours, this.#world.theirs];
  }

  /** Fills memory and the DMA devices' buffers, then negotiates what this round has. */
  #start(): void {
    const random = this.#random;
    const scratch = this.#noise(SCRATCH_SIZE);
    const bypass = random.below(2);
    for (const side of this.#both()) {
      side.boot(BASIC);
      side.setBypass(1);
      side.fill(SCRATCH, scratch);
      side.fill(PATTERN, this.#pattern);
    }
    for (const edu of this.#world.edus) edu.load(BigInt(PATTERN), 0, BUFFER_SIZE);
    const rings = RING_CHOICES.filter(([, share]) => random.chance(share, 6));
    this.#features = featureBits(VIRTIO_F_VERSION_1, ...rings.map(([bit]) => bit));
    for (let bit = 0; bit <= VIRTIO_IOMMU_F_BYPASS_CONFIG; bit++) {
      if (random.chance(3, 4)) this.#features |= 1n << BigInt(bit);
    }
    this.#features &= this.#world.ours.transport.deviceFeatures();
    for (const side of this.#both()) {
      side.setBypass(bypass);
      side.boot(this.#features);
    }
    const [a, b] = this.#both().map((side) => Buffer.from(side.config()).toString('hex'));
    if (a !== b) throw new Error(`configuration of ours ${a}, of QEMU ${b}`);
  }

  /** Requests, answered by ours one by one, by QEMU in as few goes as fit. */
  #batch(size: number): void {
    const asked: Asked[] = [];
    for (let i = 0; i < size; i++) {
      const wire = this.#generator.next();
      const view = new View(wire, this.#world.ours.device);
      const deviation = REQUEST_DEVIATIONS.find((one) => one.applies(view));
      const story = view.toString();
      const allowed =
        deviation && deviation.status(view).map((s) => this.#answer(view, s, deviation));
      const after = deviation?.after?.(view) ?? [];
      const mine = this.#ask(wire);
      this.#note(view, mine);
      asked.push({ wire, mine, story, deviation, allowed: allowed ?? [mine] });
      for (const { wire: next, theirs } of after) {
        const answer = this.#ask(next);
        const following =
          theirs === 'any' ? theirs : theirs.map((status) => tailAnswer(TAIL, status));
        asked.push({ wire: next, mine: answer, story, deviation, allowed: following });
      }
    }
    this.requests += size;
    const answers = this.#world.theirs.exchange(asked.map(({ wire }) => wire));
    for (const [i, one] of asked.entries()) this.#compare(one, answers[i]);
  }

  #note({ type }: View, { used, bytes }: Answer): void {
    const status = used === 0 ? 'none' : (bytes[used - TAIL] ?? 0);
    const key = `${REQUEST_TYPES.get(type) ?? 'unknown'} ${status}`;
    this.answers.set(key, (this.answers.get(key) ?? 0) + 1);
  }

  #ask(wire: Wire): Answer {
    const [answer] = this.#world.ours.exchange([wire]);
    if (answer === undefined) throw new Error('ours does not answer');
    return answer;
  }

  #compare({ wire, mine, story, deviation, allowed }: Asked, theirs: Answer | undefined): void {
    const length = this.#isPacked ? 0 : undefined;
    if (allowed === 'any' && theirs?.used === (length ?? TAIL)) return;
    const fit = allowed === 'any' ? undefined : allowed.find((one) => same(one, theirs, length));
    if (fit === undefined) {
      const wanted = allowed === 'any' ? 'any' : allowed.map(showAnswer).join(' or ');
      throw new Error(
        [
          `${deviation ? `deviation ${deviation.id}` : 'no deviation'}: ${story}`,
          `sent ${Buffer.from(wire.readable).toString('hex')}`,
          `ours ${showAnswer(mine)}, wanted of QEMU ${wanted}, QEMU ${theirs ? showAnswer(theirs) : 'silent'}`,
        ].join('\n  '),
      );
    }
    if (fit.used !== theirs?.used) this.#count('packed-used-length');
    if (deviation && !same(mine, fit)) this.#count(deviation.id);
  }

  /** The bytes of an answer of QEMU's with that status. */
  #answer(view: View, status: number, { form }: RequestDeviation): Answer {
    const { writable } = view.wire;
    const { properties } = this.#world;
    if (form === undefined) return tailAnswer(writable, status);
    const known = view.whole && view.exists(view.endpoint & 0xffff);
    const body = known ? properties : new Uint8Array(properties.length);
    const bytes = new Uint8Array(writable).fill(FILLER);
    bytes.set([...body, status, 0, 0, 0]);
    return { used: body.length + TAIL, bytes };
  }

  #access(): void {
    let access = undefined;
    for (let i = 0; i < 4; i++) access ??= this.#accesses.choose(this.#random, this.#world.edus);
    if (access === undefined) return;
    // Often one buffer, sometimes none, when a record is dropped, or more than it takes.
    const sizes = Array.from({ length: this.#random.below(3) }, () => 24 + this.#random.below(40));
    if (!this.#eventsFull()) for (const side of this.#both()) side.giveEventBuffers(sizes);
    this.#accesses.run(access, this.#isPacked);
    this.accesses++;
  }

  /** Whether QEMU's used lengths say nothing. */
  get #isPacked(): boolean {
    return (this.#features & featureBits(VIRTIO_F_RING_PACKED)) !== 0n;
  }

  #eventsFull(): boolean {
    return this.#world.ours.eventBuffers > 100;
  }

  /** Ends the round with something that QEMU's device does not stand. */
  #break(): void {
    const { ours, theirs } = this.#world;
    const negotiated = (this.#features & (1n << BigInt(VIRTIO_IOMMU_F_BYPASS_CONFIG))) !== 0n;
    const random = this.#random;
    const ways: readonly (keyof typeof BREAKING_DEVIATIONS)[] = [
      'request-unanswerable',
      negotiated ? 'bypass-value' : 'bypass-not-negotiated',
      'event-short-buffer',
    ];
    const way = random.pick(ways);
    if (way === 'request-unanswerable') this.#askUnanswerable();
    else if (way === 'event-short-buffer') {
      if (!this.#faultIntoShortBuffer()) return;
    } else {
      // QEMU takes offence only at a change.
      const value = negotiated ? 2 + random.below(254) : 1 - ours.device.state.bypass;
      for (const side of this.#both()) side.setBypass(value);
    }
    if (!theirs.isBroken || ours.isBroken)
      throw new Error(`${way}: ours broken ${ours.isBroken}, QEMU ${theirs.isBroken}`);
    this.#count(way);
  }

  #askUnanswerable(): void {
    const wire = this.#generator.unanswerable();
    const mine = this.#ask(wire);
    const untouched = mine.used === 0 && mine.bytes.every((byte) => byte === FILLER);
    const [theirs] = this.#world.theirs.exchange([wire]);
    if (!untouched || theirs !== undefined) {
      throw new Error(`unanswerable request: ours ${showAnswer(mine)}, QEMU ${theirs?.used}`);
    }
  }

  /** False when there is no endpoint whose access faults. */
  #faultIntoShortBuffer(): boolean {
    const { ours, theirs, edus } = this.#world;
    const { state } = ours.device;
    const edu = edus.find(({ rid }) => state.endpoints.get(rid)?.domain === undefined);
    if (edu === undefined || state.unattachedBypass) return false;
    for (const side of this.#both()) side.boot(this.#features);
    const size = 4 + this.#random.below(20);
    for (const side of this.#both()) side.giveEventBuffers([size]);
    ours.dma(edu.rid).writeU32(0, SCRATCH, 0);
    edu.store(BigInt(SCRATCH), 0, 4);
    const [record] = ours.takeEvents();
    if (record?.used !== size || theirs.takeEvents().length > 0) {
      throw new Error(`a record in ${size} bytes: ours ${record?.used}`);
    }
    return true;
  }

  /** Looks at the buffers, through bypass, and at memory. */
  #finish(): void {
    const { ours, theirs, edus } = this.#world;
    for (const side of this.#both()) {
      side.boot(BASIC);
      side.setBypass(1);
    }
    for (const edu of edus) {
      edu.store(BigInt(DUMP), 0, BUFFER_SIZE);
      this.#accesses.checkBuffer(edu, theirs.fetch(DUMP, BUFFER_SIZE));
    }
    const [a, b] = [ours.fetch(SCRATCH, SCRATCH_SIZE), theirs.fetch(SCRATCH, SCRATCH_SIZE)];
    const at = a.findIndex((byte, i) => byte !== b[i]);
    if (at >= 0) {
      const what = `memory at 0x${(SCRATCH + at).toString(16)}`;
      throw new Error(`${what}: ours ${a[at]}, QEMU ${b[at]} (access ${ACCESS_WRITE})`);
    }
  }
}

function tailAnswer(writable: number, status: number): Answer {
  const bytes = new Uint8Array(writable).fill(FILLER);
  bytes.set([status, 0, 0, 0]);
  return { used: TAIL, bytes };
}

/** @param length used length of `b` where it tells nothing */
function same(a: Answer, b: Answer | undefined, length: number = a.used): boolean {
  return b !== undefined && length === b.used && Buffer.compare(a.bytes, b.bytes) === 0;
}

function showAnswer({ used, bytes }: Answer): string {
  return `${used}:${Buffer.from(bytes)
    .toString('hex')
    .replace(/(aa)+$/, '')}`;
}
