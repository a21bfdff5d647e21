import { VIRTIO_ID_ENTROPY } from '../spec/virtio-net.ts';
import type { PlainState, VirtioDevice, VirtioHost } from '../virtio/index.ts';

/** Where random bytes come from: seeded, so that a run can be repeated. State is plain data. */
export interface RandomSource {
  /** 32 random bits. */
  next(): number;
  state: number;
}

/** A 32-bit Weyl sequence, mixed. Good enough to be different each time; no secret. */
export class SeededRandom implements RandomSource {
  state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  next(): number {
    this.state = (this.state + 0x9e37_79b9) >>> 0;
    let mixed = this.state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0_aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }
}

/** Bytes of one buffer that are filled: the driver asks again for more. */
const FILL_MAX = 65536;
const BUFFERS_PER_KICK = 64;

/** VIRTIO 1.3, "Entropy Device". */
export class VirtioEntropy implements VirtioDevice {
  readonly deviceId = VIRTIO_ID_ENTROPY;
  readonly features = 0n;
  readonly queueSizes: readonly number[] = [8];
  readonly config: Uint8Array = new Uint8Array(0);
  readonly #random: RandomSource;
  #host: VirtioHost | undefined;

  constructor(random: RandomSource) {
    this.#random = random;
  }

  attach(host: VirtioHost): void {
    this.#host = host;
  }

  configWrite(): void {}

  kick(index: number): void {
    const queue = this.#host?.queue(index);
    if (queue === undefined) return;
    let done = 0;
    for (; done < BUFFERS_PER_KICK; done++) {
      const chain = queue.pop();
      if (chain === undefined) break;
      const bytes = new Uint8Array(Math.min(chain.writer.length, FILL_MAX));
      for (let i = 0; i < bytes.length; i++) bytes[i] = this.#random.next();
      queue.push(chain, chain.writer.write(bytes));
    }
    this.#host?.signal(index);
    if (done === BUFFERS_PER_KICK) this.#host?.kickLater(index);
  }

  reset(): void {}

  snapshot(): PlainState {
    return this.#random.state;
  }

  restore(state: PlainState): void {
    if (typeof state === 'number') this.#random.state = state;
  }
}
