import type { DmaSpace } from '../memory/index.ts';
import { VIRTIO_F_IN_ORDER, VIRTIO_RING_F_EVENT_IDX, VIRTQUEUE_SIZE_MAX } from '../spec/virtio.ts';
import { Chain, type ChainState } from './chain.ts';
import { DescriptorReader, type QueueLayout } from './descriptors.ts';
import { hasFeature } from './features.ts';
import type { QueueError } from './queue-error.ts';

/** A queue's progress, as plain data. */
export interface QueueState {
  readonly format: 'split' | 'packed';
  /** Next available and next used place; meaning depends on the format. */
  readonly avail: number;
  readonly used: number;
  readonly availWrap: boolean;
  readonly usedWrap: boolean;
  readonly popped: number;
  readonly pushed: number;
  readonly unsignalled: number;
  readonly suppressed: boolean;
  readonly chains: readonly ChainState[];
  readonly error?: QueueError;
}

/**
 * The device's side of a virtqueue. Whatever the driver writes, nothing here throws or loops: a
 * mistake breaks the queue for good, is told to `onBroken` once, and `pop` gives nothing any more.
 */
export abstract class DeviceQueue extends DescriptorReader {
  /** Chains popped and not pushed yet. */
  inFlight = 0;
  /** Ring descriptors of those. */
  protected slotsInFlight = 0;

  protected readonly eventIdx: boolean;
  protected readonly inOrder: boolean;
  protected popped = 0;
  protected pushed = 0;
  /** Ring places used since the driver was last considered for an interrupt. */
  protected unsignalled = 0;
  protected suppressed = false;
  #closed = false;
  /** Chains that wait for an older one. */
  #held = 0;
  readonly #chains: Chain[] = [];
  readonly #free: Chain[] = [];

  constructor(
    layout: QueueLayout,
    features: bigint,
    dma: DmaSpace,
    onBroken: (error: QueueError) => void,
  ) {
    super(layout, features, dma, onBroken);
    this.eventIdx = hasFeature(features, VIRTIO_RING_F_EVENT_IDX);
    this.inOrder = hasFeature(features, VIRTIO_F_IN_ORDER);
    if (!this.sizeIsLegal(layout.size)) this.fail('ring-size', `queue of ${layout.size}`);
  }

