export { Chain, type ChainState } from './chain.ts';
export { ChainReader, ChainWriter } from './cursor.ts';
export { DeviceQueue, INDIRECT_MAX, type QueueLayout, type QueueState } from './device-queue.ts';
export type { QueueError, QueueErrorCode } from './queue-error.ts';
export { SplitQueue } from './split-queue.ts';
export { PackedQueue } from './packed-queue.ts';
export { makeDeviceQueue, QueueSlot, type QueueSlotState } from './queue-slot.ts';
export {
  featureBits,
  hasFeature,
  refuseFeatures,
  RING_FEATURES,
  type FeatureRefusal,
} from './features.ts';
export { isLive, transition, type StatusTransition } from './status.ts';
export type { InterruptSink, PlainState, VirtioDevice, VirtioHost } from './device.ts';
export { VirtioCore, type VirtioEvent, type VirtioOptions, type VirtioState } from './core.ts';
