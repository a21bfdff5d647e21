export { DEFAULT_KERNEL_MODEL, ModelGuest, type GuestOptions } from './guest.ts';
export type {
  GuestFirmware,
  GuestPlatform,
  KernelModel,
  MmioAccess,
  PlatformInterrupt,
} from './platform.ts';
export { KernelLog } from './kernel-log.ts';
export { Kernel } from './kernel.ts';
export { GuestPanic, Ram } from './ram.ts';
export { Device, type BoundDriver, type InterruptUse } from './device.ts';
export { DirectMapper, type Coherent, type Direction, type Dma, type Piece } from './dma.ts';
export { readFirmware } from './firmware/read.ts';
export type {
  Asker,
  FirmwareView,
  HostView,
  IommuAnswer,
  MsiAnswer,
  RegionView,
  TransportView,
} from './firmware/view.ts';
export { assignBars } from './pci/bars.ts';
export { scanHost, walkFunctions } from './pci/scan.ts';
export { askerOf, groupKeyOf, type PciBar, type PciFound } from './pci/function.ts';
export { VirtioBinding, type QueueWish } from './virtio/binding.ts';
export { MmioDriverTransport } from './virtio/mmio.ts';
export { PciDriverTransport } from './virtio/pci.ts';
export type { QueuePlace, VirtioTransport } from './virtio/transport.ts';
export { IOMMU_FEATURES, Viommu, type Exchange, type Reply } from './iommu/viommu.ts';
export { Domain } from './iommu/domain.ts';
export { IommuMapper } from './iommu/mapper.ts';
export { IovaAllocator } from './iommu/iova.ts';
export { IommuGroup, type GroupRegion } from './iommu/group.ts';
export { IommuManager } from './iommu/manager.ts';
export { faultLine, type FaultRecord } from './iommu/fault.ts';
export {
  attachRequest,
  detachRequest,
  mapRequest,
  parseProperties,
  probeRequest,
  unmapRequest,
  type ProbedRegion,
} from './iommu/requests.ts';
export { BlockDriver, type BlockError } from './devices/block.ts';
export { NetDriver, type PingResult } from './devices/net.ts';
export { EntropyDriver } from './devices/rng.ts';
export { StubDriver } from './devices/stub.ts';
