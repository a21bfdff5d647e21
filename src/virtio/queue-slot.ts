import type { DmaSpace } from '../memory/index.ts';
import { VIRTIO_F_RING_PACKED } from '../spec/virtio.ts';
import type { QueueLayout } from './descriptors.ts';
import type { DeviceQueue, QueueState } from './device-queue.ts';
import { hasFeature } from './features.ts';
import { PackedQueue } from './packed-queue.ts';
import type { QueueError } from './queue-error.ts';
import { SplitQueue } from './split-queue.ts';

/** What a driver wrote of a queue, and its progress when it is in use. */
export interface QueueSlotState extends QueueLayout {
  readonly enabled: boolean;
  readonly queue: QueueState | undefined;
}

/** One queue as its transport sees it: the addresses a driver writes, then the queue itself. */
export class QueueSlot {
  readonly index: number;
  /** Largest size; 0 when the device has no such queue. */
  readonly sizeMax: number;
  /** Size that the driver chose, at first the largest. */
  size: number;
  enabled = false;
  descHi = 0;
  descLo = 0;
  driverHi = 0;
  driverLo = 0;
  deviceHi = 0;
  deviceLo = 0;
  /** There from DRIVER_OK on while enabled. */
  queue: DeviceQueue | undefined;

  constructor(index: number, sizeMax: number) {
    this.index = index;
    this.sizeMax = sizeMax;
    this.size = sizeMax;
  }

  /** As after a reset; chains that the device still holds are void. */
  reset(): void {
    this.queue?.close();
    this.queue = undefined;
    this.enabled = false;
    this.size = this.sizeMax;
    this.descHi = this.descLo = 0;
    this.driverHi = this.driverLo = 0;
    this.deviceHi = this.deviceLo = 0;
  }

  /** Makes the queue; a size beyond the largest, or illegal, breaks it at once. */
  open(features: bigint, dma: DmaSpace, onBroken: (error: QueueError) => void): void {
    const layout = this.#layout();
    // Larger than offered is as wrong as no legal size at all: size 0 makes the queue say so.
    const checked = layout.size > this.sizeMax ? { ...layout, size: 0 } : layout;
    this.queue = makeDeviceQueue(checked, features, dma, onBroken);
  }

  snapshot(): QueueSlotState {
    return { ...this.#layout(), enabled: this.enabled, queue: this.queue?.snapshot() };
  }

  restore(
    state: QueueSlotState,
    features: bigint,
    dma: DmaSpace,
    onBroken: (error: QueueError) => void,
  ): void {
    this.reset();
    const { size, descHi, descLo, driverHi, driverLo, deviceHi, deviceLo, enabled } = state;
    Object.assign(this, { size, descHi, descLo, driverHi, driverLo, deviceHi, deviceLo, enabled });
    if (state.queue === undefined) return;
    // What was broken then is restored as broken, and was told of already.
    this.open(features, dma, state.queue.error ? () => undefined : onBroken);
    this.queue?.restore(state.queue);
  }

  #layout(): QueueLayout {
    const { index, size, descHi, descLo, driverHi, driverLo, deviceHi, deviceLo } = this;
    return { index, size, descHi, descLo, driverHi, driverLo, deviceHi, deviceLo };
  }
}

/** A queue of the format that the features say. */
export function makeDeviceQueue(
  layout: QueueLayout,
  features: bigint,
  dma: DmaSpace,
  onBroken: (error: QueueError) => void,
): DeviceQueue {
  const Format = hasFeature(features, VIRTIO_F_RING_PACKED) ? PackedQueue : SplitQueue;
  return new Format(layout, features, dma, onBroken);
}
