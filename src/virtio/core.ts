import type { DmaSpace } from '../memory/index.ts';
import {
  VIRTIO_CONFIG_S_DRIVER_OK,
  VIRTIO_CONFIG_S_FEATURES_OK,
  VIRTIO_CONFIG_S_NEEDS_RESET,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_RING_RESET,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../spec/virtio.ts';
import type { VirtioEvent, VirtioState } from './core-state.ts';
import type { InterruptSink, VirtioDevice, VirtioHost } from './device.ts';
import type { DeviceQueue } from './device-queue.ts';
import { featureBits, hasFeature, refuseFeatures, type FeatureRefusal } from './features.ts';
import type { QueueError } from './queue-error.ts';
import { QueueSlot } from './queue-slot.ts';
import { isLive, transition } from './status.ts';

/** What surrounds a virtio device: memory, ring features, who hears of it. */
export interface VirtioOptions {
  /** How rings, tables and buffers are reached: through an IOMMU or not. */
  readonly dma: DmaSpace;
  /** Offered bits of queues and transport; default VERSION_1, INDIRECT_DESC, EVENT_IDX. */
  readonly ringFeatures?: bigint;
  /**
   * VIRTIO_F_ACCESS_PLATFORM: `demanded` behind an IOMMU, where a driver without it would pass
   * addresses that mean something else to the device. Default `absent`.
   */
  readonly accessPlatform?: 'absent' | 'offered' | 'demanded';
  /** Told when a `kickLater` waits: someone is to call `runPending` soon. */
  readonly wake?: () => void;
  readonly onEvent?: (event: VirtioEvent) => void;
}

const DEFAULT_RING_FEATURES = featureBits(
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_INDIRECT_DESC,
  VIRTIO_RING_F_EVENT_IDX,
);

const NO_SINK: InterruptSink = { config: () => undefined, queue: () => undefined };

/**
 * A virtio device between its transport and its type: status, features, queues, notifications.
 * Everything a driver does through registers ends in one of its methods, none of which throws on it.
 */
export class VirtioCore implements VirtioHost {
  readonly device: VirtioDevice;
  /** All feature bits a driver may choose from. */
  readonly offered: bigint;
  readonly queues: readonly QueueSlot[];
  /** Device status field. */
  status = 0;
  /** Grows with each change of the configuration that the device made. */
  generation = 0;
  /** Negotiated features; 0n before FEATURES_OK. */
  features = 0n;
  /** Where interrupts go; set by the transport. */
  sink: InterruptSink = NO_SINK;

  #chosen = 0n;
  readonly #demanded: bigint;
  readonly #options: VirtioOptions;
  /** Queues notified before DRIVER_OK. */
  readonly #early = new Set<number>();
  readonly #pending = new Set<number>();

  constructor(device: VirtioDevice, options: VirtioOptions) {
    const platform = featureBits(VIRTIO_F_ACCESS_PLATFORM);
    const access = options.accessPlatform ?? 'absent';
    this.device = device;
    this.#options = options;
    this.#demanded = access === 'demanded' ? platform : 0n;
    this.offered =
      device.features |
      (options.ringFeatures ?? DEFAULT_RING_FEATURES) |
      (access === 'absent' ? 0n : platform);
    this.queues = device.queueSizes.map((size, index) => new QueueSlot(index, size));
    device.attach(this);
  }

  get live(): boolean {
    return isLive(this.status);
  }

  hasFeature(bit: number): boolean {
    return hasFeature(this.features, bit);
  }

  /** 32 offered bits, from bit 32 × select on. */
  offeredWord(select: number): number {
    return wordOf(this.offered, select);
  }

  /** 32 bits of the driver's choice. */
  chosenWord(select: number): number {
    return wordOf(this.#chosen, select);
  }

  /** The driver chooses 32 bits; ignored once FEATURES_OK is set. */
  choose(select: number, value: number): void {
    if (select > 3 || (this.status & VIRTIO_CONFIG_S_FEATURES_OK) !== 0) return;
    const shift = BigInt(32 * select);
    this.#chosen &= ~(0xffff_ffffn << shift);
    this.#chosen |= BigInt(value >>> 0) << shift;
  }

  writeStatus(written: number): void {
    const refusal = this.#refusal();
    const from = this.status;
    const next = transition(from, written, refusal === undefined);
    const wanted = written & ~from & VIRTIO_CONFIG_S_FEATURES_OK;
    if (next.reset) this.reset();
    else this.status = next.status;
    if (next.negotiated) this.features = this.#chosen;
    if (from !== next.status) this.#tell({ kind: 'status', from, to: next.status });
    if (wanted !== 0) this.#tell({ kind: 'features', chosen: this.#chosen, refusal });
    if (next.started && this.live) this.#start();
  }

  /** A driver's write of zero to the status: everything the driver set up is gone. */
  reset(): void {
    this.status = 0;
    this.features = 0n;
    this.#chosen = 0n;
    this.#early.clear();
    this.#pending.clear();
    for (const slot of this.queues) slot.reset();
    this.device.reset();
  }

  /** The machine was reset: besides, the device forgets what outlives its own reset. */
  systemReset(): void {
    this.reset();
    this.generation = 0;
    this.device.systemReset?.();
  }

  queue(index: number): DeviceQueue | undefined {
    return this.live ? this.queues[index]?.queue : undefined;
  }

  /** The driver has set up a queue and wants it used. */
  enableQueue(index: number): void {
    const slot = this.queues[index];
    if (slot === undefined || slot.enabled) return;
    slot.enabled = true;
    if ((this.status & VIRTIO_CONFIG_S_DRIVER_OK) !== 0) this.#open(slot);
  }

  /**
   * The driver stops using one queue: VIRTIO_F_RING_RESET, or zero to QueueReady.
   *
   * @returns false when there is no such queue
   */
  disableQueue(index: number): boolean {
    const slot = this.queues[index];
    if (slot === undefined) return false;
    const wasOpen = slot.queue !== undefined;
    this.#pending.delete(index);
    slot.reset();
    if (wasOpen) this.device.queueReset?.(index);
    return true;
  }

  /** `queue_reset`, QueueReset: ignored unless VIRTIO_F_RING_RESET was negotiated. */
  resetQueue(index: number): void {
    if (this.hasFeature(VIRTIO_F_RING_RESET)) this.disableQueue(index);
  }

  /** The driver notifies a queue. Before DRIVER_OK the device must not look; it does so then. */
  notify(index: number): void {
    if (this.queues[index]?.enabled !== true) return;
    if (this.live) this.device.kick(index);
    else if ((this.status & VIRTIO_CONFIG_S_DRIVER_OK) === 0) this.#early.add(index);
  }

  /**
   * Whether someone looks into the device's `watched` queues for a while, so that the driver need not
   * notify. When that is over, {@link look} once more.
   */
  watch(on: boolean): void {
    for (const index of this.device.watched ?? []) this.queue(index)?.suppressKicks(on);
  }

  /** Whether a watched queue has a buffer for the device. */
  get hasMore(): boolean {
    for (const index of this.device.watched ?? []) {
      if (this.queue(index)?.hasMore === true) return true;
    }
    return false;
  }

  /** Kicks watched queues that have buffers; true when the device took one. */
  look(): boolean {
    let done = false;
    for (const index of this.device.watched ?? []) {
      const queue = this.queue(index);
      if (queue === undefined || !queue.hasMore) continue;
      const before = queue.count;
      this.device.kick(index);
      if (queue.count !== before) done = true;
    }
    return done;
  }

  kickLater(index: number): void {
    if (!this.live) return;
    this.#pending.add(index);
    this.#options.wake?.();
  }

  /** Gives each queue that asked for it one kick; true when some ask again. */
  runPending(): boolean {
    const now = [...this.#pending].toSorted((a, b) => a - b);
    this.#pending.clear();
    for (const index of now) if (this.live) this.device.kick(index);
    return this.#pending.size > 0;
  }

  signal(index: number): void {
    if (this.queue(index)?.shouldSignal() === true) this.sink.queue(index);
  }

  configChanged(): void {
    this.generation = (this.generation + 1) >>> 0;
    if ((this.status & VIRTIO_CONFIG_S_DRIVER_OK) !== 0) this.sink.config();
  }

  needsReset(why: string | QueueError): void {
    if ((this.status & VIRTIO_CONFIG_S_NEEDS_RESET) !== 0) return;
    const from = this.status;
    this.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    this.#pending.clear();
    this.#tell({ kind: 'needs-reset', why });
    this.#tell({ kind: 'status', from, to: this.status });
    // "If DRIVER_OK is set … the device MUST send a device configuration change notification."
    if ((from & VIRTIO_CONFIG_S_DRIVER_OK) !== 0) this.sink.config();
  }

  /** Little-endian bytes of the configuration; what is outside reads as zero. */
  configRead(offset: number, size: number): number {
    const { config } = this.device;
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 0x100 + (config[offset + i] ?? 0);
    return value;
  }

  configWrite(offset: number, size: number, value: number): void {
    if (offset >= 0 && offset + size <= this.device.config.length) {
      this.device.configWrite(offset, size, value);
    }
  }

  snapshot(): VirtioState {
    return {
      status: this.status,
      chosen: this.#chosen,
      features: this.features,
      generation: this.generation,
      queues: this.queues.map((slot) => slot.snapshot()),
      early: [...this.#early].toSorted((a, b) => a - b),
      pending: [...this.#pending].toSorted((a, b) => a - b),
      config: this.device.config.slice(),
      device: this.device.snapshot?.(),
    };
  }

  /** Into a device made with the same options. */
  restore(state: VirtioState): void {
    this.status = state.status;
    this.#chosen = state.chosen;
    this.features = state.features;
    this.generation = state.generation;
    this.device.config.set(state.config);
    for (const [index, slot] of this.queues.entries()) {
      const saved = state.queues[index];
      if (saved) slot.restore(saved, this.features, this.#options.dma, this.#broken);
      else slot.reset();
    }
    this.#early.clear();
    this.#pending.clear();
    for (const index of state.early) this.#early.add(index);
    for (const index of state.pending) this.#pending.add(index);
    this.device.restore?.(state.device);
    if (this.#pending.size > 0) this.#options.wake?.();
  }

  readonly #broken = (error: QueueError): void => this.needsReset(error);

  #refusal(): FeatureRefusal | undefined {
    const chosen = this.#chosen;
    const refusal = refuseFeatures(this.offered, chosen, this.#demanded);
    return refusal ?? (this.device.accepts?.(chosen) === false ? 'device' : undefined);
  }

  #start(): void {
    for (const slot of this.queues) if (slot.enabled) this.#open(slot);
    if (this.live) this.device.start?.();
    const early = [...this.#early].toSorted((a, b) => a - b);
    this.#early.clear();
    for (const index of early) this.notify(index);
  }

  #open(slot: QueueSlot): void {
    slot.open(this.features, this.#options.dma, this.#broken);
  }

  #tell(event: VirtioEvent): void {
    this.#options.onEvent?.(event);
  }
}

function wordOf(features: bigint, select: number): number {
  return select > 3 ? 0 : Number((features >> BigInt(32 * select)) & 0xffff_ffffn);
}