  /** The next buffer that the driver made available; undefined when there is none, or `error`. */
  pop(): Chain | undefined {
    if (this.error || this.#closed) return undefined;
    const chain = this.#free.pop() ?? this.#newChain();
    chain.clear();
    if (!this.take(chain)) {
      this.#free.push(chain);
      return undefined;
    }
    chain.state = 'taken';
    chain.sequence = this.popped++;
    chain.reader.rewind();
    chain.writer.rewind();
    this.inFlight++;
    this.slotsInFlight += chain.slots;
    return chain;
  }

  /**
   * Gives a buffer back to the driver. With VIRTIO_F_IN_ORDER it waits for those popped earlier.
   *
   * @param usedLength bytes written, counted from the start of the writable part (D61)
   * @returns false when the queue is broken or was reset; the buffer is gone all the same
   * @throws RangeError when more was used than is there, or the chain is not out: our own mistake
   */
  push(chain: Chain, usedLength: number): boolean {
    if (this.error || this.#closed) return false;
    if (chain.state !== 'taken' || !(usedLength <= chain.writableLength)) {
      throw new RangeError(
        `queue ${this.layout.index}: chain ${chain.sequence} is ${chain.state}, ${usedLength} of ${chain.writableLength} bytes used`,
      );
    }
    chain.usedLength = usedLength;
    if (!this.inOrder) return this.#use(chain);
    if (chain.sequence !== this.pushed) {
      chain.state = 'held';
      this.#held++;
      return true;
    }
    let written = this.#use(chain);
    while (written && this.#held > 0) {
      const next = this.#chains.find(
        (held) => held.state === 'held' && held.sequence === this.pushed,
      );
      if (next === undefined) break;
      this.#held--;
      written = this.#use(next);
    }
    return written;
  }

  /**
   * Whether the driver wants an interrupt for what was pushed since the last call. To be asked once
   * after a run of pushes ("Used Buffer Notification Suppression").
   */
  shouldSignal(): boolean {
    if (this.error || this.#closed || this.unsignalled === 0) return false;
    const wanted = this.driverWantsSignal();
    this.unsignalled = 0;
    return wanted;
  }

  /**
   * Asks the driver not to notify, or to do so again. After the latter look with `pop` once more:
   * the driver may have added a buffer in between.
   */
  suppressKicks(on: boolean): void {
    if (this.error || this.#closed || this.suppressed === on) return;
    this.suppressed = on;
    this.writeSuppression();
  }

  /** Whether the driver has added a buffer that was not popped. It only looks: nothing breaks. */
  get hasMore(): boolean {
    return !this.error && !this.#closed && this.sees();
  }

  /** Buffers popped since the queue was made. */
  get count(): number {
    return this.popped;
  }

  /** For the transport: the queue was reset. What the device still holds is void. */
  close(): void {
    this.#closed = true;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** The chains that the device holds, oldest first: after a restore, to take up work again. */
  taken(): Chain[] {
    return this.#chains
      .filter((chain) => chain.state === 'taken')
      .toSorted((a, b) => a.sequence - b.sequence);
  }

  snapshot(): QueueState {
    const out = this.#chains.filter((chain) => chain.state !== 'free');
    const state = {
      ...this.place(),
      popped: this.popped,
      pushed: this.pushed,
      unsignalled: this.unsignalled,
      suppressed: this.suppressed,
      chains: out.toSorted((a, b) => a.sequence - b.sequence).map((chain) => chain.snapshot()),
    };
    return this.error ? { ...state, error: this.error } : state;
  }

  /** Takes the place of a queue just made with the same layout and features. */
  restore(state: QueueState): void {
    this.setPlace(state);
    this.popped = state.popped;
    this.pushed = state.pushed;
    this.unsignalled = state.unsignalled;
    this.suppressed = state.suppressed;
    this.error = state.error;
    this.inFlight = 0;
    this.slotsInFlight = 0;
    this.#held = state.chains.filter((chain) => chain.held !== undefined).length;
    for (const saved of state.chains) {
      const chain = this.#newChain();
      chain.restore(saved);
      this.inFlight++;
      this.slotsInFlight += chain.slots;
    }
  }

  protected abstract sizeIsLegal(size: number): boolean;
  /** Whether there is an available buffer; false when the ring cannot be read. */
  protected abstract sees(): boolean;
  /** Reads the next available buffer into the chain; false when none, or broken. */
  protected abstract take(chain: Chain): boolean;
  /** Writes a used element and moves on; false when broken. */
  protected abstract writeUsed(chain: Chain, usedLength: number): boolean;
  protected abstract driverWantsSignal(): boolean;
  protected abstract writeSuppression(): void;
  protected abstract place(): Pick<
    QueueState,
    'format' | 'avail' | 'used' | 'availWrap' | 'usedWrap'
  >;
  protected abstract setPlace(state: QueueState): void;

  #newChain(): Chain {
    const chain = new Chain(this.dma);
    this.#chains.push(chain);
    return chain;
  }

  #use(chain: Chain): boolean {
    const { slots } = chain;
    const written = this.writeUsed(chain, chain.usedLength);
    chain.state = 'free';
    this.#free.push(chain);
    this.pushed++;
    this.inFlight--;
    this.slotsInFlight -= slots;
    return written;
  }
}

/** Whether a queue may have this size at all. */
export function isQueueSize(size: number): boolean {
  return Number.isInteger(size) && size > 0 && size <= VIRTQUEUE_SIZE_MAX;
}
