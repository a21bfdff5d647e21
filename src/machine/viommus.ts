import { VirtioPciFunction } from '../endpoints/index.ts';
import { IommuDevice } from '../iommu/index.ts';
import type { DmaSpace } from '../memory/index.ts';
import { PCI_CLASS_SYSTEM_IOMMU } from '../spec/pci-config.ts';
import { VIRTIO_F_RING_PACKED, VIRTIO_F_VERSION_1 } from '../spec/virtio.ts';
import { VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC } from '../spec/virtio.ts';
import type { Viommu } from '../topology/index.ts';
import { featureBits, VirtioCore, type VirtioOptions } from '../virtio/index.ts';

/** The device of a vIOMMU, with everything the topology says of it. */
export function makeIommu(viommu: Viommu): IommuDevice {
  const { pageSizeMask, inputRange, domainRange, probeSize, features, bootBypass } = viommu;
  const { requestQueue, eventQueue } = viommu;
  return new IommuDevice({
    pageSizeMask,
    inputRange,
    domainRange,
    probeSize,
    features,
    bootBypass,
    queueSizes: [requestQueue.size, eventQueue.size],
  });
}

/** Packed rings are offered when the topology wants one; a driver chooses for both queues at once. */
function ringFeatures({ requestQueue, eventQueue }: Viommu): bigint {
  const packed = requestQueue.ring === 'packed' || eventQueue.ring === 'packed';
  return featureBits(
    VIRTIO_F_VERSION_1,
    VIRTIO_RING_F_INDIRECT_DESC,
    VIRTIO_RING_F_EVENT_IDX,
    ...(packed ? [VIRTIO_F_RING_PACKED] : []),
  );
}

type Common = Omit<VirtioOptions, 'dma' | 'ringFeatures'>;

/** A vIOMMU as a PCI function. Its own accesses are never translated. */
export function iommuFunction(
  viommu: Viommu,
  device: IommuDevice,
  dma: DmaSpace,
  common: Common,
): VirtioPciFunction {
  return new VirtioPciFunction(device, {
    ...common,
    name: viommu.id,
    classCode: PCI_CLASS_SYSTEM_IOMMU,
    dma,
    ringFeatures: ringFeatures(viommu),
  });
}

/** A vIOMMU behind virtio-mmio. */
export function iommuCore(
  viommu: Viommu,
  device: IommuDevice,
  dma: DmaSpace,
  common: Common,
): VirtioCore {
  return new VirtioCore(device, { ...common, dma, ringFeatures: ringFeatures(viommu) });
}
