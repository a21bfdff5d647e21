import { VIRTIO_ID_ENTROPY } from '../spec/virtio-net.ts';
import { VIRTIO_ID_BLOCK, VIRTIO_ID_NET } from '../spec/virtio.ts';
import { BlockDriver } from './devices/block.ts';
import { NetDriver } from './devices/net.ts';
import { EntropyDriver } from './devices/rng.ts';
import { aimableKind } from './devices/stub.ts';
import type { BoundDriver, Device } from './device.ts';
import type { VirtioBinding } from './virtio/binding.ts';
import { isVirtio } from './virtio/pci.ts';

/** Which driver a device gets, by what it says it is. */
export type Match = 'virtio' | 'port' | 'stub';

/** Undefined: no driver wants it, and then nobody asks for its IOMMU either (before Linux 6.15). */
export function matchDriver({ pci }: Device): Match | undefined {
  if (pci === undefined || isVirtio(pci)) return 'virtio';
  if (pci.bridge !== undefined) return pci.bridge.conventional ? undefined : 'port';
  return aimableKind(pci) === undefined ? undefined : 'stub';
}

/** The driver of a virtio device other than an IOMMU; undefined: none, or it refused the device. */
export function bindVirtio(binding: VirtioBinding): BoundDriver | undefined {
  switch (binding.transport.deviceId) {
    case VIRTIO_ID_BLOCK:
      return BlockDriver.bind(binding);
    case VIRTIO_ID_NET:
      return NetDriver.bind(binding);
    case VIRTIO_ID_ENTROPY:
      return EntropyDriver.bind(binding);
    default:
      return undefined;
  }
}
