import {
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_NOTIFICATION_DATA,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_RING_RESET,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../spec/virtio.ts';

/** The feature set with these bits. */
export function featureBits(...bits: readonly number[]): bigint {
  return bits.reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
}

/** Whether the set has the bit. */
export function hasFeature(features: bigint, bit: number): boolean {
  return ((features >> BigInt(bit)) & 1n) === 1n;
}

/** What queues and transports of this room can do for any device, VERSION_1 included. */
export const RING_FEATURES: bigint = featureBits(
  VIRTIO_RING_F_INDIRECT_DESC,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_F_VERSION_1,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_NOTIFICATION_DATA,
  VIRTIO_F_RING_RESET,
);

/** Why FEATURES_OK is refused. */
export type FeatureRefusal =
  /** A bit that was not offered. */
  | 'not-offered'
  /** VIRTIO_F_VERSION_1 is mandatory ("Reserved Feature Bits"). */
  | 'version-1'
  /** The device stands behind an IOMMU and the driver would pass untranslated addresses. */
  | 'access-platform'
  /** The device type cannot work with this choice. */
  | 'device';

/**
 * Judges a driver's choice ("Feature Bits", "Device Requirements: Reserved Feature Bits").
 *
 * @param demanded bits without which the device refuses to work, besides VERSION_1
 */
export function refuseFeatures(
  offered: bigint,
  chosen: bigint,
  demanded = 0n,
): Exclude<FeatureRefusal, 'device'> | undefined {
  if ((chosen & ~offered) !== 0n) return 'not-offered';
  if (!hasFeature(chosen, VIRTIO_F_VERSION_1)) return 'version-1';
  if (
    hasFeature(demanded, VIRTIO_F_ACCESS_PLATFORM) &&
    !hasFeature(chosen, VIRTIO_F_ACCESS_PLATFORM)
  ) {
    return 'access-platform';
  }
  return undefined;
}
