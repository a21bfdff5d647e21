export { Chain, type ChainState } from './chain.ts';
export { ChainReader, ChainWriter } from './cursor.ts';
export { INDIRECT_MAX, type QueueLayout } from './descriptors.ts';
export { DeviceQueue, type QueueState } from './device-queue.ts';
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
export { VirtioCore, type VirtioOptions } from './core.ts';
export type { VirtioEvent, VirtioState } from './core-state.ts';
export { isConfigAccess, RegisterBlock, type Register } from './registers.ts';
export { MmioTransport, type MmioOptions, type MmioState } from './mmio.ts';
export { LEGACY_REGISTERS, MMIO_REGISTERS } from './mmio-registers.ts';
export {
  NOTIFY_MULTIPLIER,
  PciTransport,
  type PciInterrupts,
  type PciLayout,
  type PciRegion,
  type PciState,
} from './pci.ts';
export { COMMON_REGISTERS } from './pci-registers.ts';
export { PciCfgWindow, virtioPciCapabilities, type BarAccess } from './pci-capabilities.ts';
export {
  DriverQueue,
  driverQueueParts,
  type BufferSegment,
  type DriverQueueOptions,
  type DriverQueueParts,
  type UsedBuffer,
} from './driver-queue.ts';
export { DriverSplitQueue } from './driver-split.ts';
export { DriverPackedQueue, makeDriverQueue } from './driver-packed.ts';
